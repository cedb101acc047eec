//! What one connection may ask of us beside requests that it waits for (RFC 9114 §10.5). Honest clients stay far
//! below; who goes above is sent away with H3_EXCESSIVE_LOAD. Pure: time comes with each call.

use std::time::Duration;

use super::code::{self, ConnectionError};
use crate::clock::Tick;
use crate::rules::flood::Allowance;

/// Requests given up, or ended for the client's fault, in [`WINDOW`].
const GIVEN_UP: u32 = 200;
const WINDOW: Duration = Duration::from_secs(10);
const SLOTS: usize = 10;
/// A stream that lived shorter than this was hardly worth opening.
const SHORT: Duration = Duration::from_millis(100);
/// Short-lived streams from which on the share of those given up counts.
const SHORT_STREAMS: u32 = 100;
/// Empty DATA frames of one connection.
const EMPTY_DATA: u32 = 1_000;

/// How a request stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered.
    Answered,
    /// The client gave it up, or made us reset it.
    GivenUp,
}

/// The account of one connection.
#[derive(Debug)]
pub struct Account {
    given_up: [u32; SLOTS],
    slot: u64,
    short: u32,
    short_given_up: u32,
    control: Allowance,
    empty_data: u32,
}

impl Account {
    /// A new connection.
    pub fn new() -> Self {
        Self {
            given_up: [0; SLOTS],
            slot: 0,
            short: 0,
            short_given_up: 0,
            control: Allowance::default(),
            empty_data: 0,
        }
    }

    /// A stream that was opened at `opened` has ended.
    ///
    /// # Errors
    /// Too many were given up (rapid reset, CVE-2023-44487).
    pub fn stream_ended(&mut self, end: End, opened: Tick, now: Tick) -> Result<(), ConnectionError> {
        if now.since(opened) < SHORT {
            self.short += 1;
            self.short_given_up += u32::from(end == End::GivenUp);
            if self.short > SHORT_STREAMS && self.short_given_up > self.short / 2 {
                return excessive("most requests are given up at once");
            }
            if self.short > 10 * SHORT_STREAMS {
                // What was long ago counts less.
                self.short /= 2;
                self.short_given_up /= 2;
            }
        }
        if end == End::Answered {
            return Ok(());
        }
        self.turn_to(now);
        self.given_up[(self.slot % SLOTS as u64) as usize] += 1;
        match self.given_up.iter().sum::<u32>() > GIVEN_UP {
            true => excessive("too many requests are given up"),
            false => Ok(()),
        }
    }

    fn turn_to(&mut self, now: Tick) {
        let slot = now.since_start().as_nanos() / (WINDOW / SLOTS as u32).as_nanos();
        let slot = u64::try_from(slot).unwrap_or(u64::MAX).max(self.slot);
        for passed in (self.slot + 1..=slot).take(SLOTS) {
            self.given_up[(passed % SLOTS as u64) as usize] = 0;
        }
        if slot - self.slot >= SLOTS as u64 {
            self.given_up = [0; SLOTS];
        }
        self.slot = slot;
    }

    /// A control frame, an instruction or a stream of no use has come.
    ///
    /// # Errors
    /// They come faster than any client needs.
    pub fn control_frame(&mut self, now: Tick) -> Result<(), ConnectionError> {
        match self.control.take(now) {
            true => Ok(()),
            false => excessive("too many control frames"),
        }
    }

    /// A DATA frame without octets has come.
    ///
    /// # Errors
    /// There were too many of them.
    pub fn empty_data(&mut self) -> Result<(), ConnectionError> {
        self.empty_data += 1;
        match self.empty_data > EMPTY_DATA {
            true => excessive("too many empty DATA frames"),
            false => Ok(()),
        }
    }
}

fn excessive(reason: &'static str) -> Result<(), ConnectionError> {
    Err(ConnectionError::new(code::EXCESSIVE_LOAD, reason))
}

/// How fast a request body must come: what the client had time for, while there was room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    octets: u64,
    waited: Duration,
    waiting_since: Option<Tick>,
}

/// The time that every body has, and octets a second afterwards.
const GRACE: Duration = Duration::from_secs(5);
const SLOWEST: u64 = 500;

impl Pace {
    /// The client could send, and nothing is there.
    pub fn wait(&mut self, now: Tick) {
        self.waiting_since.get_or_insert(now);
    }

    /// So many octets came, or there is no room at present.
    pub fn stop_waiting(&mut self, octets: usize, now: Tick) {
        self.octets += octets as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.since(since);
        }
    }

    /// When the body is too slow if nothing comes before.
    pub fn deadline(&self) -> Option<Tick> {
        let allowed = GRACE.max(Duration::from_millis(self.octets.saturating_mul(1_000) / SLOWEST));
        Some(self.waiting_since? + allowed.saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Tick {
        Tick::at(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn more_than_two_hundred_requests_given_up_in_ten_seconds_are_too_many() {
        let mut account = Account::new();
        for _ in 0..200 {
            assert_eq!(account.stream_ended(End::GivenUp, seconds(1.0), seconds(2.0)), Ok(()));
        }
        for _ in 0..200 {
            assert_eq!(account.stream_ended(End::GivenUp, seconds(1.0), seconds(13.0)), Ok(()));
        }
        assert!(account.stream_ended(End::GivenUp, seconds(1.0), seconds(20.0)).is_err());
    }

    #[test]
    fn half_of_the_short_lived_may_be_given_up_and_no_more() {
        let mut account = Account::new();
        for second in 0..100 {
            let at = seconds(f64::from(second));
            assert_eq!(account.stream_ended(End::Answered, at, at), Ok(()));
            assert_eq!(account.stream_ended(End::GivenUp, at, at), Ok(()));
        }
        let at = seconds(100.0);
        let mut last = Ok(());
        for _ in 0..3 {
            last = account.stream_ended(End::GivenUp, at, at);
        }
        assert!(last.is_err());
    }

    #[test]
    fn a_body_has_five_seconds_and_then_five_hundred_octets_a_second() {
        let mut pace = Pace::default();
        pace.wait(seconds(1.0));
        assert_eq!(pace.deadline(), Some(seconds(6.0)));
        pace.stop_waiting(5_000, seconds(5.0));
        assert_eq!(pace.deadline(), None);
        pace.wait(seconds(100.0));
        assert_eq!(pace.deadline(), Some(seconds(106.0)));
    }
}
