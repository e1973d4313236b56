//! Who is where in a simulated world, and who watches whom.

use std::net::{IpAddr, Ipv4Addr};

use rollcall_core::entropy::Entropy;

use crate::config;
use crate::transport::memory::Link;

/// The address of a host: a group for each role.
pub(super) fn address(group: u8, number: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(number + 1).unwrap_or(u32::MAX).to_be_bytes();
    Ipv4Addr::new(10, group, high, low).into()
}

/// How messages fare before the world calms down.
pub(super) fn link(settings: &config::Simulate) -> Link {
    let network = settings.network;
    Link {
        delay: network.delay,
        jitter: network.jitter,
        loss: network.loss,
        duplicate: network.duplicate,
        reorder: network.reorder,
        // As over Ethernet and IPv4.
        largest_in_bundle: Some(1472),
    }
}

pub(super) fn entity(number: usize) -> String {
    format!("sip:person-{number}@example.com")
}

/// The people of one Manager: they are dealt out in turn.
pub(super) fn people_of(settings: &config::Simulate, manager: usize) -> Vec<String> {
    (manager..settings.presentities)
        .step_by(settings.managers)
        .map(entity)
        .collect()
}

/// Who watches whom: each host of watchers watches distinct presentities, drawn at random.
pub(super) fn watchers(settings: &config::Simulate, entropy: &mut Entropy) -> Vec<Vec<String>> {
    if settings.subscriptions == 0 {
        return Vec::new();
    }
    // Half of the presentities on each host keeps the draw random, and hosts few.
    let each = settings
        .presentities
        .div_ceil(2)
        .min(settings.subscriptions);
    let hosts = settings.subscriptions.div_ceil(each);
    let mut left = settings.subscriptions;
    (0..hosts)
        .map(|_| {
            let mut all: Vec<usize> = (0..settings.presentities).collect();
            let count = each.min(left);
            left -= count;
            for place in 0..count {
                let span = u64::try_from(all.len() - place).unwrap_or(u64::MAX);
                let other = place + usize::try_from(entropy.below(span)).unwrap_or(0);
                all.swap(place, other);
            }
            all.truncate(count);
            all.into_iter().map(entity).collect()
        })
        .collect()
}
