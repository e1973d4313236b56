//! What a registrar does beyond RFC 3261: Path (RFC 3327), flows (RFC 5626), GRUUs (RFC 5627), presence (RFC 3856, 7.2).

use crate::registry::testing::{Desk, pidf};
use crate::registry::{Registrar, Settings};

impl Desk {
    fn enrol(&mut self, lines: &str) {
        let lines = format!("To: <sip:bob@example.com>|Expires: 600|{lines}");
        self.send("REGISTER", "sip:example.com", &lines, "");
    }
}

const INSTANCE: &str = ";+sip.instance=\"<urn:uuid:0a-1>\"";

fn with(registrar: Registrar) -> Desk {
    Desk::with(Settings {
        registrar,
        offline_document: true,
        ..Settings::default()
    })
}

#[test]
fn a_path_is_kept_over_a_restart_and_told_to_who_supports_it() {
    let mut desk = Desk::new();
    let path = "Path: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>";
    desk.enrol(&format!("Contact: <sip:bob@127.0.0.1>|{path}"));
    desk.enrol(&format!(
        "Contact: <sip:bob@127.0.0.1>|Supported: path|{path}"
    ));
    assert_eq!(
        desk.said(),
        [
            "1: 420 | Unsupported: path",
            "2: 200 | Contact: <sip:bob@127.0.0.1>;expires=600 | Path: <sip:p1.example.com;lr> | Path: <sip:p2.example.com;lr>",
        ]
    );
    let stored = format!("{:?}", desk.records);
    assert!(stored.contains("path: \"<sip:p1.example.com;lr>, <sip:p2.example.com;lr>\""));
    desk.restart();
    desk.enrol("");
    assert_eq!(
        desk.said(),
        ["3: 200 | Contact: <sip:bob@127.0.0.1>;expires=600"]
    );
}

#[test]
fn a_flow_is_named_by_instance_and_number_and_its_contact_may_change() {
    let mut desk = Desk::new();
    let flow = |port: u16, number: u32| {
        format!(
            "Contact: <sip:bob@127.0.0.1:{port}>{INSTANCE};reg-id={number}|Supported: path, outbound"
        )
    };
    desk.enrol(&flow(5070, 1));
    desk.enrol(&flow(5070, 2));
    desk.enrol(&flow(5071, 1));
    desk.restart();
    desk.enrol(&flow(5071, 1).replace("|Supported", ";expires=0|Supported"));
    desk.enrol("Supported: outbound");
    let line = |port: u16, number: u32| {
        format!(" | Contact: <sip:bob@127.0.0.1:{port}>;expires=600{INSTANCE};reg-id={number}")
    };
    assert_eq!(
        desk.happened(),
        [
            "store +binding v1".to_owned(),
            format!("1: 200{} | Require: outbound", line(5070, 1)),
            "store +binding v1".to_owned(),
            format!(
                "2: 200{}{} | Require: outbound",
                line(5070, 1),
                line(5070, 2)
            ),
            "store +binding v2".to_owned(),
            format!(
                "3: 200{}{} | Require: outbound",
                line(5070, 2),
                line(5071, 1)
            ),
            "store -binding v3".to_owned(),
            format!("4: 200{} | Require: outbound", line(5070, 2)),
            format!("5: 200{}", line(5070, 2)),
        ]
    );
}

