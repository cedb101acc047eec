//! A table of fixed size: what is remembered of viewers, however many come. A key belongs to a set of eight places; a
//! new key takes the place of what is worth least there. A flood of keys that were seen once therefore displaces others
//! that were seen once, and not what is remembered of the busy ones.
//!
//! Keys are known by their keyed hash alone, so that nobody can aim at a set.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

/// Places of a set.
const WAYS: usize = 8;

/// What is remembered of a key.
pub trait Remembered: Copy + Default {
    /// How much is lost with it; 0: nothing, a key that is not known is judged alike. `now` is on the scale of the values.
    fn worth(&self, now: u64) -> u64;
}

/// Values by key.
#[derive(Debug)]
pub struct Sets<V> {
    sets: Box<[Mutex<[Slot<V>; WAYS]>]>,
    hasher: RandomState,
    displaced: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot<V> {
    /// 0: free.
    print: u64,
    value: V,
}

/// What stands for a key in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print(u64);

impl Print {
    /// Half of it, to be kept where room is short.
    pub fn half(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl<V: Remembered> Sets<V> {
    /// Room for `keys`, at least eight.
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::new([Slot::default(); WAYS])).collect(),
            hasher: RandomState::default(),
            displaced: AtomicU64::new(0),
        }
    }

    /// What stands for a key.
    pub fn print(&self, key: impl Hash) -> Print {
        Print(self.hasher.hash_one(key).max(1))
    }

    /// Looks at what is remembered of a key, and remembers what `judge` says, if anything.
    pub fn update<T>(&self, key: Print, now: u64, judge: impl FnOnce(Option<V>) -> (T, Option<V>)) -> T {
        let place = usize::try_from(key.0 % self.sets.len() as u64).expect("less than the sets");
        let mut set = self.sets[place].lock();
        let known = set.iter_mut().find(|slot| slot.print == key.0);
        let (verdict, value) = judge(known.as_ref().map(|slot| slot.value));
        let Some(value) = value else { return verdict };
        if let Some(slot) = known {
            slot.value = value;
            return verdict;
        }
        let worth = |slot: &Slot<V>| if slot.print == 0 { 0 } else { slot.value.worth(now) };
        let least = set.iter_mut().min_by_key(|slot| worth(slot)).expect("a set has places");
        if worth(least) > 0 {
            self.displaced.fetch_add(1, Relaxed);
        }
        *least = Slot { print: key.0, value };
        verdict
    }

    /// How often something was forgotten for want of room.
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Relaxed)
    }

    /// What it takes, in octets: always the same.
    pub fn octets(&self) -> u64 {
        (self.sets.len() * size_of::<Mutex<[Slot<V>; WAYS]>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct Until(u64);

    impl Remembered for Until {
        fn worth(&self, now: u64) -> u64 {
            self.0.saturating_sub(now)
        }
    }

    fn set(table: &Sets<Until>, key: u64, now: u64, value: u64) {
        table.update(table.print(key), now, |_| ((), Some(Until(value))));
    }

    fn known(table: &Sets<Until>, key: u64) -> Option<Until> {
        table.update(table.print(key), 0, |known| (known, None))
    }

    #[test]
    fn a_flood_of_a_million_keys_displaces_none_of_the_busy_ones() {
        let table = Sets::new(65_536);
        let octets = table.octets();
        for busy in 0..1_000 {
            set(&table, busy, 0, 1_000_000);
        }
        for stranger in 1_000..1_001_000 {
            set(&table, stranger, 10, 11);
        }
        let kept = (0..1_000).filter(|busy| known(&table, *busy) == Some(Until(1_000_000))).count();
        assert_eq!((kept, table.octets()), (1_000, octets));
        assert!(octets < 2 << 20, "{octets}");
        assert!(table.displaced() > 900_000, "it is counted");
    }

    #[test]
    fn what_is_over_makes_room_without_a_loss() {
        let table = Sets::new(8);
        for key in 0..100 {
            set(&table, key, key * 10, key * 10 + 5);
        }
        assert_eq!(table.displaced(), 0);
        assert_eq!(known(&table, 99), Some(Until(995)));
    }
}
