//! governor over our clock and our table of fixed size.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Reference;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::clock::{Clock, Tick};
use crate::config::Rate;
use crate::sessions::sets::{Print, Remembered, Sets};

/// How often each of many may do something.
pub struct Limiter {
    limiter: RateLimiter<Print, Store, Watch, NoOpMiddleware<Tick>>,
    burst: u32,
    sets: Arc<Sets<Due>>,
}

impl Limiter {
    /// At most `rate` for each key, and `burst` at once, with room for so many keys.
    pub fn new(clock: &Clock, rate: Rate, (burst, keys): (u32, usize)) -> Self {
        let sets = Arc::new(Sets::new(keys));
        let store = Store { sets: sets.clone(), watch: Watch(clock.clone()), start: clock.now() };
        let count = NonZeroU32::new(rate.count).unwrap_or(NonZeroU32::MIN);
        let every = (rate.per / count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(every)
            .expect("the period is not zero")
            .allow_burst(NonZeroU32::new(burst).unwrap_or(count));
        Self { burst, limiter: RateLimiter::new(quota, store, Watch(clock.clone())), sets }
    }

    /// Counts one of a key.
    ///
    /// # Errors
    /// It has had its share; how long to wait.
    pub fn take(&self, key: impl Hash, now: Tick) -> Result<(), Duration> {
        self.limiter.check_key(&self.sets.print(key)).map_err(|not| not.wait_time_from(now))
    }

    /// Counts so many of a key; more than may come at once count as that many.
    ///
    /// # Errors
    /// As [`Limiter::take`].
    pub fn take_many(&self, key: impl Hash, count: u32, now: Tick) -> Result<(), Duration> {
        let count = NonZeroU32::new(count.min(self.burst)).unwrap_or(NonZeroU32::MIN);
        let taken = self.limiter.check_key_n(&self.sets.print(key), count);
        taken.expect("no more than may come at once").map_err(|not| not.wait_time_from(now))
    }

    /// What it remembers.
    pub fn sets(&self) -> &Sets<Due> {
        &self.sets
    }
}

/// When a key will have paid for what it did, in nanoseconds since the limiter was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due(u64);

impl Remembered for Due {
    fn worth(&self, now: u64) -> u64 {
        self.0.saturating_sub(now)
    }
}

/// Where governor keeps what is due.
struct Store {
    sets: Arc<Sets<Due>>,
    watch: Watch,
    start: Tick,
}

impl StateStore for Store {
    type Key = Print;

    fn measure_and_replace<T, F, E>(&self, key: &Print, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let now = nanos(governor::clock::Clock::now(&self.watch).since(self.start));
        self.sets.update(*key, now.as_u64(), |known| match measure(known.map(|due| Nanos::from(due.0))) {
            Ok((verdict, due)) => (Ok(verdict), Some(Due(due.as_u64()))),
            Err(not) => (Err(not), None),
        })
    }
}

/// The node's clock as governor reads it.
#[derive(Clone)]
struct Watch(Clock);

impl governor::clock::Clock for Watch {
    type Instant = Tick;

    fn now(&self) -> Tick {
        self.0.now()
    }
}

impl Reference for Tick {
    fn duration_since(&self, earlier: Self) -> Nanos {
        nanos(self.since(earlier))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        *self - Duration::from(duration)
    }
}

impl Add<Nanos> for Tick {
    type Output = Tick;

    fn add(self, by: Nanos) -> Tick {
        self + Duration::from(by)
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::from(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
