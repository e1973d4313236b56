//! Roles as processes: each starts its nodes, says where they listen, and runs until told to stop.

use std::time::Duration;

use serde_json::Value;

use super::client::{ClientNode, publisher_settings};
use super::environment::Environment;
use super::manager::ManagerNode;
use super::server::ServerNode;
use super::{Command, Control, Listening, NodeError, print};
use crate::config::{self, HostPort, SipServer};
use crate::watchdog::Watchdog;

/// How long actors may take to show their counters.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn server(
    settings: config::Server,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let mut watchdog = Watchdog::start();
    let node = ServerNode::start(&settings, Environment::real()?).await?;
    watchdog.watch(node.watched());
    watchdog.store(node.store());
    watchdog.serving();
    ready(&node.listening);
    let (pictures, reload) = (async || node.snapshot().await, || reload(&node, &settings));
    let end = obey(&mut control, &mut watchdog, pictures, reload).await;
    node.stop().await.and(end)
}

/// An operator who has asked for it is told how it went; the server goes on either way.
fn reload(node: &ServerNode, settings: &config::Server) {
    match node.reload(settings) {
        Ok(()) => tracing::info!("accounts and certificates were read again"),
        Err(error) => tracing::error!(%error, "not read again; all stays as it was"),
    }
}

pub(super) async fn manager(
    settings: config::Manager,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let mut watchdog = Watchdog::start();
    let node = ManagerNode::start(&settings, Environment::real()?).await?;
    watchdog.watch(node.watched());
    watchdog.serving();
    ready(&[node.listening()]);
    let pictures = async || node.snapshot().await;
    let end = obey(&mut control, &mut watchdog, pictures, nothing_to_reload).await;
    node.stop().await;
    end
}

pub(super) async fn client(
    settings: config::Client,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let mut watchdog = Watchdog::start();
    let publisher = publisher_settings(&settings.common, &settings.server);
    let mut node = ClientNode::start(
        &settings.common,
        &settings.server,
        publisher,
        Environment::real()?,
    )
    .await?;
    node.link(&settings.common, &settings.manager);
    watchdog.watch(node.watched());
    watchdog.serving();
    ready(&node.listening);
    let pictures = async || node.snapshot().await;
    let end = obey(&mut control, &mut watchdog, pictures, nothing_to_reload).await;
    node.stop(settings.common.unpublish_on_exit).await;
    end
}

pub(super) async fn run(
    settings: config::AllInOne,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let mut watchdog = Watchdog::start();
    let server = ServerNode::start(&settings.server, Environment::real()?).await?;
    let manager = ManagerNode::start(&settings.manager, Environment::real()?).await?;
    let (to_server, to_manager) = (near(&server.listening), manager.address());
    let Some(to_server) = to_server else {
        return Err(NodeError::Ended("server's sockets"));
    };
    let publisher = publisher_settings(&settings.client, &to_server);
    let mut client = ClientNode::start(
        &settings.client,
        &to_server,
        publisher,
        Environment::real()?,
    )
    .await?;
    client.link(
        &settings.client,
        &HostPort {
            host: to_manager.ip().to_string(),
            port: to_manager.port(),
        },
    );

    let mut listening = server.listening.clone();
    listening.push(manager.listening());
    for (role, watched) in [
        ("manager", manager.watched()),
        ("client", client.watched()),
        ("server", server.watched()),
    ] {
        watchdog.watch(watched.into_iter().map(|watched| watched.in_role(role)));
    }
    watchdog.store(server.store());
    watchdog.serving();
    ready(&listening);
    let end = obey(
        &mut control,
        &mut watchdog,
        async || pictures(&manager, &client, &server).await,
        || reload(&server, &settings.server),
    )
    .await;
    // Against the stream: the client takes its publications back while the server is still there.
    manager.stop().await;
    client.stop(settings.client.unpublish_on_exit).await;
    server.stop().await.and(end)
}

/// The address by which a client in the same process reaches a server: UDP if there is any.
fn near(listening: &[Listening]) -> Option<SipServer> {
    let sip = |listening: &Listening| match listening {
        Listening::Sip(listen) => Some(*listen),
        Listening::Manager(_) => None,
    };
    let udp = listening
        .iter()
        .filter_map(sip)
        .find(|listen| !listen.transport.is_reliable());
    udp.or_else(|| listening.iter().find_map(sip))
        .map(|mut listen| {
            if listen.addr.ip().is_unspecified() {
                let loopback = match listen.addr {
                    std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                };
                listen.addr.set_ip(loopback);
            }
            SipServer::at(listen)
        })
}

/// All actors of a process with all roles, each with the role it plays a part in.
async fn pictures(manager: &ManagerNode, client: &ClientNode, server: &ServerNode) -> Vec<Value> {
    let roles = [
        ("manager", manager.snapshot().await),
        ("client", client.snapshot().await),
        ("server", server.snapshot().await),
    ];
    let mut all = Vec::new();
    for (role, pictures) in roles {
        for mut picture in pictures {
            picture["role"] = role.into();
            all.push(picture);
        }
    }
    all
}

/// Obeys until told to stop, or until an actor has ended that should go on: without it the role is not what it was.
async fn obey(
    control: &mut Control,
    watchdog: &mut Watchdog,
    pictures: impl AsyncFn() -> Vec<Value>,
    reload: impl Fn(),
) -> Result<(), NodeError> {
    let end = loop {
        let command = tokio::select! {
            command = control.next() => command,
            actor = watchdog.ended() => break Err(NodeError::Ended(actor)),
        };
        match command {
            Command::Show => show(pictures()).await,
            Command::Reload => {
                watchdog.reloading();
                reload();
                watchdog.reloaded();
            }
            Command::Stop => break Ok(()),
        }
    };
    watchdog.stopping();
    show(pictures()).await;
    end
}

/// A role without files that could have changed.
fn nothing_to_reload() {}

/// Prints counters. An actor that is stuck keeps nobody from ending.
async fn show(pictures: impl Future<Output = Vec<Value>>) {
    match tokio::time::timeout(PATIENCE, pictures).await {
        Ok(pictures) => print::counters(&pictures),
        Err(_) => tracing::warn!("no counters are shown: an actor does not answer"),
    }
}
