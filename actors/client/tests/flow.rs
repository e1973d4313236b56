//! States on their way, and the session that brings them.

use super::*;

#[test]
fn a_welcome_is_answered_with_credit_and_a_state_with_its_ack() {
    in_virtual_time(async {
        let mut world = World::greeted();
        assert!(matches!(
            world.session.next().await,
            ToSession::Credit(1024)
        ));
        world.state(ALICE, 7);
        let (request, message) = world.request().await;
        assert_eq!(message.uri_text(), ALICE);
        assert_eq!(
            message.content_type().as_deref(),
            Some("application/pidf+xml")
        );
        assert!(
            String::from_utf8_lossy(&message.body()).contains("entity=\"sip:alice@example.com\"")
        );
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n");
        assert_eq!(world.told().await, ack(7, "e1"));
    });
}

#[test]
fn a_state_without_a_welcome_before_it_is_served_too() {
    in_virtual_time(async {
        let mut world = World::start();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        assert_eq!(world.told().await, ack(1, "e1"));
    });
}

#[test]
fn a_refused_state_is_nakked_with_the_server_s_words() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world.answer(&request, "403 Not Yours", "");
        let nak = Nak {
            seq: 1,
            code: 403,
            reason: "Not Yours".to_owned(),
        };
        assert_eq!(world.told().await, manager::Message::Nak(nak));
    });
}

#[test]
fn a_full_buffer_gives_credit_only_when_a_publication_is_answered() {
    in_virtual_time(async {
        let buffer = core_buffer::Settings {
            capacity: 1,
            ..core_buffer::Settings::default()
        };
        let mut world = World::with(buffer, None);
        world.welcome("run 1");
        assert!(matches!(world.session.next().await, ToSession::Credit(1)));
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world
            .session
            .expect_nothing(Duration::from_secs(3600))
            .await;
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\n");
        assert!(matches!(
            world.session.next().await,
            ToSession::Send(manager::Message::Ack(_))
        ));
        assert!(matches!(world.session.next().await, ToSession::Credit(1)));
    });
}

#[test]
fn while_the_server_is_busy_the_newest_state_waits_and_both_are_acknowledged_with_it() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        let start = Instant::now();
        world.answer(&request, "503 Service Unavailable", "Retry-After: 5\r\n");
        world.state(ALICE, 2);
        world.publish(ALICE, "e1").await;
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(world.told().await, ack(1, "e1"));
        assert_eq!(world.told().await, ack(2, "e1"));
    });
}

#[test]
fn a_publication_is_refreshed_again_and_again() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e0").await;
        for hour in 0..3 {
            let start = Instant::now();
            let FromModule { mut outputs, .. } = world
                .endpoint
                .next_within(Duration::from_secs(541))
                .await
                .expect("a refresh before the publication lapses");
            assert!(start.elapsed() >= Duration::from_secs(480));
            let ModuleOutput::Send(request) = outputs.remove(0) else {
                panic!("a reply came")
            };
            assert_eq!(request.body, Bytes::new());
            let head = String::from_utf8_lossy(&request.head).into_owned();
            assert!(
                head.contains(&format!("SIP-If-Match: e{hour}\r\n")),
                "{head}"
            );
            world.answer(
                &request,
                "200 OK",
                &format!("SIP-ETag: e{}\r\nExpires: 600\r\n", hour + 1),
            );
        }
    });
}

/// A session that has ended, as its actor has.
struct Ended;

impl Actor for Ended {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<ToSession> for Ended {
    type Result = ();

    fn handle(&mut self, _: ToSession, _: &mut Context<Self>) {}
}

#[test]
fn what_was_published_while_there_was_no_session_is_acknowledged_to_the_next_of_the_same_run() {
    in_virtual_time(async {
        let mut world = World::start();
        let ended = Ended.start().recipient();
        world.welcome_over(&ended, "run 1");
        world.state_over(&ended, ALICE, 1);
        world.publish(ALICE, "e1").await;
        let mut unsent = 0.into();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            unsent = world
                .client
                .buffer
                .send(TakeSnapshot)
                .await
                .expect("a buffer")["unsent"]
                .take();
        }
        assert_eq!(unsent, 1);
        world.reconnect("run 1");
        assert_eq!(world.told().await, ack(1, "e1"));
    });
}

#[test]
fn another_run_of_the_manager_is_not_told_of_the_numbers_of_the_one_before() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world.reconnect("run 2");
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n");
        world.state(BOB, 1);
        world.publish(BOB, "e2").await;
        assert_eq!(world.told().await, ack(1, "e2"));
    });
}
