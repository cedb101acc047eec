//! How many frames that carry nothing a peer may send: a burst, then a rate. Honest peers stay far below it.

use std::time::Duration;

use crate::clock::Tick;

/// Frames a second, sustained.
pub const RATE: u64 = 100;
/// Frames at once.
pub const BURST: u64 = 300;

/// What one connection has left of its allowance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// The moment at which it is whole again.
    whole: Tick,
}

impl Allowance {
    /// Takes one frame out of it; whether it was still there.
    pub fn take(&mut self, now: Tick) -> bool {
        const EACH: Duration = Duration::from_nanos(1_000_000_000 / RATE);
        self.whole = self.whole.max(now) + EACH;
        self.whole.since(now) <= EACH * BURST as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_burst_and_then_a_rate() {
        let mut allowance = Allowance::default();
        let second = |at| Tick::at(Duration::from_secs(at));
        let burst = (0..1_000).take_while(|_| allowance.take(second(1))).count();
        assert_eq!(burst as u64, BURST);
        let later = (0..1_000).take_while(|_| allowance.take(second(2))).count();
        assert!((90..=100).contains(&later), "{later}");
    }
}
