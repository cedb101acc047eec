//! Media time: whole microseconds, on the time line of the stream's calendar (`EXT-X-PROGRAM-DATE-TIME`) where it has one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds; a moment is counted from 1970 where the stream tells the date.
pub type Micros = i64;

/// A duration in microseconds.
pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Microseconds as a duration; none below zero.
pub fn duration(micros: Micros) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// The calendar, read once; from then on monotonic time is added, so that a step of the wall clock is no latency.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    unix: Micros,
    at: Instant,
}

impl Wall {
    /// Reads the machine's clocks.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { unix: micros(unix.unwrap_or_default()), at: Instant::now() }
    }

    /// The calendar time of a moment after the clocks were read.
    pub fn at(&self, moment: Instant) -> Micros {
        self.unix + micros(moment.saturating_duration_since(self.at))
    }
}

/// Decimal seconds, such as `0.33334`, digits beyond the sixth dropped.
pub fn seconds(text: &str) -> Option<Micros> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = &format!("{fraction:0<6}")[..6];
    let whole: Micros = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)
}

/// A date of ISO 8601 as playlists have it: `2026-11-25T17:03:00.123Z`, or with an offset such as `+01:00`.
pub fn date(text: &str) -> Option<Micros> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| text.as_bytes().get(*at) != Some(mark)) {
        return None;
    }
    let days = days(number(0..4)?, number(5..7)?, number(8..10)?);
    let clock = number(11..13)? * 3600 + number(14..16)? * 60;
    let rest = text.get(17..)?;
    let end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (second, zone) = rest.split_at(end);
    let offset = match zone.as_bytes() {
        [] | [b'Z'] => 0,
        [sign, ..] => {
            let digits: String = zone[1..].chars().filter(|each| *each != ':').collect();
            let hours: i64 = digits.get(..2)?.parse().ok()?;
            let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
    };
    Some((days * 86_400 + clock - offset) * 1_000_000 + seconds(second)?)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_fraction_and_offset() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-25T17:03:00.123Z", 1_795_626_180_123_000),
            ("2026-11-25T18:03:00.123+01:00", 1_795_626_180_123_000),
            ("2026-11-25T13:33:00.123-0330", 1_795_626_180_123_000),
            ("2024-02-29T23:59:59.9999999", 1_709_251_199_999_999),
        ] {
            assert_eq!(date(text), Some(unix), "{text}");
        }
        for text in ["", "2026-11-25", "2026-11-25 17:03:00Z", "2026-11-25T17:03:0xZ", "2026-+1-25T17:03:00Z"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_are_decimal() {
        assert_eq!(seconds("0.33334"), Some(333_340));
        assert_eq!(seconds("2"), Some(2_000_000));
        for text in ["", ".5", "-1", "1e3", "1.x", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
