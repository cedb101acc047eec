//! What is remembered of one session, or one address. Seconds and ticks are those of the node's clock.

use std::time::Duration;

use crate::clock::Tick;
use crate::sessions::sets::Remembered;

/// The time in which bad tokens are counted, in seconds.
const WINDOW: usize = 10;
/// For how long a connection that was used counts as one of its session, in seconds.
const USED: u32 = 30;
/// The most connections that a session can be held to.
pub const CONNECTIONS_MAX: usize = 16;

/// How often something happened in each of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// The second of the last one.
    last: u32,
    counts: [u8; WINDOW],
}

impl Window {
    /// How often it happened in the window that ends with `second`.
    pub fn count(&self, second: u32) -> u32 {
        let gone = second.saturating_sub(self.last) as usize;
        (gone.min(WINDOW)..WINDOW).map(|age| u32::from(self.counts[self.place(age - gone)])).sum()
    }

    /// It happens once more.
    pub fn add(&mut self, second: u32) {
        let gone = (second.saturating_sub(self.last) as usize).min(WINDOW);
        for _ in 0..gone {
            self.last = self.last.saturating_add(1).max(second.saturating_sub(WINDOW as u32));
            let place = self.place(0);
            self.counts[place] = 0;
        }
        self.last = self.last.max(second);
        let place = self.place(0);
        self.counts[place] = self.counts[place].saturating_add(1);
    }

    /// The place of the second that is so much before the last.
    fn place(&self, before: usize) -> usize {
        (self.last as usize + WINDOW * 2 - before) % WINDOW
    }
}

impl Remembered for Window {
    fn worth(&self, now: u64) -> u64 {
        u64::from(self.count(u32::try_from(now).unwrap_or(u32::MAX)))
    }
}

/// The connections that a session has used lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connections([(u32, u32); CONNECTIONS_MAX]);

impl Connections {
    /// It uses a connection at `second`, one of at most `most`.
    ///
    /// # Errors
    /// It has used as many others lately; when one of them no longer counts.
    pub fn used(&mut self, connection: u32, second: u32, most: usize) -> Result<(), Duration> {
        let places = &mut self.0[..most.clamp(1, CONNECTIONS_MAX)];
        // 0 is a place that was never used.
        let at = second.saturating_add(1);
        let known = places.iter_mut().find(|(known, used)| *known == connection && *used > 0);
        let oldest = match known {
            Some(place) => place,
            None => places.iter_mut().min_by_key(|(_, used)| *used).expect("there is a place"),
        };
        if oldest.1 > 0 && oldest.0 != connection && at < oldest.1 + USED {
            return Err(Duration::from_secs(u64::from(oldest.1 + USED - at)));
        }
        *oldest = (connection, at);
        Ok(())
    }
}

impl Remembered for Connections {
    fn worth(&self, now: u64) -> u64 {
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        self.0.iter().filter(|(_, used)| *used > 0 && now < used + USED).count() as u64
    }
}

/// Up to when what a session was sent is paid for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paid(pub Tick);

impl Remembered for Paid {
    fn worth(&self, now: u64) -> u64 {
        let paid = u64::try_from(self.0.since_start().as_nanos()).unwrap_or(u64::MAX);
        paid.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_second_by_second() {
        let mut window = Window::default();
        for second in [100, 100, 103, 109] {
            window.add(second);
        }
        for (second, count) in [(109, 4), (110, 2), (112, 2), (113, 1), (118, 1), (119, 0), (4_000, 0)] {
            assert_eq!(window.count(second), count, "{second}");
        }
        window.add(4_000);
        assert_eq!(window.count(4_000), 1);
    }

    #[test]
    fn a_window_counts_what_a_list_of_moments_would() {
        let (mut window, mut moments, mut second) = (Window::default(), Vec::new(), 50_u32);
        for step in [0, 0, 1, 3, 0, 9, 10, 0, 0, 11, 2, 2, 2, 2, 2, 25, 1] {
            second += step;
            moments.push(second);
            window.add(second);
            let expected = moments.iter().filter(|moment| second - **moment < 10).count();
            assert_eq!(window.count(second) as usize, expected, "{moments:?}");
        }
    }

    #[test]
    fn a_connection_that_is_no_longer_used_makes_room() {
        let mut connections = Connections::default();
        assert_eq!(connections.used(1, 0, 2), Ok(()));
        assert_eq!(connections.used(2, 10, 2), Ok(()));
        assert_eq!(connections.used(1, 20, 2), Ok(()));
        assert_eq!(connections.used(3, 20, 2), Err(Duration::from_secs(20)));
        assert_eq!(connections.used(3, 40, 2), Ok(()));
        assert_eq!(connections.used(2, 40, 2), Err(Duration::from_secs(10)));
    }
}