#[test]
fn a_number_of_a_flow_means_nothing_where_nobody_keeps_flows() {
    let mut desk = Desk::new();
    // Without an instance, or without the option: the contact names the binding.
    desk.enrol("Contact: <sip:bob@127.0.0.1:1>;reg-id=1|Supported: outbound");
    desk.enrol(&format!(
        "Contact: <sip:bob@127.0.0.1:2>{INSTANCE};reg-id=1"
    ));
    // Behind a proxy that says nothing of it.
    let via = "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKp";
    let flow = format!(
        "Contact: <sip:bob@127.0.0.1:3>{INSTANCE};reg-id=1|Supported: path, outbound|{via}"
    );
    desk.enrol(&flow);
    desk.enrol(&format!("{flow}|Path: <sip:p;lr>"));
    desk.enrol(&format!("{flow}|Path: <sip:p;lr;ob>"));
    let answers: Vec<String> = desk.said().into_iter().collect();
    assert_eq!(answers[2..4], ["3: 439", "4: 439"]);
    assert_eq!(
        answers[4],
        format!(
            "5: 200 | Contact: <sip:bob@127.0.0.1:1>;expires=600 | Contact: <sip:bob@127.0.0.1:2>;expires=600{INSTANCE} | \
             Contact: <sip:bob@127.0.0.1:3>;expires=600{INSTANCE};reg-id=1 | Path: <sip:p;lr;ob> | Require: outbound"
        )
    );
    assert!(!answers[0].contains("Require") && !answers[1].contains("Require"));
}

#[test]
fn one_flow_is_registered_at_a_time() {
    let mut desk = Desk::new();
    let two = format!("<sip:bob@127.0.0.1:1>{INSTANCE};reg-id=1, <sip:bob@127.0.0.1:2>");
    desk.enrol(&format!("Contact: {two}|Supported: outbound"));
    desk.enrol(&format!("Contact: {two};expires=0|Supported: outbound"));
    let answers = desk.said();
    assert_eq!(answers[0], "1: 400");
    assert!(answers[1].starts_with("2: 200"), "{answers:?}");
}

#[test]
fn what_is_no_urn_in_brackets_is_no_instance_and_names_nothing() {
    let mut desk = Desk::new();
    // As text, the instance and number of the second are the contact of the first.
    desk.enrol("Contact: <sip:bob@127.0.0.1;reg-id=1>");
    desk.enrol(
        "Contact: <sip:bob@127.0.0.2>;+sip.instance=\"sip:bob@127.0.0.1\";reg-id=1|Supported: outbound",
    );
    let first = "<sip:bob@127.0.0.1;reg-id=1>;expires=600";
    assert_eq!(
        desk.said(),
        [
            format!("1: 200 | Contact: {first}"),
            format!("2: 200 | Contact: {first} | Contact: <sip:bob@127.0.0.2>;expires=600"),
        ]
    );
}

#[test]
fn all_parameters_of_a_contact_are_kept_over_a_restart_and_listed() {
    let mut desk = Desk::new();
    let own = ";methods=\"MESSAGE, NOTIFY\";audio";
    let flow = format!("{INSTANCE};reg-id=1");
    desk.enrol(&format!(
        "Contact: <sip:bob@127.0.0.1>;q=0.5{own}{flow};pub-gruu=\"sip:eve@example.com;gr=1\";temp-gruu=\"sip:e;gr\"|\
         Supported: outbound"
    ));
    let listed = format!("<sip:bob@127.0.0.1>;q=0.500;expires=600{flow}{own}");
    assert_eq!(
        desk.said(),
        [format!("1: 200 | Contact: {listed} | Require: outbound")]
    );
    desk.restart();
    desk.enrol("");
    assert_eq!(desk.said(), [format!("2: 200 | Contact: {listed}")]);
    // A refresh says all of them anew.
    desk.enrol(&format!(
        "Contact: <sip:bob@127.0.0.1>{flow}|Supported: outbound"
    ));
    let listed = format!("<sip:bob@127.0.0.1>;expires=600{flow}");
    assert_eq!(
        desk.said(),
        [format!("3: 200 | Contact: {listed} | Require: outbound")]
    );
}

