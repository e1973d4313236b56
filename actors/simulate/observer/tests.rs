use std::time::Duration;

use bytes::Bytes;
use rollcall_core::entropy::Entropy;

use super::super::disk::SimDisk;
use super::super::ledger::Invariant;
use super::*;

const START: Timestamp = Timestamp::from_millis(1_000);

struct Scene {
    observer: Observer,
    ledger: Ledger,
    sent: u64,
}

impl Scene {
    fn new(sabotage: Option<Sabotage>) -> Self {
        let disk = SimDisk::new(Entropy::from_number(1));
        let promises = Promises::new(IpAddr::from([10, 0, 0, 9]), disk);
        let mut observer = Observer::new(START, Some("sip:bob@x"), sabotage, promises);
        observer.name(IpAddr::from([10, 0, 0, 1]), "server");
        observer.name(IpAddr::from([10, 0, 0, 2]), "client");
        Self {
            observer,
            ledger: Ledger::new(START),
            sent: 0,
        }
    }

    fn see(&mut self, carrier: Carrier, fate: Fate, text: &str) {
        self.sent += 1;
        let delivery = Delivery {
            at: Duration::from_millis(self.sent),
            from: "10.0.0.1:5060".parse().expect("an address"),
            to: "10.0.0.2:5060".parse().expect("an address"),
            carrier,
            fate,
            number: self.sent,
            bytes: &Bytes::copy_from_slice(text.as_bytes()),
        };
        self.observer.see(&delivery, &mut self.ledger);
    }

    fn datagram(&mut self, text: &str) {
        self.see(Carrier::Datagram, Fate::Delivered, text);
    }

    fn broken(&self) -> Vec<Invariant> {
        self.ledger
            .verdict()
            .iter()
            .map(|found| found.invariant)
            .collect()
    }
}

fn notify(cseq: u32, branch: &str) -> String {
    format!(
        "NOTIFY sip:w@x SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\nFrom: <sip:bob@x>;tag=t\r\nTo: <sip:w@x>;tag=u\r\n\
         Call-ID: c\r\nCSeq: {cseq} NOTIFY\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n"
    )
}

fn answer(cseq: u32, etag: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\nFrom: <sip:al@x>;tag=t\r\nTo: <sip:al@x>;tag=u\r\n\
         Call-ID: p\r\nCSeq: {cseq} PUBLISH\r\nSIP-ETag: {etag}\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn the_wire_is_booked() {
    let mut scene = Scene::new(None);
    scene.datagram(&notify(1, "z9hG4bKa"));
    scene.datagram(&notify(1, "z9hG4bKa"));
    scene.datagram(&answer(1, "e1"));
    scene.datagram(&answer(2, "e2"));
    assert_eq!(scene.broken(), []);
    scene.datagram(&notify(1, "z9hG4bKb"));
    scene.datagram(&answer(3, "e1"));
    assert_eq!(
        scene.broken(),
        [Invariant::CseqGrows, Invariant::EntityTagOnce]
    );
}

#[test]
fn a_sabotaged_observer_books_what_was_not_on_the_wire() {
    let mut scene = Scene::new(Some(Sabotage::ReusedCseq));
    scene.datagram(&notify(1, "z9hG4bKa"));
    assert_eq!(scene.broken(), [Invariant::CseqGrows]);
    let mut scene = Scene::new(Some(Sabotage::ReusedEntityTag));
    scene.datagram(&answer(1, "e1"));
    scene.datagram(&answer(2, "e2"));
    assert_eq!(scene.broken(), [Invariant::EntityTagOnce]);
}

#[test]
fn the_ladder_shows_what_is_about_the_presentity_and_what_was_lost() {
    let mut scene = Scene::new(None);
    scene.see(Carrier::Datagram, Fate::Lost, &notify(1, "z9hG4bKa"));
    scene.datagram(&answer(1, "e1"));
    let others = "<xml><type>PRESENCE</type><entity>sip:bob@x.org</entity></xml>";
    let bobs = "<xml><type>PRESENCE</type><entity>sip:bob@x</entity><note>v3</note></xml>";
    scene.see(
        Carrier::Stream,
        Fate::Delivered,
        &format!("{others}\n{bobs}\n"),
    );
    let ladder = scene.observer.ladder().expect("a ladder");
    let lines: Vec<&str> = ladder.lines().skip(1).map(str::trim_start).collect();
    assert_eq!(
        lines,
        [
            "0.001 s |---- NOTIFY active -----x|",
            "0.003 s |----- PRESENCE v3 ------>|"
        ]
    );
}

#[test]
fn every_difference_of_the_trace_is_in_the_digest_and_nothing_is_counted_after_the_end() {
    let digest = |fates: &[Fate]| {
        let mut scene = Scene::new(None);
        for fate in fates {
            scene.see(Carrier::Datagram, *fate, "x");
        }
        scene.observer.digest()
    };
    assert_eq!(digest(&[Fate::Delivered]), digest(&[Fate::Delivered]));
    assert_ne!(digest(&[Fate::Delivered]), digest(&[Fate::Lost]));
    let mut scene = Scene::new(None);
    scene.observer.stop_counting();
    let before = scene.observer.digest();
    scene.datagram("x");
    assert_ne!(scene.observer.digest(), before);
    assert!(scene.observer.traffic().kinds().is_empty());
}
