//! How much memory this machine gives us: what it has, or what the control group may use, whichever is less.

use std::fs::read_to_string;
use std::path::Path;

/// What is taken where the system does not say, in bytes.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory for the state of presentities, when the settings name none: half of what there is. The other half is for
/// what is on its way, the store, and what an allocator keeps.
pub(super) fn budget() -> u64 {
    let machine = read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of);
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = Path::new("/sys/fs/cgroup");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    // Of the second version, the group or one above it; of the first.
    let own = own.map(|path| group.join(path));
    let mut limits: Vec<u64> = own
        .iter()
        .flat_map(|own| own.ancestors().take_while(|above| above.starts_with(group)))
        .filter_map(|path| limit_in(&path.join("memory.max")))
        .collect();
    limits.extend(limit_in(&group.join("memory/memory.limit_in_bytes")));
    limits.extend(machine);
    limits.into_iter().min().unwrap_or(UNKNOWN) / 2
}

fn limit_in(file: &Path) -> Option<u64> {
    // `max` is no number, and no limit.
    read_to_string(file).ok()?.trim().parse().ok()
}

/// `MemTotal` of /proc/meminfo, which is in KiB.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_the_machine_has_is_for_state_at_most() {
        let told = "MemTotal:       24684444 kB\nMemFree:        16360580 kB\n";
        assert_eq!(total_of(told), Some(24_684_444 * 1024));
        assert_eq!(total_of("MemFree: 1 kB"), None);
        let budget = budget();
        assert!(budget >= 16 << 20, "{budget}");
        if let Some(all) = read_to_string("/proc/meminfo")
            .ok()
            .as_deref()
            .and_then(total_of)
        {
            assert!(budget <= all / 2, "{budget} of {all}");
        }
    }
}
