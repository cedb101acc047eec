//! How the numbers of playlists were counted that are not followed any more: they go on when somebody watches again, so
//! that no viewer sees a sequence go backwards. Bounded: those that were let go longest ago are forgotten. A node that has
//! a folder for it keeps them, and those of the playlists that are followed, over its own restart.

use std::collections::{HashMap, VecDeque};

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::rules::caching::Key;
use crate::rules::hls::window::Remembered;

/// Playlists whose numbers are remembered.
const MOST: usize = 16_384;

/// The numbers of playlists that were followed.
#[derive(Default)]
pub(super) struct Numbers {
    shelf: Mutex<Shelf>,
    are_kept: AtomicBool,
}

#[derive(Default)]
struct Shelf {
    /// By the text of the playlist's key.
    kept: HashMap<Box<str>, (u64, Remembered), foldhash::fast::RandomState>,
    /// Keys in the order in which they came, with a number that tells whether they came again later.
    order: VecDeque<(u64, Box<str>)>,
    next: u64,
}

impl Numbers {
    /// Takes on what an earlier process of the node kept. From now on those of followed playlists are wanted too.
    pub(super) fn restore(&self, earlier: impl IntoIterator<Item = (Box<str>, Remembered)>) {
        earlier.into_iter().take(MOST).for_each(|(key, remembered)| self.put(key, remembered));
        self.are_kept.store(true, Relaxed);
    }

    /// Whether those of followed playlists are wanted.
    pub(super) fn are_kept(&self) -> bool {
        self.are_kept.load(Relaxed)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(Box<str>, Remembered)> {
        let shelf = self.shelf.lock();
        shelf.kept.iter().map(|(key, (_, remembered))| (key.clone(), remembered.clone())).collect()
    }

    /// Keeps how the numbers of a playlist were counted.
    pub(super) fn remember(&self, key: &Key, remembered: Remembered) {
        self.put(key.as_str().into(), remembered);
    }

    fn put(&self, key: Box<str>, remembered: Remembered) {
        let mut shelf = self.shelf.lock();
        let number = shelf.next;
        shelf.next += 1;
        shelf.kept.insert(key.clone(), (number, remembered));
        shelf.order.push_back((number, key));
        while shelf.order.len() > MOST {
            let Some((number, oldest)) = shelf.order.pop_front() else { break };
            if shelf.kept.get(&oldest).is_some_and(|(newest, _)| *newest == number) {
                shelf.kept.remove(&oldest);
            }
        }
    }

    /// How they were counted; nothing, if nobody watched before.
    pub(super) fn recall(&self, key: &Key) -> Remembered {
        self.shelf.lock().kept.remove(key.as_str()).map(|(_, remembered)| remembered).unwrap_or_default()
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
        let is_kept = |index| numbers.shelf.lock().kept.contains_key(key(index).as_str());
        assert!(is_kept(0) && is_kept(1));
        numbers.remember(&key(MOST), Remembered::default());
        assert!(is_kept(0) && !is_kept(1));
        assert!(numbers.shelf.lock().order.len() <= MOST && numbers.all().len() <= MOST);
    }
}
