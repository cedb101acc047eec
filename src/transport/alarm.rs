//! An alarm whose deadline may move without a new sleep.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::clock::{Clock, Tick};

/// A sleep and when it ends.
type Armed = (Tick, Pin<Box<dyn Future<Output = ()> + Send>>);

/// Wakes its task at a deadline that moves, mostly outwards. A deadline that moved outwards costs nothing until the
/// earlier one has come.
pub struct Alarm {
    clock: Clock,
    armed: Option<Armed>,
}

impl Alarm {
    /// An alarm without a deadline.
    pub fn new(clock: Clock) -> Self {
        Self { clock, armed: None }
    }

    /// Ready once the clock has reached `deadline`; until then the task is woken by it at the latest.
    pub fn poll_at(&mut self, cx: &mut Context<'_>, deadline: Tick) -> Poll<()> {
        loop {
            if let Some((at, sleep)) = &mut self.armed
                && *at <= deadline
            {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.armed = None;
            }
            if self.clock.now() >= deadline {
                return Poll::Ready(());
            }
            self.armed = Some((deadline, Box::pin(self.clock.sleep_until(deadline))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;

    #[tokio::test]
    async fn an_alarm_follows_a_deadline_that_moves_either_way() {
        let clock = Clock::manual(WallTime::default());
        let mut alarm = Alarm::new(clock.clone());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let at = |seconds| Tick::at(Duration::from_secs(seconds));
        assert!(alarm.poll_at(&mut cx, at(10)).is_pending());
        assert!(alarm.poll_at(&mut cx, at(20)).is_pending());
        clock.advance(Duration::from_secs(12));
        assert!(alarm.poll_at(&mut cx, at(20)).is_pending());
        assert!(alarm.poll_at(&mut cx, at(15)).is_pending());
        clock.advance(Duration::from_secs(3));
        assert!(alarm.poll_at(&mut cx, at(15)).is_ready());
    }
}
