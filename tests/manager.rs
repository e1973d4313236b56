//! The Manager over real sockets.
//!
//! - the seed's literal hello is served;
//! - a script may say its word by `printf … | nc`;
//! - documents are found however the stream is cut, and bad ones cost nobody else anything;
//! - who is silent is let go, and who comes back is told what it missed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use actix::prelude::*;
use rollcall::clock::Clock;
use rollcall::core::endpoint::{ModuleId, ModuleTable, Settings, Sharding};
use rollcall::core::entropy::Entropy;
use rollcall::core::manager::MAX_LEN;
use rollcall::core::manager::hub;
use rollcall::core::room::Rules;
use rollcall::endpoint::{Endpoint, Parts};
use rollcall::manager::{self, RunningManager, Setup};
use rollcall::testkit::{ManagerPeer, in_real_time};
use rollcall::transport::Network;

const MODULE: ModuleId = ModuleId(1);
const SOURCE: &str = "<xml><type>SOURCE</type><id>desk</id></xml>";

async fn start(change: impl FnOnce(&mut Setup)) -> RunningManager {
    let clock = Clock::system();
    let modules =
        ModuleTable::builder().module(MODULE, "manager", &manager::routes(), Sharding::One);
    let parts = Parts {
        tls: Default::default(),
        settings: Settings::default(),
        modules: modules.build().expect("no conflict"),
        name_servers: Vec::new(),
        network: Network::Real,
        clock,
        entropy: Entropy::from_number(1),
        udp_offload: true,
        admission: Default::default(),
    };
    let endpoint = Endpoint::new(parts).start();
    let mut setup = Setup {
        module: MODULE,
        hub: hub::Settings::new("m", "r1"),
        state: None,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        rules: Rules {
            most: 100,
            ..Rules::default()
        },
        network: Network::Real,
        clock,
    };
    change(&mut setup);
    manager::start(setup, &endpoint).await.expect("a free port")
}

async fn connect(manager: &RunningManager, hello: &str) -> ManagerPeer {
    let mut peer = ManagerPeer::connect(&Network::Real, manager.listener.local_addr()).await;
    peer.send(hello).await;
    peer.expect_type("WELCOME").await;
    peer
}

async fn client(manager: &RunningManager) -> ManagerPeer {
    connect(manager, "<xml><type> PC </type> </xml>").await
}

fn presence(entity: &str, rest: &str) -> String {
    format!("<xml><type>PRESENCE</type><entity>{entity}</entity>{rest}</xml>")
}

/// Runs something that blocks, beside the actors.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("it does not panic")
}

#[test]
fn the_literal_hello_by_raw_tcp_is_welcomed() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let to = manager.listener.local_addr();
        let answer = aside(move || {
            let mut stream = TcpStream::connect(to).expect("connected");
            stream
                .write_all(b"<xml><type> PC </type> </xml>")
                .expect("written");
            stream.shutdown(Shutdown::Write).expect("half closed");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("read to the end");
            answer
        });
        assert_eq!(
            answer.await,
            "<xml><type>WELCOME</type><id>m</id><version>1</version><run>r1</run><heartbeat>30</heartbeat></xml>\n\
             <xml><type>BYE</type></xml>\n"
        );
    });
}

#[test]
fn a_shell_script_says_its_word_and_gets_its_answer() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut client = client(&manager).await;
        let port = manager.listener.local_addr().port();
        let script = aside(move || {
            let word = presence("sip:a@x", "<seq>1</seq><activity>busy</activity>");
            let script = "exec 3<>/dev/tcp/127.0.0.1/$0; printf '%s' \"$1\" >&3; head -n 2 <&3";
            let words = format!("{SOURCE}\n{word}");
            let shell = Command::new("bash")
                .args(["-c", script, &port.to_string(), &words])
                .stdout(Stdio::piped())
                .spawn();
            let mut shell = shell.expect("a shell");
            let mut said = String::new();
            shell
                .stdout
                .take()
                .expect("a pipe")
                .read_to_string(&mut said)
                .expect("read");
            shell.wait().expect("it ends");
            said
        });
        let outcome = async {
            let told = client.expect_type("PRESENCE").await;
            assert!(
                told.contains("<source>desk</source><activity>busy</activity>"),
                "{told}"
            );
            client
                .send("<xml><type>ACK</type><seq>1</seq><etag>e1</etag></xml>")
                .await;
        };
        let (said, ()) = tokio::join!(script, outcome);
        assert!(
            said.ends_with("<xml><type>ACK</type><seq>1</seq><etag>e1</etag></xml>\n"),
            "{said}"
        );
    });
}

#[test]
fn two_documents_in_one_segment_and_one_in_many_are_all_read() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut client = client(&manager).await;
        let mut source = connect(&manager, SOURCE).await;
        let words = ["sip:a@x", "sip:b@x"]
            .map(|entity| presence(entity, ""))
            .join("\r\n \t");
        source.send(&words).await;
        assert!(client.expect_type("PRESENCE").await.contains("sip:a@x"));
        assert!(client.expect_type("PRESENCE").await.contains("sip:b@x"));

        // One byte a segment: the listener's sockets, like ours, send at once.
        let to = manager.listener.local_addr();
        let bytes = aside(move || {
            let mut stream = TcpStream::connect(to).expect("connected");
            stream.set_nodelay(true).expect("no delay");
            let script = format!(
                "{SOURCE}{}",
                presence("sip:c@x", "<note lang='de'>gr\u{fc}n &lt; rot</note>")
            );
            for byte in script.bytes() {
                stream.write_all(&[byte]).expect("written");
            }
            stream
        });
        let stream = bytes.await;
        let told = client.expect_type("PRESENCE").await;
        assert!(
            told.contains("<note lang=\"de\">gr\u{fc}n &lt; rot</note>"),
            "{told}"
        );
        drop(stream);
    });
}

