//! Roles as processes: each starts its nodes, says where they listen, and runs until told to stop.

use serde_json::Value;

use super::client::{ClientNode, publisher_settings};
use super::environment::Environment;
use super::manager::ManagerNode;
use super::server::ServerNode;
use super::{Command, Control, Listening, NodeError, print};
use crate::config::{self, HostPort, SipServer};

pub(super) async fn server(
    settings: config::Server,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let node = ServerNode::start(&settings, Environment::real()?).await?;
    ready(&node.listening);
    loop {
        match control.next().await {
            Command::Show => print::counters(&node.snapshot().await),
            Command::Reload => reload(&node, &settings),
            Command::Stop => break,
        }
    }
    farewell(node.snapshot().await);
    node.stop().await
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
    let node = ManagerNode::start(&settings, Environment::real()?).await?;
    ready(&[node.listening()]);
    loop {
        match control.next().await {
            Command::Show => print::counters(&node.snapshot().await),
            // It has nothing that could have changed.
            Command::Reload => {}
            Command::Stop => break,
        }
    }
    farewell(node.snapshot().await);
    node.stop().await;
    Ok(())
}

pub(super) async fn client(
    settings: config::Client,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    let publisher = publisher_settings(&settings.common, &settings.server);
    let mut node = ClientNode::start(
        &settings.common,
        &settings.server,
        publisher,
        Environment::real()?,
    )
    .await?;
    node.link(&settings.common, &settings.manager);
    ready(&node.listening);
    loop {
        match control.next().await {
            Command::Show => print::counters(&node.snapshot().await),
            // It has nothing that could have changed.
            Command::Reload => {}
            Command::Stop => break,
        }
    }
    farewell(node.snapshot().await);
    node.stop(settings.common.unpublish_on_exit).await;
    Ok(())
}

pub(super) async fn run(
    settings: config::AllInOne,
    mut control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
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
    ready(&listening);
    loop {
        match control.next().await {
            Command::Show => print::counters(&pictures(&manager, &client, &server).await),
            Command::Reload => reload(&server, &settings.server),
            Command::Stop => break,
        }
    }
    farewell(pictures(&manager, &client, &server).await);
    // Against the stream: the client takes its publications back while the server is still there.
    manager.stop().await;
    client.stop(settings.client.unpublish_on_exit).await;
    server.stop().await
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

fn farewell(pictures: Vec<Value>) {
    print::counters(&pictures);
}
