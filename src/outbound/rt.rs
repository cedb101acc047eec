//! Time and tasks for hyper, by our own clock and our own tasks, so that its timers obey a manual clock and what it
//! starts is counted and joined.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::tasks::Tasks;

/// hyper's timer over a [`Clock`].
#[derive(Clone)]
pub struct ClockTimer(Arc<Clock>);

impl ClockTimer {
    /// A timer that reads and sleeps by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(clock))
    }
}

impl Timer for ClockTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(ClockSleep(Mutex::new(Box::pin(self.0.sleep(duration)))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(ClockSleep(Mutex::new(Box::pin(self.0.sleep_until(self.0.tick(deadline))))))
    }

    fn now(&self) -> Instant {
        self.0.instant(self.0.now())
    }
}

/// The mutex makes it `Sync`, as hyper demands; it is never locked, for a poll has exclusive access.
struct ClockSleep(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for ClockSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().0.get_mut().as_mut().poll(cx)
    }
}

impl Sleep for ClockSleep {}

/// hyper's executor over [`Tasks`]; all that it starts bears one name.
#[derive(Clone)]
pub struct TaskExecutor {
    tasks: Tasks,
    name: &'static str,
}

impl TaskExecutor {
    /// Starts tasks called `name` among `tasks`.
    pub fn new(tasks: Tasks, name: &'static str) -> Self {
        Self { tasks, name }
    }
}

impl<F> Executor<F> for TaskExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        // The task is joined through its `Tasks`.
        drop(self.tasks.spawn(self.name, future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;

    #[tokio::test]
    async fn hypers_sleep_obeys_a_manual_clock() {
        let clock = Clock::manual(WallTime::default());
        let timer = ClockTimer::new(clock.clone());
        let sleep = timer.sleep(Duration::from_secs(20));
        clock.advance(Duration::from_secs(20));
        sleep.await;
    }
}
