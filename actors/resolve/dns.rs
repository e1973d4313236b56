//! The real DNS, by hickory, and the names of `/etc/hosts`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{IntoName, Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use rollcall_core::resolve::{Answer, Naptr, Question, Srv};

/// The files that say who is asked, and who need not be asked for.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How long a name server has before it is asked again, or another one is: a lost datagram must not cost the whole time
/// that there is.
const PATIENCE: Duration = Duration::from_millis(700);

#[derive(Clone)]
pub(super) struct Dns {
    hosts: Arc<Hosts>,
    /// Or why there is nobody to ask.
    resolver: Result<TokioResolver, String>,
    /// When the files were last changed.
    stamps: [Option<SystemTime>; 2],
}

impl Dns {
    pub fn new(name_servers: &[SocketAddr]) -> Self {
        let stamps = stamps();
        let resolver = if name_servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = name_servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            let provider = TokioRuntimeProvider::default();
            Ok(TokioResolver::builder_with_config(config, provider))
        };
        let resolver = resolver.and_then(|mut builder| {
            adapt(builder.options_mut());
            builder.build()
        });
        Self {
            // A machine without the file has no such names.
            hosts: Arc::new(Hosts::from_system().unwrap_or_default()),
            resolver: resolver.map_err(|error| format!("there is no name server: {error}")),
            stamps,
        }
    }

    pub fn is_outdated(&self) -> bool {
        self.stamps != stamps()
    }

    /// As if the files had been changed.
    #[cfg(test)]
    pub fn forget_stamps(&mut self) {
        self.stamps = [Some(SystemTime::UNIX_EPOCH); 2];
    }

    /// Whether a name is one of this machine's own.
    pub fn is_local(&self, name: &str) -> bool {
        !self.in_hosts(name).is_empty()
    }

    pub async fn ask(&self, question: &Question) -> Answer {
        if let Question::Address(name) = question {
            let local = self.in_hosts(name);
            if !local.is_empty() {
                return Answer::Addresses(local);
            }
        }
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(reason) => return Answer::Failed(reason.clone()),
        };
        let result = match question {
            Question::Naptr(name) => records(resolver, name, RecordType::NAPTR, naptr)
                .await
                .map(Answer::Naptr),
            Question::Srv(name) => records(resolver, name, RecordType::SRV, srv)
                .await
                .map(Answer::Srv),
            Question::Address(name) => addresses(resolver, name).await.map(Answer::Addresses),
        };
        result.unwrap_or_else(|error| Answer::Failed(error.to_string()))
    }

    fn in_hosts(&self, name: &str) -> Vec<IpAddr> {
        let Ok(own) = name.into_name() else {
            return Vec::new();
        };
        let kinds = [RecordType::A, RecordType::AAAA];
        let listed = kinds.into_iter().filter_map(|kind| {
            let query = Query::query(own.clone(), kind);
            self.hosts.lookup_static_host(&query)
        });
        let mut found: Vec<IpAddr> = Vec::new();
        for lookup in listed {
            let ips = lookup.answers().iter().map(|record| record.data.ip_addr());
            found.extend(ips.flatten());
        }
        // Also where no file says so (RFC 6761, 6.3).
        if found.is_empty() && own.is_localhost() {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("stamps", &self.stamps)
            .finish_non_exhaustive()
    }
}

fn stamps() -> [Option<SystemTime>; 2] {
    FILES.map(|file| std::fs::metadata(file).and_then(|of| of.modified()).ok())
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = addr.port();
        connection
    });
    NameServerConfig::new(addr.ip(), true, connections.into())
}

fn adapt(options: &mut ResolverOpts) {
    options.timeout = options.timeout.min(PATIENCE);
    // They come first here in any case, and also tell who is not looked for by NAPTR and SRV.
    options.use_hosts_file = ResolveHosts::Never;
    // Nearly all SIP servers listen on IPv4, and one that is silent on IPv6 would cost a timeout.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

/// The records of a name that is whole, with a dot at its end or without.
async fn records<T>(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
    read: impl Fn(&RData) -> Option<T>,
) -> Result<Vec<T>, NetError> {
    let mut name: Name = name.into_name()?;
    name.set_fqdn(true);
    match resolver.lookup(name, kind).await {
        Ok(found) => {
            let records = found.answers().iter();
            Ok(records.filter_map(|record| read(&record.data)).collect())
        }
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, NetError> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        services: text(&record.services),
        regexp: text(&record.regexp),
        replacement: record.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else {
        return None;
    };
    Some(Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: record.target.to_ascii(),
    })
}
