//! How many connections there may be: in total, and for one address prefix (what one household has). A place is a `Permit`; dropping it frees the place. All protocols share one `Admission`.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use foldhash::quality::RandomState;
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::rules::admission::prefix::Prefixes;

const SHARDS: usize = 16;

/// Counts connections and refuses those beyond the bounds.
#[derive(Debug)]
pub struct Admission {
    total_max: AtomicUsize,
    prefix_max: AtomicUsize,
    /// Bits of a prefix: of IPv4 in the upper half, of IPv6 in the lower.
    prefix_bits: AtomicU16,
    total: AtomicUsize,
    refused: AtomicU64,
    hasher: RandomState,
    // Holds no more entries than there are connections.
    prefixes: [Mutex<HashMap<IpNet, usize, RandomState>>; SHARDS],
}

/// One connection's place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    prefix: Option<IpNet>,
}

impl Admission {
    /// At most `total` connections, and `per_prefix` of one prefix (0: no bound).
    pub fn new(total: usize, per_prefix: usize) -> Arc<Self> {
        Arc::new(Self {
            total_max: total.into(),
            prefix_max: per_prefix.into(),
            prefix_bits: bits(Prefixes::default()).into(),
            total: 0.into(),
            refused: 0.into(),
            hasher: RandomState::default(),
            prefixes: Default::default(),
        })
    }

    /// Changes the bounds; connections that are there stay.
    pub fn set_bounds(&self, total: usize, per_prefix: usize) {
        self.total_max.store(total, Ordering::Relaxed);
        self.prefix_max.store(per_prefix, Ordering::Relaxed);
    }

    /// Counts connections that come from now on for prefixes of other lengths.
    pub fn set_prefixes(&self, prefixes: Prefixes) {
        self.prefix_bits.store(bits(prefixes), Ordering::Relaxed);
    }

    /// The prefix that connections from `ip` are counted for.
    fn prefix(&self, ip: IpAddr) -> IpNet {
        let [v4, v6] = self.prefix_bits.load(Ordering::Relaxed).to_be_bytes();
        Prefixes { v4, v6 }.of(ip)
    }

    /// A place for a connection from `ip`; `None` where there is none.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        let mut permit = self.admit_proxy()?;
        permit.count_for(ip).then_some(permit)
    }

    /// A place for a connection that stands for many viewers: only the total counts.
    pub fn admit_proxy(self: &Arc<Self>) -> Option<Permit> {
        let max = self.total_max.load(Ordering::Relaxed);
        let admitted =
            self.total.try_update(Ordering::Relaxed, Ordering::Relaxed, |total| (total < max).then_some(total + 1));
        if admitted.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { admission: self.clone(), prefix: None })
    }

    /// Connections at present.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Connections refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn shard(&self, prefix: &IpNet) -> &Mutex<HashMap<IpNet, usize, RandomState>> {
        &self.prefixes[self.hasher.hash_one(prefix) as usize % SHARDS]
    }
}

impl Permit {
    /// Counts the connection for `ip` from now on; `false` where that prefix has no place left.
    pub fn count_for(&mut self, ip: IpAddr) -> bool {
        let max = self.admission.prefix_max.load(Ordering::Relaxed);
        if max == 0 || self.prefix.is_some() {
            return true;
        }
        let prefix = self.admission.prefix(ip);
        let mut shard = self.admission.shard(&prefix).lock();
        let count = shard.get(&prefix).copied().unwrap_or_default();
        if count >= max {
            self.admission.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        shard.insert(prefix, count + 1);
        self.prefix = Some(prefix);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        let Some(prefix) = self.prefix else { return };
        let mut shard = self.admission.shard(&prefix).lock();
        if let Some(count) = shard.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&prefix);
            }
        }
    }
}

const fn bits(prefixes: Prefixes) -> u16 {
    u16::from_be_bytes([prefixes.v4, prefixes.v6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_total_and_by_prefix_and_come_back() {
        let admission = Admission::new(3, 2);
        let [a, b, c]: [IpAddr; 3] =
            ["2001:db8:0:aa01::1", "2001:db8:0:aaff::2", "2001:db8:0:bb01::1"].map(|ip| ip.parse().unwrap());
        let first = admission.admit(a).unwrap();
        let second = admission.admit(b).unwrap();
        assert!(admission.admit(a).is_none());
        let third = admission.admit(c).unwrap();
        assert!(admission.admit(c).is_none());
        assert_eq!((admission.total(), admission.refused()), (3, 2));
        drop((first, third));
        assert!(admission.admit(a).is_some());
        drop(second);
        assert_eq!(admission.total(), 0);
        assert!(admission.prefixes.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn how_much_of_an_address_is_one_household_may_change_meanwhile() {
        let admission = Admission::new(9, 1);
        let [a, b]: [IpAddr; 2] = ["2001:db8:0:aa01::1", "2001:db8:0:bb01::1"].map(|ip| ip.parse().unwrap());
        let first = admission.admit(a).unwrap();
        admission.set_prefixes(Prefixes { v4: 24, v6: 48 });
        let second = admission.admit(b).unwrap();
        assert!(admission.admit(a).is_none(), "both are of one /48");
        drop((first, second));
        assert!(admission.prefixes.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn a_proxy_counts_in_total_only_until_its_viewer_is_known() {
        let admission = Admission::new(10, 1);
        let mut permits: Vec<Permit> = (0..3).map(|_| admission.admit_proxy().unwrap()).collect();
        let viewer = "192.0.2.1".parse().unwrap();
        assert!(permits[0].count_for(viewer));
        assert!(!permits[1].count_for(viewer));
        admission.set_bounds(10, 0);
        assert!(permits[2].count_for(viewer));
    }
}
