//! Held reloads of one playlist: who waits for the same thing stands in one group, in a list for each worker, and is
//! released with the same version. Bounded on the node; a place is free again the moment its viewer leaves.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cache::bells::{Bells, Lanes, lane};
use crate::rules::hls::reload::Wanted;

use super::state::State;
use super::sync::{AtomicUsize, Mutex, Ordering::Relaxed};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// Anything at all: the playlist has only just been asked for.
    First,
    /// A position.
    Reload(Wanted),
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is released.
    Release,
    /// It waits for this from now on.
    Wait(Want),
}

/// Why nobody else can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many requests as allowed are held on the node.
    #[error("as many requests as allowed are held")]
    Node,
}

/// How many requests are held on the node, and how many may be.
pub struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    /// Nobody waits; `most` may.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { now: AtomicUsize::new(0), most: AtomicUsize::new(most) })
    }

    /// How many wait now.
    pub fn now(&self) -> usize {
        self.now.load(Relaxed)
    }

    /// From now on so many may wait. Those who do already stay.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    fn take(&self) -> Result<(), Full> {
        let most = self.most.load(Relaxed);
        let more = |now: usize| (now < most).then_some(now + 1);
        self.now.fetch_update(Relaxed, Relaxed, more).map(|_| ()).map_err(|_| Full::Node)
    }

    fn free(&self) {
        self.now.fetch_sub(1, Relaxed);
    }
}

/// Who waits for one playlist.
pub struct Parking {
    bells: Arc<Bells>,
    held: Arc<Held>,
    /// Groups that wait, each with somebody in it. There are no more of them than positions that may be waited for, and
    /// than those who wait.
    groups: Mutex<Vec<(Want, Arc<Group>)>>,
}

/// Those who want the same, or came to.
struct Group(Mutex<Phase>);

enum Phase {
    Waiting {
        /// Places that are taken, by tasks that may not have been polled yet.
        places: usize,
        lanes: Lanes,
    },
    Released(Arc<State>),
}

/// A place; dropping it frees it.
pub struct Parked {
    parking: Arc<Parking>,
    group: Arc<Group>,
    /// Where the task's waker stands: its lane, and its place there.
    bell: Option<(usize, usize)>,
}

impl Parking {
    /// Nobody waits. Those who will are woken through `bells`.
    pub fn new(bells: Arc<Bells>, held: Arc<Held>) -> Arc<Self> {
        Arc::new(Self { bells, held, groups: Mutex::default() })
    }

    /// A place among those who want the same. The caller looks at the state once more after it has the place, so that
    /// it misses no release.
    ///
    /// # Errors
    /// [`Full`].
    pub fn park(self: &Arc<Self>, want: Want) -> Result<Parked, Full> {
        self.held.take()?;
        let mut groups = self.groups.lock();
        let waiting = groups.iter().find(|(wanted, _)| *wanted == want).map(|(_, group)| group.clone());
        let group = waiting.unwrap_or_else(|| {
            let group = Arc::new(Group(Mutex::new(Phase::Waiting { places: 0, lanes: Lanes::default() })));
            groups.push((want, group.clone()));
            group
        });
        // Under the lock of the groups: a group that is listed is neither released nor empty.
        if let Phase::Waiting { places, .. } = &mut *group.0.lock() {
            *places += 1;
        }
        drop(groups);
        Ok(Parked { parking: self.clone(), group, bell: None })
    }

    /// Judges every group, and releases those that `judge` releases with `state`.
    pub fn release(&self, state: &Arc<State>, judge: impl Fn(Want) -> Fate) {
        let released: Vec<_> = {
            let mut groups = self.groups.lock();
            let goes = |(want, _): &mut (Want, Arc<Group>)| match judge(*want) {
                Fate::Release => true,
                // Two groups may come to want the same; they stay two.
                Fate::Wait(other) => {
                    *want = other;
                    false
                }
            };
            groups.extract_if(.., goes).map(|(_, group)| group).collect()
        };
        for group in released {
            let before = std::mem::replace(&mut *group.0.lock(), Phase::Released(state.clone()));
            if let Phase::Waiting { lanes, .. } = before {
                self.bells.ring(lanes);
            }
        }
    }

    /// How many wait here.
    pub fn waiting(&self) -> usize {
        let places = |group: &Group| match &*group.0.lock() {
            Phase::Waiting { places, .. } => *places,
            Phase::Released(_) => 0,
        };
        self.groups.lock().iter().map(|(_, group)| places(group)).sum()
    }

    /// Lets an empty group go, unless somebody has come meanwhile.
    fn forget(&self, empty: &Arc<Group>) {
        self.groups.lock().retain(|(_, group)| !Arc::ptr_eq(group, empty) || !group.is_empty());
    }
}

impl Group {
    fn is_empty(&self) -> bool {
        matches!(&*self.0.lock(), Phase::Waiting { places: 0, .. })
    }

    /// Frees a place; whether it was the last one.
    fn leave(&self, bell: Option<(usize, usize)>) -> bool {
        let Phase::Waiting { places, lanes } = &mut *self.0.lock() else { return false };
        if let Some((lane, place)) = bell {
            lanes.leave(lane, place);
        }
        *places -= 1;
        *places == 0
    }
}

impl Parked {
    /// The state that it was released with.
    pub async fn released(mut self) -> Arc<State> {
        poll_fn(|cx| self.poll_released(cx)).await
    }

    fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<Arc<State>> {
        match &mut *self.group.0.lock() {
            Phase::Released(state) => Poll::Ready(state.clone()),
            Phase::Waiting { lanes, .. } => {
                if !self.bell.is_some_and(|(lane, place)| lanes.holds(lane, place, cx.waker())) {
                    if let Some((lane, place)) = self.bell {
                        lanes.leave(lane, place);
                    }
                    self.bell = Some((lane(), lanes.enter(lane(), cx.waker().clone())));
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.held.free();
        if self.group.leave(self.bell) {
            self.parking.forget(&self.group);
        }
    }
}
