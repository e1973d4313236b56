//! What processes use, from `/proc` (Linux).

use std::collections::BTreeMap;
use std::fs;

/// Clock ticks a second in `/proc/PID/stat`: the same on every Linux for user programs.
const TICKS: u64 = 100;

/// Processes whose use is added up.
#[derive(Clone, Debug)]
pub(super) struct Processes {
    ids: Vec<u32>,
}

/// What they have used until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Time on a processor, in nanoseconds: of threads that live, to the nanosecond where the kernel says so.
    pub cpu_ns: u64,
    /// The part in user mode, in clock ticks.
    pub user_ticks: u64,
    /// The part in the kernel, in clock ticks.
    pub system_ticks: u64,
    /// Resident memory, KiB. What processes share is counted in each.
    pub resident_kib: u64,
    /// The most that was ever resident, KiB.
    pub peak_kib: u64,
}

impl Processes {
    /// These processes, with those that they have started and that live now. An error is a sentence.
    pub(super) fn with_children(ids: &[u32]) -> Result<Self, String> {
        for id in ids {
            fs::metadata(format!("/proc/{id}")).map_err(|_| format!("there is no process {id}"))?;
        }
        let mut parents = BTreeMap::new();
        let entries = fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
        for id in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()) {
            if let Some(stat) = read(id, "stat").as_deref().and_then(Stat::parse) {
                parents.insert(id, stat.parent);
            }
        }
        Ok(Self {
            ids: descendants(ids, &parents),
        })
    }

    /// This program itself.
    pub(super) fn own() -> Self {
        Self {
            ids: vec![std::process::id()],
        }
    }

    /// What they have used; None once one has ended.
    pub(super) fn used(&self) -> Option<Used> {
        let mut all = Used::default();
        for &id in &self.ids {
            let stat = Stat::parse(&read(id, "stat")?)?;
            let ticks = (stat.user + stat.system) * (1_000_000_000 / TICKS);
            let memory = read(id, "status")?;
            all.cpu_ns += on_processor(id).unwrap_or(ticks);
            all.user_ticks += stat.user;
            all.system_ticks += stat.system;
            all.resident_kib += kib(&memory, "VmRSS:")?;
            all.peak_kib += kib(&memory, "VmHWM:")?;
        }
        Some(all)
    }
}

/// The ids and all that descend from them, each once.
fn descendants(ids: &[u32], parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = ids.to_vec();
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, its)| **its == parent);
        found.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn read(id: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{id}/{file}")).ok()
}

/// Nanoseconds on a processor, of all threads.
fn on_processor(id: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task")).ok()? {
        let path = thread.ok()?.path().join("schedstat");
        // A thread may end meanwhile.
        let text = fs::read_to_string(path).unwrap_or_default();
        sum += text.split(' ').next()?.parse::<u64>().unwrap_or_default();
    }
    Some(sum).filter(|sum| *sum > 0)
}

struct Stat {
    parent: u32,
    user: u64,
    system: u64,
}

impl Stat {
    /// Fields 4, 14 and 15 of `/proc/PID/stat`. The name, field 2, may contain anything, also spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let (_, after) = text.rsplit_once(") ")?;
        let fields: Vec<_> = after.split(' ').collect();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user: fields.get(11)?.parse().ok()?,
            system: fields.get(12)?.parse().ok()?,
        })
    }
}

/// A line like `VmRSS:     1234 kB`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_counted_once() {
        let parents = BTreeMap::from([(10, 1), (11, 10), (12, 11), (13, 1), (14, 13)]);
        assert_eq!(descendants(&[10, 11], &parents), [10, 11, 12]);
        assert_eq!(descendants(&[14], &parents), [14]);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let text = "7 (a) b (c)) S 3 4 5 0 -1 0 0 0 0 0 120 34 0 0 20 0 1";
        let stat = Stat::parse(text).map(|stat| (stat.parent, stat.user, stat.system));
        assert_eq!(stat, Some((3, 120, 34)));
        assert!(Stat::parse("7 (a) S").is_none());
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(1024));
        assert_eq!(kib(status, "VmHWM:"), Some(2048));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_process_has_used_something() {
        let used = Processes::own().used().expect("we are alive");
        assert!(
            used.resident_kib > 0 && used.peak_kib >= used.resident_kib,
            "{used:?}"
        );
        assert!(used.cpu_ns > 0, "{used:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let told = Processes::with_children(&[u32::MAX]).map(|processes| processes.ids);
        assert_eq!(told, Err("there is no process 4294967295".to_owned()));
    }
}
