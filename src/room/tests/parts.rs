//! Where units of the layers below SIP begin and end.

use crate::room::{Fragments, Parts, Records};

/// Feeds all but the last byte one by one, and asks; then the last one.
fn follow(parts: &mut impl Parts, unit: &[u8], number: u32) {
    for byte in &unit[..unit.len() - 1] {
        parts.feed(&[*byte]);
        assert_eq!(parts.begun(), Some(number));
    }
    parts.feed(&unit[unit.len() - 1..]);
    assert_eq!(parts.begun(), None);
}

#[test]
fn records_of_tls_have_a_length_and_may_come_in_any_pieces() {
    let mut records = Records::default();
    assert_eq!(records.begun(), None);
    let long = [&[23, 3, 3, 1, 2][..], &[7; 258]].concat();
    follow(&mut records, &long, 0);
    follow(&mut records, &[22, 3, 1, 0, 0], 1);
    records.feed(&[&long[..], &long, &long[..100]].concat());
    assert_eq!(records.begun(), Some(4));
}

#[test]
fn messages_of_a_websocket_end_with_their_last_fragment() {
    let mut fragments = Fragments::default();
    let masked = [&[0x81, 0x85, 1, 2, 3, 4][..], b"hello"].concat();
    follow(&mut fragments, &masked, 0);
    let long = [&[0x82, 126, 1, 0][..], &[0; 256]].concat();
    follow(&mut fragments, &long, 1);
    let longest = [
        &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9][..],
        &[0; 65_536],
    ]
    .concat();
    follow(&mut fragments, &longest, 2);
    // A first fragment, a ping within the message, a further one, the last.
    fragments.feed(&[0x01, 0x02, b'a', b'b']);
    assert_eq!(fragments.begun(), Some(3));
    fragments.feed(&[0x89, 0x00]);
    assert_eq!(fragments.begun(), Some(3));
    fragments.feed(&[0x00, 0x00]);
    assert_eq!(fragments.begun(), Some(3));
    fragments.feed(&[0x80, 0x01, b'c', 0x89]);
    assert_eq!(fragments.begun(), Some(4));
    fragments.feed(&[0x00]);
    assert_eq!(fragments.begun(), None);
}
