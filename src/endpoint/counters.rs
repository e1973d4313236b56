//! What an endpoint has done, counted: every drop, retry, absorption and refusal.

use std::collections::BTreeMap;

/// Counts since the endpoint's birth.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Messages that came in, of whatever quality.
    pub received: u64,
    /// Requests handed to modules.
    pub delivered: u64,
    /// Responses sent, first transmissions only.
    pub responses_sent: u64,
    /// Requests sent, first transmissions only.
    pub requests_sent: u64,
    /// Final responses handed to modules.
    pub responses_received: u64,
    /// Requests refused or answered by the endpoint itself, by status code.
    pub answered: BTreeMap<u16, u64>,
    /// Messages so broken that no answer is possible.
    pub unreadable: u64,
    /// Requests without credentials, with wrong ones or with a used nonce: challenged with 401.
    pub challenged: u64,
    /// Requests with a wrong password, or of a user that there is not; of 401s, those worth a look.
    pub login_failures: u64,
    /// Requests with credentials that were not looked at, since too many from there were wrong: 403 with Retry-After.
    pub logins_delayed: u64,
    /// Requests of ours that went out again with credentials.
    pub credentials_sent: u64,
    /// Requests of ours that went on to where a 3xx pointed.
    pub redirected: u64,
    /// ACKs: none is ever answered.
    pub acks: u64,
    /// Retransmitted requests whose original is still being worked on: absorbed.
    pub retransmissions_absorbed: u64,
    /// Retransmitted requests that got the same response again.
    pub retransmissions_answered: u64,
    /// Answered requests forgotten before Timer J, because there were too many.
    pub forgotten_early: u64,
    /// Requests that no module answered within 64*T1: forgotten without a response (RFC 4320).
    pub unanswered: u64,
    /// Replies to requests that are not, or no longer, waiting for one.
    pub late_replies: u64,
    /// Responses that had to find another way because their connection was gone.
    pub responses_rerouted: u64,
    /// Responses that found no way at all, or that no datagram can carry.
    pub responses_lost: u64,
    /// Responses that lost header lines, so that a stranger's request draws no more than three times its bytes.
    pub responses_shortened: u64,
    /// Responses that would have been longer than that even so: not sent.
    pub responses_withheld: u64,
    /// Requests and responses that were not sent, since nothing may go where they had to: see `[egress]`.
    pub barred: u64,
    /// Responses that belong to no request of ours: dropped.
    pub stray_responses: u64,
    /// Responses without usable Via or CSeq, or with several Vias: dropped.
    pub malformed_responses: u64,
    /// Provisional responses.
    pub provisional_responses: u64,
    /// Final responses that came again: absorbed.
    pub repeated_responses: u64,
    /// Responses of another shard's requests, handed over.
    pub handed_over: u64,
    /// Requests sent again by Timer E.
    pub requests_retransmitted: u64,
    /// Requests too large for a datagram, so that TCP was tried.
    pub requests_too_large: u64,
    /// Requests that were longer than a place may be sent that has not answered yet: not sent.
    pub held_back: u64,
    /// Requests of these that went over UDP after all, since their peers took no connection.
    pub datagrams_instead: u64,
    /// Requests given up by Timer F.
    pub timeouts: u64,
    /// Requests that could not be sent.
    pub transport_errors: u64,
    /// Flows over connections that were gone, so that the request took another way.
    pub flows_lost: u64,
    /// Times that the servers of a name had to be looked up (RFC 3263).
    pub names_asked: u64,
    /// Names that led to no server.
    pub names_unknown: u64,
    /// Times that a request went on to another server of its name, because one failed (RFC 3263, 4.3).
    pub failed_over: u64,
    /// Times that the transport had to be asked for a way.
    pub routes_asked: u64,
    /// Answers of the transport to questions that nobody asks any more.
    pub routes_unasked: u64,
}
