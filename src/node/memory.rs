//! What the process holds in memory: by kind, as its parts account for it, and as the system sees it.

use std::fs;

use super::Shared;

/// An idle connection with its buffers, over HTTP/1.1, and over HTTP/2 or HTTP/3, as measured; the kernel's share is left
/// out, for it is not resident in the process.
const H1: u64 = 16 << 10;
const MULTIPLEXED: u64 = 48 << 10;

/// Octets by what holds them. Those of the cache are exact and below its ceiling; the others are estimates.
pub(super) fn kinds(shared: &Shared) -> Vec<(&'static str, u64)> {
    let usage = shared.edge.cache.usage();
    let live = shared.edge.live.weight();
    let open = shared.connections();
    vec![
        ("bodies", usage.bodies),
        ("heads", usage.heads),
        ("index", usage.index),
        ("fills", usage.fills),
        ("disk-index", usage.disk_index),
        ("playlists", live.playlists),
        ("names", live.names),
        ("held", live.held),
        ("viewers", shared.edge.stories.live.lock().weight() as u64),
        ("connections", open.h1 * H1 + (open.h2 + open.h3) * MULTIPLEXED),
    ]
}

/// The octets of the process that are in memory; `None` where the system does not tell.
pub(super) fn resident() -> Option<u64> {
    parsed(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmRSS` of `/proc/self/status`, in bytes.
fn parsed(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(parsed("Name:\tweir\nVmHWM:\t  9 kB\nVmRSS:\t   5120 kB\n"), Some(5 << 20));
        assert_eq!((parsed("VmRSS: x kB"), parsed("")), (None, None));
        assert!(resident().is_none_or(|bytes| bytes > 1 << 20));
    }
}
