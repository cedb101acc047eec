//! A playlist as viewers of every worker see it: its state, who waits for the next one, and who watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Tick;
use crate::rules::hls::multivariant::Role;
use crate::rules::hls::reports::Sibling;
use crate::rules::hls::variables::Variables;
use crate::rules::hls::window::Remembered;

use super::Asked;
use super::figures::Activity;
use super::home::Home;
use super::parking::Parking;
use super::state::State;
use super::streams::Stream;

/// Touches closer together than this are one: viewers of all workers write the same value.
const SAME_TOUCH: Duration = Duration::from_millis(50);
/// Between two notes of how its numbers are counted.
const SAME_NUMBERS: Duration = Duration::from_secs(1);
/// A tick that never comes.
pub(super) const NEVER: Tick = Tick::at(Duration::from_nanos(u64::MAX));

/// A playlist that is asked for, followed or kept.
pub struct Playlist {
    /// How it was first asked for.
    pub asked: Asked,
    /// Who waits for a later version.
    pub parking: Arc<Parking>,
    /// What its origin was asked, and did.
    pub activity: Activity,
    state: ArcSwap<State>,
    stream: ArcSwapOption<Stream>,
    /// Where it comes from, as long as it belongs to no stream.
    own_home: Arc<Home>,
    /// When a viewer last asked for it, in nanoseconds of the clock.
    touched: AtomicU64,
    /// When its view was last known to be current, in nanoseconds of the clock.
    current: AtomicU64,
    /// From when on a viewer who asks wakes its task, in nanoseconds of the clock.
    due: AtomicU64,
    /// Until when it is followed without any viewer, in nanoseconds of the clock.
    warm: AtomicU64,
    demand: Notify,
    dismissed: CancellationToken,
    /// How its numbers are counted, as of this moment.
    numbers: Mutex<Option<(Tick, Remembered)>>,
}

impl Playlist {
    /// A playlist of which nothing is known yet.
    pub fn new(asked: Asked, parking: Arc<Parking>, now: Tick) -> Self {
        Self {
            own_home: Home::new(asked.path()),
            asked,
            parking,
            activity: Activity::default(),
            state: ArcSwap::from_pointee(State::Asked),
            stream: ArcSwapOption::empty(),
            touched: value(now),
            current: value(now),
            due: value(NEVER),
            warm: AtomicU64::new(0),
            demand: Notify::new(),
            dismissed: CancellationToken::new(),
            numbers: Mutex::default(),
        }
    }

    /// What is known of it.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// From now on viewers see `state`; whoever waits for it is to be released afterwards.
    pub(super) fn set_state(&self, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.state.store(state.clone());
        state
    }

    /// A viewer asked for it. What is out of date is asked for anew by its task.
    pub fn touch(&self, now: Tick) {
        if now.since(self.touched()) >= SAME_TOUCH {
            set(&self.touched, now);
        }
        if now >= tick(&self.due) {
            self.demand.notify_one();
        }
    }

    /// When a viewer last asked for it.
    pub fn touched(&self) -> Tick {
        tick(&self.touched)
    }

    /// Its view is current at `now`.
    pub(super) fn set_current(&self, now: Tick) {
        set(&self.current, now);
    }

    /// When its view was last known to be current (Appendix C: Age). It lies in the future where the origin would have
    /// said so if there were anything newer.
    pub fn current(&self) -> Tick {
        tick(&self.current)
    }

    /// From `from` on a viewer who asks wakes its task.
    pub(super) fn set_due(&self, from: Tick) {
        set(&self.due, from);
    }

    /// Whether a viewer who asks now wakes its task.
    pub(super) fn is_due(&self, now: Tick) -> bool {
        now >= tick(&self.due)
    }

    /// Completes when a viewer asked for what is out of date, perhaps once too often.
    pub(super) async fn demanded(&self) {
        self.demand.notified().await;
    }

    /// It is followed until then at least, viewers or not.
    pub(super) fn keep_warm(&self, until: Tick) {
        self.warm.fetch_max(nanos(until), Relaxed);
    }

    /// Until when it is followed whether or not anybody watches.
    pub(super) fn warm_until(&self) -> Tick {
        tick(&self.warm)
    }

    /// Whether it is followed at `now` whether or not anybody watches.
    pub fn is_warm(&self, now: Tick) -> bool {
        now < tick(&self.warm)
    }

    /// Whether somebody asked within `grace`, or waits.
    pub(super) fn is_watched(&self, now: Tick, grace: Duration) -> bool {
        now < self.touched() + grace || self.parking.waiting() > 0
    }

    /// Whether there is no reason left to follow it.
    pub(super) fn is_left(&self, now: Tick, grace: Duration) -> bool {
        !self.is_watched(now, grace) && !self.is_warm(now)
    }

    /// When it will be left, if nobody comes.
    pub(super) fn left_from(&self, grace: Duration) -> Tick {
        (self.touched() + grace).max(tick(&self.warm))
    }

    /// Ends its task: its place is needed.
    pub(super) fn dismiss(&self) {
        self.dismissed.cancel();
    }

    pub(super) fn dismissed(&self) -> &CancellationToken {
        &self.dismissed
    }

    /// Notes how its numbers are counted, once in a while.
    pub(super) fn note_numbers(&self, now: Tick, remembered: impl FnOnce() -> Remembered) {
        let mut numbers = self.numbers.lock();
        if numbers.as_ref().is_none_or(|(at, _)| now >= *at + SAME_NUMBERS) {
            *numbers = Some((now, remembered()));
        }
    }

    /// How its numbers are counted, as far as was noted.
    pub(super) fn numbers(&self) -> Option<Remembered> {
        self.numbers.lock().as_ref().map(|(_, remembered)| remembered.clone())
    }

    /// The stream that it is a rendition of, as far as is known.
    pub fn stream(&self) -> Option<Arc<Stream>> {
        self.stream.load_full()
    }

    pub(super) fn set_stream(&self, stream: Arc<Stream>) {
        stream.home().adopt(&self.home());
        self.stream.store(Some(stream));
    }

    /// Where it comes from: its stream's home.
    pub fn home(&self) -> Arc<Home> {
        self.stream.load().as_ref().map_or_else(|| self.own_home.clone(), |stream| stream.home().clone())
    }

    /// What it carries in its stream, as far as is known.
    pub fn role(&self) -> Option<Role> {
        self.stream()?.role(&self.asked.key)
    }

    /// The variables of its multivariant playlist.
    pub fn imported(&self) -> Arc<Variables> {
        self.stream().map(|stream| stream.variables()).unwrap_or_default()
    }

    /// What is known at this moment of the other renditions of its stream, and a stamp that changes with it.
    pub fn siblings(&self) -> (u64, Vec<Sibling>) {
        self.stream().map_or_else(|| (0, Vec::new()), |stream| (stream.stamp(), stream.siblings(self)))
    }

    /// The stamp of [`Playlist::siblings`] alone.
    pub fn siblings_stamp(&self) -> u64 {
        self.stream.load().as_ref().map_or(0, |stream| stream.stamp())
    }
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX)
}

fn value(tick: Tick) -> AtomicU64 {
    AtomicU64::new(nanos(tick))
}

fn set(value: &AtomicU64, tick: Tick) {
    value.store(nanos(tick), Relaxed);
}

fn tick(value: &AtomicU64) -> Tick {
    Tick::at(Duration::from_nanos(value.load(Relaxed)))
}
