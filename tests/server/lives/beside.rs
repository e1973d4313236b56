//! Recordings that belong to no life of a phone with us.

use super::Phone;
use crate::server::kit::{Server, code};

/// With credentials that nobody asked for; of another package; meant for somebody else.
#[test]
fn recordings_beside_a_life_get_the_answer_that_fits() {
    let server = Server::start();
    for (recording, status) in [
        ("pjsua-publish-digest", 200),
        ("pjsua-subscribe-digest", 200),
        ("pjsua-subscribe-dialog", 489),
        ("baresip-publish-digest", 200),
        ("linphone-subscribe-digest", 200),
        ("jssip-subscribe-digest", 200),
        ("linphone-publish-modify-on-the-phone", 412),
        ("kamailio-notify-active", 405),
        ("kamailio-notify-terminated", 405),
        ("kamailio-notify-winfo-full", 405),
    ] {
        // Linphone leaves out Content-Length where it may.
        let mut phone = match recording.starts_with("linphone") {
            true => Phone::udp(&server),
            false => Phone::tcp(&server),
        };
        phone.etag = "nobody-has-this".to_owned();
        let request = phone.adapted(recording);
        phone.peer.send(&request);
        let answer = phone
            .peer
            .expect(recording, |message| !message.is_request());
        assert_eq!(code(&answer), status, "{recording}");
    }
    // Answers to nothing that we asked.
    for recording in [
        "pjsua-notify-200",
        "baresip-notify-200",
        "linphone-notify-481",
        "kamailio-publish-401",
    ] {
        let mut phone = Phone::udp(&server);
        let response = phone.adapted(recording);
        phone.peer.send(&response);
        phone.peer.fence();
        assert_eq!(phone.peer.rest(), [""; 0], "{recording}");
    }
    server.assert_well();
}