#[test]
fn a_malformed_document_is_answered_and_the_next_one_is_served() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut client = client(&manager).await;
        let mut source = connect(&manager, SOURCE).await;
        source.send("<xml><type>PRESENCE</typ></xml>").await;
        assert!(
            source
                .expect_type("ERROR")
                .await
                .contains("not well-formed")
        );
        source
            .send(&presence("sip:a@x", "<basic>perhaps</basic>"))
            .await;
        assert_eq!(
            source.expect().await,
            "<xml><type>ERROR</type><reason>&lt;basic&gt; is &quot;perhaps&quot;; allowed is open or closed</reason></xml>"
        );
        source
            .send(&presence("sip:a@x", "<basic>closed</basic>"))
            .await;
        assert!(
            client
                .expect_type("PRESENCE")
                .await
                .contains("<basic>closed</basic>")
        );
    });
}

#[test]
fn a_document_may_have_64_kib_and_not_a_byte_more() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut client = client(&manager).await;
        let of_len = |len: usize| {
            let room = len - presence("sip:a@x", "<x></x>").len();
            presence("sip:a@x", &format!("<x>{}</x>", "y".repeat(room)))
        };
        let mut source = connect(&manager, SOURCE).await;
        source.send(&of_len(MAX_LEN)).await;
        client.expect_type("PRESENCE").await;
        source.send(&of_len(MAX_LEN + 1)).await;
        assert!(
            source
                .expect_type("ERROR")
                .await
                .contains("longer than 65536 bytes")
        );
        source.expect_close().await;
        // Nobody else has noticed.
        let mut another = connect(&manager, SOURCE).await;
        another.send(&presence("sip:b@x", "")).await;
        client.expect_type("PRESENCE").await;
    });
}

#[test]
fn a_silent_peer_is_let_go_after_three_heartbeats() {
    in_real_time(async {
        let manager = start(|setup| setup.hub.heartbeat = Duration::from_millis(100)).await;
        let mut silent = client(&manager).await;
        silent.expect_type("PING").await;
        assert!(
            silent
                .find_type("ERROR")
                .await
                .contains("nothing heard for 300ms")
        );
        silent.expect_close().await;
    });
}

#[test]
fn who_comes_back_is_told_what_it_had_not_acknowledged() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut source = connect(&manager, SOURCE).await;
        for entity in ["sip:a@x", "sip:b@x"] {
            source
                .send(&presence(entity, "<activity>busy</activity>"))
                .await;
        }
        let mut first = client(&manager).await;
        for seq in 1..=2 {
            assert!(
                first
                    .expect_type("PRESENCE")
                    .await
                    .contains(&format!("<seq>{seq}</seq>"))
            );
        }
        first.send("<xml><type>ACK</type><seq>1</seq></xml>").await;
        drop(first);
        let hello = "<xml><type>PC</type><last-seq>1</last-seq><run>r1</run></xml>";
        let mut again = connect(&manager, hello).await;
        assert!(
            again
                .expect_type("PRESENCE")
                .await
                .contains("<seq>2</seq><entity>sip:b@x")
        );
        let mut other = connect(&manager, &hello.replace("r1", "r0")).await;
        assert!(
            other
                .expect_type("PRESENCE")
                .await
                .contains("<seq>1</seq><entity>sip:a@x")
        );
    });
}

#[test]
fn a_pidf_document_passes_through_as_it_is() {
    in_real_time(async {
        let manager = start(|_| {}).await;
        let mut client = client(&manager).await;
        let mut source = connect(&manager, SOURCE).await;
        let document = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:e='urn:e' entity='sip:a@x'>\
                        <tuple id='t'><status><basic>open</basic></status><e:x y='&amp;'/></tuple></presence>";
        source
            .send(&format!("<xml><type>PRESENCE</type>{document}</xml>"))
            .await;
        assert!(client.expect_type("PRESENCE").await.contains(document));
    });
}

#[test]
fn the_word_of_a_script_survives_a_restart_with_a_state_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.xml");
    let run = |path: &Path, run: &'static str| {
        let path = path.to_owned();
        start(move |setup| {
            setup.state = Some(path);
            setup.hub.run = run.to_owned();
        })
    };
    in_real_time(async {
        let before = run(&path, "r1").await;
        let mut source = connect(&before, SOURCE).await;
        source
            .send(&presence("sip:a@x", "<activity>busy</activity>"))
            .await;
        client(&before).await.expect_type("PRESENCE").await;
        drop(source);
        assert!(before.shut_down(Duration::from_secs(10)).await);
        let after = run(&path, "r2").await;
        let told = client(&after).await.expect_type("PRESENCE").await;
        assert!(
            told.contains("<entity>sip:a@x</entity><source>desk</source><activity>busy"),
            "{told}"
        );
    });
}
