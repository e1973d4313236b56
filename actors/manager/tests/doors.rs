//! Who has a place at a Manager's listener, and what is not waited for.

use super::*;

#[test]
fn one_that_has_said_nothing_makes_room_and_one_that_has_greeted_does_not() {
    in_virtual_time(async {
        let bench = Bench::with(|setup| setup.rules.most = 2).await;
        let mut greeted = bench.client().await;
        let mut silent = bench.peer().await;
        tokio::time::advance(Duration::from_millis(10)).await;
        let mut third = bench.client().await;
        let reason = silent.expect_type("ERROR").await;
        assert!(reason.contains("said nothing"), "{reason}");
        silent.expect_close().await;
        bench.peer().await.expect_type("ERROR").await;
        for peer in [&mut greeted, &mut third] {
            peer.send("<xml><type>PING</type></xml>").await;
            peer.expect_type("PONG").await;
        }
        let counters = bench.manager.listener.snapshot()["counters"].clone();
        let counted = ["accepted", "displaced", "turned_away"].map(|name| counters[name].as_u64());
        assert_eq!(counted, [Some(3), Some(1), Some(1)], "{counters}");
    });
}

#[test]
fn half_a_document_lives_ten_seconds_however_it_trickles() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let mut peer = bench.source("slow").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begin = Instant::now();
        peer.send("<xml><type>PRES").await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            peer.send("E").await;
        }
        let reason = peer.expect_type("ERROR").await;
        assert!(reason.contains("not whole within 10s"), "{reason}");
        peer.expect_close().await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    });
}
