//! The only reader of time. `Tick` is monotonic and measures durations, `WallTime` is the calendar and dates messages;
//! they cannot be mixed. A manual clock moves only when told to, and `advance` wakes what sleeps on it.

#![expect(clippy::disallowed_methods, reason = "this is the one module that reads time and sleeps")]

use std::future::Future;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

/// A point on the monotonic clock: nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The moment `since_start` after the clock was made.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start.as_nanos() as u64)
    }

    /// Time since the clock was made.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this tick; zero where `earlier` is later.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, by: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Tick {
    type Output = Tick;
    fn sub(self, by: Duration) -> Tick {
        Tick(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A point in calendar time: the duration since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(Duration);

impl WallTime {
    /// The moment `since_epoch` after 1970-01-01T00:00:00Z.
    pub const fn at(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// Time since 1970-01-01T00:00:00Z.
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// The same moment as the standard library says it.
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + self.0
    }
}

impl From<SystemTime> for WallTime {
    /// Moments before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// Where a part of the node reads time and sleeps. Cheap to clone; clones share one time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Instant),
    Manual(Arc<Mutex<Manual>>),
}

struct Manual {
    now: Duration,
    wall_at_start: Duration,
    sleepers: Vec<(Tick, oneshot::Sender<()>)>,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// A clock for tests: it starts at tick 0 and `wall`, and moves only by [`Clock::advance`].
    pub fn manual(wall: WallTime) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(Manual {
            now: Duration::ZERO,
            wall_at_start: wall.0,
            sleepers: Vec::new(),
        }))))
    }

    /// The present tick.
    pub fn now(&self) -> Tick {
        match &self.0 {
            Source::System(start) => Tick::at(start.elapsed()),
            Source::Manual(manual) => Tick::at(manual.lock().now),
        }
    }

    /// The present calendar time.
    pub fn wall(&self) -> WallTime {
        match &self.0 {
            Source::System(_) => SystemTime::now().into(),
            Source::Manual(manual) => {
                let manual = manual.lock();
                WallTime(manual.wall_at_start + manual.now)
            }
        }
    }

    /// How long the calling thread has worked: what it waited for a processor on a busy machine is none of it. By a manual
    /// clock, what has passed.
    pub fn worked(&self) -> Duration {
        match &self.0 {
            Source::System(_) => {
                let worked = clock_gettime(ClockId::ThreadCPUTime);
                Duration::new(worked.tv_sec.unsigned_abs(), worked.tv_nsec.unsigned_abs() as u32)
            }
            Source::Manual(manual) => manual.lock().now,
        }
    }

    /// The standard library's instant for a tick of this clock, for libraries that want one (QUIC).
    /// On a manual clock it is relative to the call.
    pub fn instant(&self, tick: Tick) -> Instant {
        match &self.0 {
            Source::System(start) => *start + tick.since_start(),
            Source::Manual(manual) => Instant::now() + tick.since(Tick::at(manual.lock().now)),
        }
    }

    /// The tick of an instant; instants before the clock was made become its start.
    pub fn tick(&self, instant: Instant) -> Tick {
        match &self.0 {
            Source::System(start) => Tick::at(instant.saturating_duration_since(*start)),
            Source::Manual(manual) => Tick::at(manual.lock().now) + instant.saturating_duration_since(Instant::now()),
        }
    }

    /// Completes when the clock has reached `until`.
    pub fn sleep_until(&self, until: Tick) -> impl Future<Output = ()> + Send + 'static {
        let waiting = match &self.0 {
            Source::System(start) => Err(*start + until.since_start()),
            Source::Manual(manual) => {
                let mut manual = manual.lock();
                let (wake, woken) = oneshot::channel();
                if until > Tick::at(manual.now) {
                    manual.sleepers.push((until, wake));
                }
                Ok(woken)
            }
        };
        async move {
            match waiting {
                Err(instant) => tokio::time::sleep_until(instant.into()).await,
                Ok(woken) => _ = woken.await,
            }
        }
    }

    /// Completes after `duration` from now.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.sleep_until(self.now() + duration)
    }

    /// Moves a manual clock forward and wakes every sleeper whose time has come.
    ///
    /// # Panics
    /// On the system clock, which nobody moves.
    pub fn advance(&self, by: Duration) {
        let Source::Manual(manual) = &self.0 else { panic!("only a manual clock is moved by hand") };
        let mut manual = manual.lock();
        manual.now += by;
        let now = Tick::at(manual.now);
        manual.sleepers.retain(|(_, wake)| !wake.is_closed());
        for (_, wake) in manual.sleepers.extract_if(.., |(until, _)| *until <= now) {
            // A sleeper that went away meanwhile needs no waking.
            _ = wake.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_advanced() {
        let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000)));
        let sleeper = clock.sleep(Duration::from_secs(5));
        clock.advance(Duration::from_secs(5));
        sleeper.await;
        assert_eq!(clock.now(), Tick::at(Duration::from_secs(5)));
        assert_eq!(clock.wall(), WallTime::at(Duration::from_secs(1_005)));
    }

    #[test]
    fn a_thread_that_waits_has_not_worked() {
        let clock = Clock::system();
        let before = clock.worked();
        while clock.now().since_start() < Duration::from_millis(50) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        assert!(clock.worked() - before < Duration::from_millis(50));
        while clock.worked() - before < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(clock.now().since_start() >= Duration::from_millis(50));
    }

    #[test]
    fn ticks_never_run_below_zero() {
        assert_eq!(Tick::default() - Duration::from_secs(1), Tick::default());
        assert_eq!(Tick::default().since(Tick::at(Duration::from_secs(1))), Duration::ZERO);
    }
}
