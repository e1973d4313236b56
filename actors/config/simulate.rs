//! Settings of the simulated world.

use std::time::Duration;

use super::Settings;
use super::kind::{Number, Span, Whole};
use super::section::Section;

/// What `rollcall simulate` is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulate {
    /// Everything random follows from it.
    pub seed: u64,
    /// Simulated people.
    pub presentities: usize,
    /// Subscriptions to them, spread at random.
    pub subscriptions: usize,
    /// Virtual time in which people change their state.
    pub duration: Duration,
    /// Virtual time after it, without faults, in which everything must come to agree.
    pub settle: Duration,
    /// The mean time between two changes of a person.
    pub change_every: Duration,
    /// Managers, each with its Presence Client.
    pub managers: usize,
    /// Shards of the server.
    pub shards: u8,
    /// What the network does to messages.
    pub network: Links,
    /// What goes wrong besides.
    pub faults: Faults,
}

/// What the network does to messages. Streams are only delayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Links {
    /// The time a message takes.
    pub delay: Duration,
    /// The most that is added to it at random; more than a little reorders datagrams.
    pub jitter: Duration,
    /// Share of datagrams lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of datagrams that are held back behind later ones.
    pub reorder: f64,
}

/// What goes wrong besides, at random times within the duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// How often the network falls into two parts.
    pub partitions: u32,
    /// How long a partition lasts.
    pub partition_length: Duration,
    /// How often a node crashes: it loses everything but its store.
    pub crashes: u32,
    /// How long a crashed node stays down.
    pub crash_length: Duration,
    /// How often the server's disk is full, fails, hangs or is slow.
    pub disk: u32,
    /// How long that lasts.
    pub disk_length: Duration,
    /// How often a node's clock is set while it starts anew.
    pub clock_jumps: u32,
    /// How far a clock is off at most, from the beginning and after each jump.
    pub clock_jump: Duration,
    /// How often a node does nothing for a while.
    pub stalls: u32,
    /// How long it does nothing at most.
    pub stall_length: Duration,
    /// How often it is decided anew how a phone is treated that watches somebody.
    pub decisions: u32,
    /// Phones: they register, publish, and watch.
    pub phones: usize,
    /// Hosts that send what they should not, and answer badly or not at all.
    pub strangers: usize,
}

impl Settings for Simulate {
    const ROLE: &'static str = "simulate";
    const ABOUT: &'static str =
        "Settings of a simulated world: rollcall simulate --config simulate.toml";

    fn read(s: &mut Section<'_>) -> Self {
        Self {
            seed: s.key(
                "seed",
                "Everything random follows from it: the same seed gives the same trace.",
                Whole(0..=u64::MAX >> 1),
                1,
            ),
            presentities: s.key("presentities", "Simulated people.", Whole(1..=1_000_000), 1000),
            subscriptions: s.key(
                "subscriptions",
                "Subscriptions to them, spread at random.",
                Whole(0..=10_000_000),
                5000,
            ),
            duration: s.key(
                "duration",
                "Virtual time in which people change their state. An hour sees every timer of SIP.",
                Span::seconds(1, 30 * 86_400),
                Duration::from_secs(3600),
            ),
            settle: s.key(
                "settle",
                "Virtual time after it, without faults, in which everything must come to agree. Longer than any retry.",
                Span::seconds(60, 86_400),
                Duration::from_secs(600),
            ),
            change_every: s.key(
                "change_every",
                "The mean time between two changes of a person.",
                Span::seconds(1, 86_400),
                Duration::from_secs(600),
            ),
            managers: s.key(
                "managers",
                "Managers, each with its Presence Client; people are divided among them.",
                Whole(1..=1000),
                2,
            ),
            shards: s.key("shards", "Shards of the server.", Whole(1..=64), 2),
            network: s.section("network", Links::read),
            faults: s.section("faults", Faults::read),
        }
    }
}

impl Links {
    fn read(s: &mut Section<'_>) -> Self {
        let most = || Span(Duration::ZERO..=Duration::from_secs(60));
        let share = || Number(0.0..=0.9);
        Self {
            delay: s.key(
                "delay",
                "The time a message takes.",
                most(),
                Duration::from_millis(20),
            ),
            jitter: s.key(
                "jitter",
                "The most that is added to it at random; much of it reorders datagrams.",
                most(),
                Duration::from_millis(10),
            ),
            loss: s.key(
                "loss",
                "Share of datagrams lost. A poor network.",
                share(),
                0.01,
            ),
            duplicate: s.key(
                "duplicate",
                "Share of datagrams that arrive twice.",
                share(),
                0.01,
            ),
            reorder: s.key(
                "reorder",
                "Share of datagrams held back behind later ones.",
                share(),
                0.01,
            ),
        }
    }
}

impl Faults {
    fn read(s: &mut Section<'_>) -> Self {
        let length = || Span::seconds(1, 86_400);
        Self {
            partitions: s.key(
                "partitions",
                "How often the network falls into two parts.",
                Whole(0..=10_000),
                1,
            ),
            partition_length: s.key(
                "partition_length",
                "How long a partition lasts. Longer than the 32 s after which a SIP transaction gives up.",
                length(),
                Duration::from_secs(90),
            ),
            crashes: s.key(
                "crashes",
                "How often a node crashes: it loses everything but its store.",
                Whole(0..=10_000),
                1,
            ),
            crash_length: s.key(
                "crash_length",
                "How long a crashed node stays down.",
                length(),
                Duration::from_secs(20),
            ),
            disk: s.key(
                "disk",
                "How often the server's disk is full, fails, hangs or is slow.",
                Whole(0..=10_000),
                1,
            ),
            disk_length: s.key(
                "disk_length",
                "How long that lasts at most.",
                length(),
                Duration::from_secs(30),
            ),
            clock_jumps: s.key(
                "clock_jumps",
                "How often a node's clock is set while it starts anew: a running node follows no step of its clock.",
                Whole(0..=10_000),
                1,
            ),
            clock_jump: s.key(
                "clock_jump",
                "How far a clock is off at most, from the beginning and after each jump.",
                Span(Duration::ZERO..=Duration::from_secs(45 * 60)),
                Duration::from_secs(600),
            ),
            stalls: s.key(
                "stalls",
                "How often a node does nothing for a while, and then everything at once.",
                Whole(0..=10_000),
                1,
            ),
            stall_length: s.key(
                "stall_length",
                "How long it does nothing at most.",
                length(),
                Duration::from_secs(10),
            ),
            decisions: s.key(
                "decisions",
                "How often it is decided anew how a phone is treated that watches somebody.",
                Whole(0..=10_000),
                2,
            ),
            phones: s.key(
                "phones",
                "Phones: they register, publish for themselves, and watch.",
                Whole(0..=1000),
                1,
            ),
            strangers: s.key(
                "strangers",
                "Hosts that send what they should not, and answer badly or not at all.",
                Whole(0..=1000),
                1,
            ),
        }
    }
}
