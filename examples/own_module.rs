//! A module of one's own in the endpoint's table, and its test.
//!
//! The module is a pin board. A SIP MESSAGE (RFC 3428) pins up its text; a Manager-protocol document of type `BOARD` asks
//! what hangs there. It never sees anything else: no parsing, no retransmission, no other module's traffic. Both kinds
//! come through one table, and beside it stands the Manager, which greets the peers that connect.
//!
//! ```text
//! cargo test --example own_module     # the test below
//! cargo run --example own_module      # the same module over real sockets
//! printf 'MESSAGE sip:board@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
//!     From: <sip:me@127.0.0.1>;tag=1\r\nTo: <sip:board@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 5\r\n\r\nhello' |
//!     nc -u -w 1 127.0.0.1 5070
//! printf '<xml><type>SOURCE</type></xml><xml><type>BOARD</type></xml>' | nc -q 1 127.0.0.1 7070
//! ```

use actix::prelude::*;
use rollcall::core::endpoint::{ModuleId, ModuleTable, Route, Sharding};
use rollcall::core::exchange::{Incoming, Reply};
use rollcall::core::manager::{Message, hub};
use rollcall::core::room::Rules;
use rollcall::core::sip::{Method, StatusCode};
use rollcall::messages::{
    FromModule, ManagerIncoming, ModuleInput, ModuleOutput, ToModule, ToSession,
};
use rollcall::node::{Command, Environment, Plan, Stack};
use rollcall::{cli::signals, config::Listen, manager};

/// Its place in the table.
const BOARD: ModuleId = ModuleId(7);

/// What it wants of what comes.
fn claims() -> [Route; 2] {
    [Route::method(Method::Message), Route::manager("BOARD")]
}

/// The module: an actor between the endpoint's [`ToModule`] and [`FromModule`].
struct Board {
    endpoint: Recipient<FromModule>,
    text: String,
}

impl Board {
    fn new(endpoint: Recipient<FromModule>) -> Self {
        let text = String::new();
        Self { endpoint, text }
    }

    /// A MESSAGE: the endpoint has checked it and waits for one answer.
    fn pin(&mut self, incoming: &Incoming) -> ModuleOutput {
        let body = incoming.message.body();
        let status = match std::str::from_utf8(&body) {
            Ok(text) => {
                self.text = text.to_owned();
                StatusCode::OK
            }
            Err(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        ModuleOutput::Reply(Reply::new(incoming.transaction, status))
    }

    /// A `BOARD` document: it is answered over its session, which then may bring one more.
    fn show(&self, incoming: &ManagerIncoming) {
        let text = self.text.replace('&', "&amp;").replace('<', "&lt;");
        let kind = "BOARD".to_owned();
        let document = format!("<xml><type>{kind}</type><text>{text}</text></xml>");
        let answer = Message::Other { kind, document };
        incoming.reply.do_send(ToSession::Send(answer));
        incoming.reply.do_send(ToSession::Credit(1));
    }
}

impl Actor for Board {
    type Context = Context<Self>;
}

impl Handler<ToModule> for Board {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, _: &mut Self::Context) {
        let mut outputs = Vec::new();
        for input in inputs {
            match input {
                ModuleInput::Request(incoming) => outputs.push(self.pin(&incoming)),
                ModuleInput::Manager(incoming) => self.show(&incoming),
                // It sends no requests, observes none, and keeps no connections in mind.
                ModuleInput::Outcome(_)
                | ModuleInput::Observed { .. }
                | ModuleInput::ConnectionClosed(_) => {}
            }
        }
        let (module, shard) = (BOARD, 0);
        self.endpoint.do_send(FromModule {
            module,
            shard,
            outputs,
        });
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const MANAGER: ModuleId = ModuleId(1);
    let mut environment = Environment::real()?;
    let table = ModuleTable::builder()
        .module(BOARD, "board", &claims(), Sharding::One)
        .module(MANAGER, "manager", &manager::routes(), Sharding::One)
        .build()?;
    let stack = Stack::start(&Plan::default(), &table, &mut environment);

    // Modules first, then sockets: so no request finds nobody at home.
    let board = Board::new(stack.recipients()[0].clone()).start();
    stack.attach(BOARD, &[board.recipient()]);
    let setup = manager::Setup {
        module: MANAGER,
        hub: hub::Settings::new("board", &environment.entropy.token()),
        state: None,
        listen: ([127, 0, 0, 1], 7070).into(),
        rules: Rules {
            most: 100,
            ..Rules::default()
        },
        network: environment.network.clone(),
        clock: environment.clock,
    };
    let manager = manager::start(setup, &stack.endpoints[0]).await?;
    let sip = Listen::udp(([127, 0, 0, 1], 5070).into());
    for listening in stack.listen(&[sip], None).await? {
        println!("listening on {listening}");
    }
    println!("listening on manager:{}", manager.listener.local_addr());

    let mut control = signals::control()?;
    while control.next().await != Command::Stop {}
    manager.shut_down(std::time::Duration::from_secs(1)).await;
    stack.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rollcall::testkit::{EndpointKit, SessionProbe, SipPeer, World, in_virtual_time};

    use super::*;

    /// The module behind a real endpoint on a memory network, with a phone and a Manager-protocol session before it.
    async fn scene() -> (EndpointKit, SipPeer, SessionProbe) {
        let world = World::new(1, &["board", "phone"]);
        let table = ModuleTable::builder()
            .module(BOARD, "board", &claims(), Sharding::One)
            .build()
            .expect("no conflict");
        let kit = EndpointKit::start(world.network("board"), table).await;
        let board = Board::new(kit.endpoint.clone().recipient()).start();
        kit.attach(BOARD, board.recipient());
        let phone = kit.udp_peer(&world.network("phone")).await;
        let session = kit.session();
        (kit, phone, session)
    }

    #[test]
    fn what_a_message_pins_up_the_next_board_shows() {
        in_virtual_time(async {
            let (_kit, mut phone, mut session) = scene().await;
            let pin = phone.request("MESSAGE", "sip:board@127.0.0.1", "", "lunch <now>");
            phone.send(&pin).await;
            phone.expect_status(200).await;

            session.say("<xml><type> board </type></xml>");
            assert_eq!(
                session.document().await,
                "<xml><type>BOARD</type><text>lunch &lt;now></text></xml>"
            );
            assert_eq!(session.credit().await, 1);
        });
    }

    #[test]
    fn a_message_that_is_no_text_is_refused_and_changes_nothing() {
        in_virtual_time(async {
            let (_kit, mut phone, mut session) = scene().await;
            let head = phone.request("MESSAGE", "sip:board@127.0.0.1", "", "x");
            let mut message = head.into_bytes();
            message.pop();
            message.push(0xff);
            phone.send(message).await;
            phone.expect_status(415).await;

            session.say("<xml><type>BOARD</type></xml>");
            assert_eq!(
                session.document().await,
                "<xml><type>BOARD</type><text></text></xml>"
            );
        });
    }

    #[test]
    fn what_it_has_not_claimed_never_reaches_it() {
        in_virtual_time(async {
            let (_kit, mut phone, mut session) = scene().await;
            phone
                .send(phone.request(
                    "SUBSCRIBE",
                    "sip:board@127.0.0.1",
                    "Event: presence\r\n",
                    "",
                ))
                .await;
            phone.expect_status(405).await;

            session.say("<xml><type>PIN</type></xml>");
            assert!(session.document().await.contains("<type>ERROR</type>"));
        });
    }
}
