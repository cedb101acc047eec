//! How the numbers of playlists were counted that are not followed any more: they go on when somebody watches again, so
//! that no viewer sees a sequence go backwards. Bounded: those that were let go longest ago are forgotten.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::rules::caching::Key;
use crate::rules::hls::window::Remembered;

/// Playlists whose numbers are remembered.
const MOST: usize = 16_384;

/// The numbers of playlists that were followed.
#[derive(Default)]
pub(super) struct Numbers(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    kept: HashMap<Key, (u64, Remembered), foldhash::fast::RandomState>,
    /// Keys in the order in which they came, with a number that tells whether they came again later.
    order: VecDeque<(u64, Key)>,
    next: u64,
}

impl Numbers {
    /// Keeps how the numbers of a playlist were counted.
    pub(super) fn remember(&self, key: &Key, remembered: Remembered) {
        let mut shelf = self.0.lock();
        let number = shelf.next;
        shelf.next += 1;
        shelf.kept.insert(key.clone(), (number, remembered));
        shelf.order.push_back((number, key.clone()));
        while shelf.order.len() > MOST {
            let Some((number, oldest)) = shelf.order.pop_front() else { break };
            if shelf.kept.get(&oldest).is_some_and(|(newest, _)| *newest == number) {
                shelf.kept.remove(&oldest);
            }
        }
    }

    /// How they were counted; nothing, if nobody watched before.
    pub(super) fn recall(&self, key: &Key) -> Remembered {
        self.0.lock().kept.remove(key).map(|(_, remembered)| remembered).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_let_go_longest_ago_are_forgotten_first() {
        let numbers = Numbers::default();
        let key = |index: usize| Key::new("g", "http", "o", &format!("/{index}"));
        numbers.remember(&key(0), Remembered::default());
        numbers.remember(&key(1), Remembered::default());
        numbers.remember(&key(0), Remembered::default());
        (2..MOST).for_each(|index| numbers.remember(&key(index), Remembered::default()));
        let shelf = numbers.0.lock();
        assert!(shelf.kept.contains_key(&key(0)) && shelf.kept.contains_key(&key(1)));
        drop(shelf);
        numbers.remember(&key(MOST), Remembered::default());
        let shelf = numbers.0.lock();
        assert!(shelf.kept.contains_key(&key(0)) && !shelf.kept.contains_key(&key(1)));
        assert!(shelf.order.len() <= MOST && shelf.kept.len() <= MOST);
    }
}
