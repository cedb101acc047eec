//! The playlists of the node by their keys, bounded in number. A playlist leaves by its own task, which asks once more,
//! under the lock that newcomers need too, whether it is really left; where the table is full, those go first that
//! nobody watches any more, and those that turned out not to exist.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Tick;
use crate::rules::caching::Key;

use super::Refused;
use super::playlist::Playlist;
use super::state::State;

/// Locks of the table.
const SHARDS: usize = 16;
/// A full table is searched for those who left no more often than this.
const SWEEP: Duration = Duration::from_millis(100);

type Shard = HashMap<Key, Arc<Playlist>, foldhash::fast::RandomState>;

/// All playlists that are known.
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    hasher: foldhash::fast::RandomState,
    count: AtomicUsize,
    swept: Mutex<Option<Tick>>,
}

/// A playlist, and whether it is new.
pub(super) enum Opened {
    Known(Arc<Playlist>),
    New(Arc<Playlist>),
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: foldhash::fast::RandomState::default(),
            count: AtomicUsize::new(0),
            swept: Mutex::new(None),
        }
    }

    /// The place of a key among `places`.
    pub(super) fn place(&self, key: &Key, places: usize) -> usize {
        usize::try_from(self.hasher.hash_one(key) % places.max(1) as u64).expect("less than the places")
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.place(key, SHARDS)]
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Playlist>> {
        self.shard(key).lock().get(key).cloned()
    }

    /// The playlist under `key`, touched; made where it is not known and fewer than `most` are.
    ///
    /// # Errors
    /// [`Refused`] where as many are known as may be, and none of them has been left.
    pub(super) fn open(
        &self,
        key: &Key,
        (most, grace): (usize, Duration),
        now: Tick,
        make: impl FnOnce() -> Arc<Playlist>,
    ) -> Result<Opened, Refused> {
        if self.count.load(Relaxed) >= most && self.find(key).is_none() {
            self.sweep(grace, now);
        }
        let mut shard = self.shard(key).lock();
        if let Some(known) = shard.get(key) {
            known.touch(now);
            return Ok(Opened::Known(known.clone()));
        }
        let fits = |count: usize| (count < most).then_some(count + 1);
        self.count.fetch_update(Relaxed, Relaxed, fits).map_err(|_| Refused::Followers)?;
        let playlist = make();
        shard.insert(key.clone(), playlist.clone());
        Ok(Opened::New(playlist))
    }

    /// Takes `playlist` out where `is_over` says so; nobody can open it in between.
    pub(super) fn remove_if(&self, playlist: &Arc<Playlist>, is_over: impl FnOnce(&Playlist) -> bool) -> bool {
        let mut shard = self.shard(&playlist.asked.key).lock();
        let is_there = shard.get(&playlist.asked.key).is_some_and(|known| Arc::ptr_eq(known, playlist));
        if is_there && !is_over(playlist) {
            return false;
        }
        if is_there {
            shard.remove(&playlist.asked.key);
            self.count.fetch_sub(1, Relaxed);
        }
        true
    }

    pub(super) fn all(&self) -> Vec<Arc<Playlist>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Lets go of those that are left.
    fn sweep(&self, grace: Duration, now: Tick) {
        {
            let mut swept = self.swept.lock();
            if swept.is_some_and(|at| now < at + SWEEP) {
                return;
            }
            *swept = Some(now);
        }
        for playlist in self.all() {
            let is_nothing = || matches!(*playlist.state(), State::Failed(_)) && !playlist.activity.has_published();
            if (is_nothing() || playlist.is_left(now, grace)) && self.remove_if(&playlist, |_| true) {
                playlist.dismiss();
            }
        }
    }
}
