//! Held reloads under a model checker: loom runs each story in every order that matters (two or three forced switches
//! deep) and reports a viewer who is never woken as a deadlock. The files are the node's own, compiled over loom's locks and
//! atomics; only the state of the playlist is a stand-in.

#![expect(dead_code, reason = "the stories use a part of each file")]

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

#[path = "../src/cache/bells.rs"]
mod bells;
#[path = "../src/live/parking.rs"]
mod parking;
#[path = "../src/rules/hls/position.rs"]
mod position;

mod cache {
    pub(crate) use crate::bells;
}

mod rules {
    pub mod hls {
        pub mod reload {
            use crate::position::Position;

            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum Wanted {
                Part(Position),
                Segment(u64),
            }
        }
    }
}

mod state {
    /// How far the playlist has come.
    pub struct State(pub u64);
}

/// loom's locks and atomics, spelled as the node's.
mod sync {
    pub(super) use loom::sync::MutexGuard;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};

    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no story panics under a lock")
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }
}

use bells::Bells;
use parking::{Fate, Held, Parking, Want};
use rules::hls::reload::Wanted;
use state::State;
use sync::Mutex;

/// A playlist: its state, and who waits.
struct Playlist {
    state: Mutex<Arc<State>>,
    parking: Arc<Parking>,
    held: Arc<Held>,
}

impl Playlist {
    fn new() -> Arc<Self> {
        let held = Held::new(10);
        let parking = Parking::new(Bells::new(0), held.clone());
        Arc::new(Self { state: Mutex::new(Arc::new(State(0))), parking, held })
    }

    fn state(&self) -> Arc<State> {
        self.state.lock().clone()
    }

    /// As a follower does: first the state, then those who wait for it.
    fn publish(&self, segment: u64) {
        let state = Arc::new(State(segment));
        *self.state.lock() = state.clone();
        self.parking.release(&state, |want| match want {
            Want::Reload(Wanted::Segment(wanted)) if wanted > segment => Fate::Wait(want),
            _ => Fate::Release,
        });
    }

    /// As a viewer does: a place, another look, and only then to sleep.
    async fn wait_for(&self, segment: u64) -> u64 {
        loop {
            let parked = self.parking.park(Want::Reload(Wanted::Segment(segment))).expect("there is room");
            let now = self.state().0;
            if now >= segment {
                return now;
            }
            let released = parked.released().await.0;
            if released >= segment {
                return released;
            }
        }
    }
}

fn model(switches: usize, story: impl Fn() + Send + Sync + 'static) {
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(switches);
    checker.check(story);
}

#[test]
fn no_viewer_misses_the_version_that_it_waits_for() {
    model(3, || {
        let playlist = Playlist::new();
        let viewer = thread::spawn({
            let playlist = playlist.clone();
            move || block_on(playlist.wait_for(1))
        });
        playlist.publish(1);
        assert_eq!(viewer.join().unwrap(), 1);
        assert_eq!((playlist.parking.waiting(), playlist.held.now()), (0, 0));
    });
}

#[test]
fn a_viewer_who_comes_while_a_group_is_released_or_left_waits_in_another() {
    model(2, || {
        let playlist = Playlist::new();
        let viewers = [1, 2].map(|segment| {
            let playlist = playlist.clone();
            thread::spawn(move || block_on(playlist.wait_for(segment)) >= segment)
        });
        drop(playlist.parking.park(Want::Reload(Wanted::Segment(2))));
        playlist.publish(1);
        playlist.publish(2);
        for viewer in viewers {
            assert!(viewer.join().unwrap());
        }
        assert_eq!((playlist.parking.waiting(), playlist.held.now()), (0, 0));
    });
}
