//! Waking many waiting tasks without many wake-ups across threads.
//!
//! Waiters stand in `Lanes`: one list of wakers for each worker, and lane 0 for threads that are no worker. Who has
//! news takes the lists and rings: its own lane and lane 0 are woken on the spot, every other lane goes to its worker
//! whole, by one push and at most one wake-up of that worker's ringer task, which wakes them locally in batches. A
//! worker without a ringer (not started, ended) is woken directly, so that nobody waits for ever.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::sync::Mutex;

/// Tasks woken between two yields of a ringer: other tasks of the worker run in between.
const BATCH: usize = 128;

/// The lane of threads that are no worker.
const OUTSIDE: usize = 0;

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(OUTSIDE) };
}

/// The lane that the calling thread waits in.
pub fn lane() -> usize {
    LANE.get()
}

/// Lists of waiting tasks, one a lane.
#[derive(Default)]
pub struct Lanes(Vec<Slab<Waker>>);

impl Lanes {
    /// Adds a waker to a lane; the number given back removes it again.
    pub fn enter(&mut self, lane: usize, waker: Waker) -> usize {
        if self.0.len() <= lane {
            self.0.resize_with(lane + 1, Slab::new);
        }
        self.0[lane].insert(waker)
    }

    /// Whether the place is held by a waker of the same task as `waker`.
    pub fn holds(&self, lane: usize, place: usize, waker: &Waker) -> bool {
        self.0.get(lane).and_then(|list| list.get(place)).is_some_and(|held| held.will_wake(waker))
    }

    /// Takes a waker out again.
    pub fn leave(&mut self, lane: usize, place: usize) {
        if let Some(list) = self.0.get_mut(lane) {
            list.try_remove(place);
        }
    }
}

/// The bells of a node: one for each worker.
pub struct Bells {
    bells: Box<[Mutex<Bell>]>,
}

struct Bell {
    lists: VecDeque<Slab<Waker>>,
    ringer: Ringer,
}

enum Ringer {
    /// No task rings this bell: whoever has news wakes directly.
    Absent,
    /// It sleeps.
    Asleep(Waker),
    /// It will look at the lists before it sleeps again.
    Awake,
}

impl Bells {
    /// Bells for `workers` workers, whose indices are below that number.
    pub fn new(workers: usize) -> Arc<Self> {
        let bell = || Mutex::new(Bell { lists: VecDeque::new(), ringer: Ringer::Absent });
        Arc::new(Self { bells: std::iter::repeat_with(bell).take(workers).collect() })
    }

    /// Makes the calling thread the worker `index`: what is polled on it waits in that worker's lane.
    ///
    /// # Panics
    /// Where there is no such worker.
    pub fn register_worker(&self, index: usize) {
        assert!(index < self.bells.len(), "a worker's index is below the number of workers");
        LANE.set(index + 1);
    }

    /// The task that wakes the waiting of worker `index`; the worker runs it until [`Bells::close`].
    pub fn ringer(self: &Arc<Self>, index: usize) -> impl Future<Output = ()> + Send + 'static {
        self.bells[index].lock().ringer = Ringer::Awake;
        Ringing { bells: self.clone(), index, list: Slab::new().into_iter() }
    }

    /// Lets every ringer end; from then on the waiting are woken directly.
    pub fn close(&self) {
        for bell in &self.bells {
            let ringer = std::mem::replace(&mut bell.lock().ringer, Ringer::Absent);
            if let Ringer::Asleep(waker) = ringer {
                waker.wake();
            }
        }
    }

    /// Wakes everyone in the lanes, each on the worker that it waits on.
    pub fn ring(&self, lanes: Lanes) {
        let own = lane();
        for (lane, list) in lanes.0.into_iter().enumerate() {
            if list.is_empty() {
                continue;
            }
            match lane.checked_sub(1).and_then(|worker| self.bells.get(worker)) {
                Some(bell) if lane != own => ring(bell, list),
                Some(_) | None => wake(list),
            }
        }
    }
}

fn ring(bell: &Mutex<Bell>, list: Slab<Waker>) {
    let mut bell = bell.lock();
    match std::mem::replace(&mut bell.ringer, Ringer::Awake) {
        Ringer::Absent => {
            bell.ringer = Ringer::Absent;
            drop(bell);
            wake(list);
        }
        Ringer::Awake => bell.lists.push_back(list),
        Ringer::Asleep(ringer) => {
            bell.lists.push_back(list);
            drop(bell);
            ringer.wake();
        }
    }
}

fn wake(list: Slab<Waker>) {
    for (_, waker) in list {
        waker.wake();
    }
}

struct Ringing {
    bells: Arc<Bells>,
    index: usize,
    list: slab::IntoIter<Waker>,
}

impl Future for Ringing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut woken = 0;
        loop {
            if let Some((_, waker)) = self.list.next() {
                waker.wake();
                woken += 1;
                if woken == BATCH {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            let this = &mut *self;
            let mut bell = this.bells.bells[this.index].lock();
            match bell.lists.pop_front() {
                Some(list) => this.list = list.into_iter(),
                None if matches!(bell.ringer, Ringer::Absent) => return Poll::Ready(()),
                None => {
                    bell.ringer = Ringer::Asleep(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        let left = {
            let mut bell = self.bells.bells[self.index].lock();
            bell.ringer = Ringer::Absent;
            std::mem::take(&mut bell.lists)
        };
        self.list.by_ref().for_each(|(_, waker)| waker.wake());
        left.into_iter().for_each(wake);
    }
}
