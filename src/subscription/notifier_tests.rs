use super::*;

const TOKEN: Token = 5;

fn awaiting() -> Notifier {
    let mut notifier = Notifier::default();
    notifier.sent(TOKEN, 1);
    notifier
}

#[test]
fn a_new_version_is_sent_from_idle_only() {
    let mut notifier = Notifier::default();
    assert!(notifier.changed(1));
    notifier.sent(TOKEN, 1);
    assert!(!notifier.changed(2));
    assert_eq!(
        notifier.answered(TOKEN, &OutcomeResult::Timeout, 1, 9),
        Verdict::Send
    );
    assert!(!notifier.changed(1));
    assert!(notifier.changed(2));
}

#[test]
fn timeouts_beyond_the_tolerated_number_remove_the_subscription() {
    let mut notifier = awaiting();
    for _ in 0..3 {
        assert_eq!(
            notifier.answered(TOKEN, &OutcomeResult::Timeout, 1, 3),
            Verdict::Send
        );
        notifier.sent(TOKEN, 1);
    }
    assert_eq!(
        notifier.answered(TOKEN, &OutcomeResult::Timeout, 1, 3),
        Verdict::Remove(Lost::Unanswered)
    );
}

#[test]
fn with_no_tolerance_the_first_timeout_is_the_end() {
    let verdict = awaiting().answered(TOKEN, &OutcomeResult::Timeout, 1, 0);
    assert_eq!(verdict, Verdict::Remove(Lost::Unanswered));
}

#[test]
fn what_could_not_be_sent_is_tried_again_later() {
    let error = OutcomeResult::TransportError("refused".to_owned());
    let verdict = awaiting().answered(TOKEN, &error, 1, 1);
    assert_eq!(verdict, Verdict::Hold(Duration::from_secs(5)));
}

#[test]
fn the_end_of_another_notify_is_stale() {
    let mut notifier = awaiting();
    assert_eq!(
        notifier.answered(6, &OutcomeResult::Timeout, 1, 0),
        Verdict::Stale
    );
    assert_eq!(
        notifier.flight(),
        Flight::Awaiting {
            token: TOKEN,
            again: false
        }
    );
}

#[test]
fn an_end_waits_for_the_notify_in_flight_and_for_nothing_else() {
    let mut notifier = awaiting();
    assert!(!notifier.end(EndReason::Timeout));
    assert_eq!(notifier.ending(), Some(EndReason::Timeout));
    assert!(Notifier::default().end(EndReason::Deactivated));
}
