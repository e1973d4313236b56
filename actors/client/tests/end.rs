//! The end in order, the end without, and what a client is asked meanwhile.

use super::*;

#[test]
fn a_shutdown_removes_what_is_published_and_says_when_that_is_done() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        let publisher = world.client.publisher.clone();
        let limit = Some(Duration::from_secs(5));
        let end =
            actix_rt::spawn(async move { publisher.send(Shutdown { unpublish: limit }).await });
        let (request, message) = world.request().await;
        assert_eq!(message.expires().ok().flatten(), Some(0));
        assert_eq!(message.text(Name::SipIfMatch).as_deref(), Some("e1"));
        assert!(!end.is_finished());
        world.answer(&request, "200 OK", "");
        end.await.expect("a task").expect("a publisher");
        // Asked once more, it says so at once.
        let again = Shutdown { unpublish: limit };
        world
            .client
            .publisher
            .send(again)
            .await
            .expect("a publisher");
    });
}

#[test]
fn a_shutdown_before_a_dead_server_takes_no_longer_than_it_may() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        let start = Instant::now();
        let shutdown = Shutdown {
            unpublish: Some(Duration::from_secs(5)),
        };
        world
            .client
            .publisher
            .send(shutdown)
            .await
            .expect("a publisher");
        assert_eq!(start.elapsed().as_secs(), 5);
    });
}

#[test]
fn with_a_journal_a_client_that_was_killed_modifies_its_earlier_publication() {
    in_virtual_time(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        for (tag, before) in [("e1", None), ("e2", Some("e1"))] {
            // The actors of the round before are left as they are: nothing is written in order.
            let mut world = World::with(core_buffer::Settings::default(), Some(path.clone()));
            world.welcome("run");
            world.state(ALICE, 1);
            let (request, message) = world.request().await;
            assert_eq!(message.text(Name::SipIfMatch).as_deref(), before);
            world.answer(
                &request,
                "200 OK",
                &format!("SIP-ETag: {tag}\r\nExpires: 600\r\n"),
            );
            assert_eq!(world.told().await, ack(1, tag));
        }
    });
}

#[test]
fn one_state_can_be_published_from_within() {
    in_virtual_time(async {
        let mut world = World::start();
        let buffer = world.client.buffer.clone();
        let presence = Presence {
            entity: ALICE.to_owned(),
            ..Presence::default()
        };
        let patience = Duration::from_secs(10);
        let (state, longer) = (presence.clone(), buffer.clone());
        let published =
            actix_rt::spawn(async move { once::publish(&longer, state, patience).await });
        world.publish(ALICE, "e1").await;
        assert_eq!(published.await.expect("a task"), Ok(Some("e1".to_owned())));

        let (state, longer) = (presence.clone(), buffer.clone());
        let refused = actix_rt::spawn(async move { once::publish(&longer, state, patience).await });
        let (request, _) = world.request().await;
        world.answer(&request, "404 Not Found", "");
        let nak = Nak {
            seq: 1,
            code: 404,
            reason: "Not Found".to_owned(),
        };
        assert_eq!(
            refused.await.expect("a task"),
            Err(once::Unpublished::Refused(nak))
        );

        let start = Instant::now();
        let silence = once::publish(&buffer, presence, patience).await;
        assert_eq!(silence, Err(once::Unpublished::NoAnswer(patience)));
        assert_eq!(start.elapsed(), patience);
    });
}

#[test]
fn snapshots_show_what_there_is() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        world.state(BOB, 2);
        world.request().await;
        let buffer = world
            .client
            .buffer
            .send(TakeSnapshot)
            .await
            .expect("a buffer");
        assert_eq!(buffer["actor"], "publish-buffer");
        assert_eq!(
            (&buffer["entries"], &buffer["in_flight"]),
            (&1.into(), &1.into())
        );
        assert_eq!(buffer["counters"]["acked"], 1);
        let publisher = world
            .client
            .publisher
            .send(TakeSnapshot)
            .await
            .expect("a publisher");
        assert_eq!(
            (&publisher["published"], &publisher["in_flight"]),
            (&1.into(), &1.into())
        );
        assert_eq!(publisher["counters"]["initial"], 2);
    });
}