#[test]
fn a_device_whose_contact_leads_back_to_its_address_or_is_no_sip_uri_gets_no_gruu_but_403() {
    let wrong = [
        "sip:bob@example.com",
        "sip:bob@example.com;gr=urn:uuid:0a-1",
        "tel:+1555",
    ];
    for contact in wrong {
        let mut desk = with(Registrar {
            gruu: true,
            presence: false,
        });
        let request = format!("Contact: <{contact}>{INSTANCE}|Supported: gruu");
        desk.enrol(&request);
        assert_eq!(desk.happened(), ["1: 403"], "{contact}");
        // What goes makes no loop, and without an instance RFC 3261 alone counts.
        desk.enrol(&request.replace(INSTANCE, &format!("{INSTANCE};expires=0")));
        assert_eq!(desk.happened(), ["2: 200"], "{contact}");
        desk.enrol(&request.replace(INSTANCE, ""));
        assert_eq!(
            desk.said(),
            [format!("3: 200 | Contact: <{contact}>;expires=600")]
        );
    }
}

#[test]
fn a_public_gruu_is_given_where_it_is_switched_on_and_supported() {
    let contact = format!("Contact: <sip:bob@127.0.0.1>{INSTANCE}");
    let mut desk = with(Registrar {
        gruu: true,
        presence: false,
    });
    desk.enrol(&format!("{contact}|Supported: gruu"));
    desk.enrol(&contact);
    let mut off = with(Registrar::default());
    off.enrol(&format!("{contact}|Supported: gruu"));
    let plain = format!("200 | Contact: <sip:bob@127.0.0.1>;expires=600{INSTANCE}");
    let gruu = ";pub-gruu=\"sip:bob@example.com;gr=urn:uuid:0a-1\"";
    assert_eq!(
        desk.said(),
        [format!("1: {plain}{gruu}"), format!("2: {plain}")]
    );
    assert_eq!(off.said(), [format!("1: {plain}")]);
    // It is the presentity's name as well.
    let lines = "Contact: <sip:alice@127.0.0.1:5070>|Expires: 60";
    desk.send(
        "SUBSCRIBE",
        "sip:bob@example.com;gr=urn:uuid:0a-1",
        lines,
        "",
    );
    assert_eq!(
        desk.registry.snapshot(9).presentities[0].aor,
        "sip:bob@example.com"
    );
}

#[test]
fn who_is_registered_is_shown_open_behind_all_that_is_published_where_that_is_switched_on() {
    let mut desk = with(Registrar {
        gruu: false,
        presence: true,
    });
    let gist = |desk: &mut Desk| {
        let said = desk.said();
        let told = said.iter().find_map(|line| line.split_once(" = "));
        let told = told.map(|(_, gist)| gist.to_owned());
        if told.is_some() {
            desk.answer("200 OK");
        }
        told
    };
    desk.subscribe("");
    assert_eq!(gist(&mut desk).as_deref(), Some("closed"));
    desk.enrol("Contact: <sip:bob@127.0.0.1>");
    assert_eq!(gist(&mut desk).as_deref(), Some("open"));
    // A refresh and a second contact change nothing.
    desk.enrol("Contact: <sip:bob@127.0.0.1>, <sip:bob@127.0.0.2>");
    assert_eq!(gist(&mut desk), None);
    desk.publish("Expires: 120", &pidf("open", "here"));
    let said = desk.said();
    assert!(
        said.last()
            .is_some_and(|line| line.ends_with("= open here")),
        "{said:?}"
    );
    let body = desk.in_flight[0].body.clone();
    let body = std::str::from_utf8(&body).expect("text");
    let (published, registered) = (body.find("here"), body.find("registered"));
    assert!(published < registered, "{body}");
    assert!(
        body.contains("<contact priority=\"0.0\">sip:bob@example.com</contact>"),
        "{body}"
    );
    desk.answer("200 OK");
    desk.restart();
    desk.pass(2_000);
    assert_eq!(gist(&mut desk).as_deref(), Some("open here"));
    // The publication lapses first, then the contacts.
    desk.pass(118_000);
    assert_eq!(gist(&mut desk).as_deref(), Some("open"));
    desk.pass(480_000);
    assert_eq!(gist(&mut desk).as_deref(), Some("closed"));
}
