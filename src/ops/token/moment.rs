//! Moments as people write and read them: seconds since 1970, `2026-11-26T20:15:00Z`, or how far they are from now.

use std::time::Duration;

use crate::config::value;

const DAY: u64 = 86_400;

/// A moment, as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    At(u64),
    /// So long after now.
    After(Duration),
    /// So long before now.
    Before(Duration),
}

impl Moment {
    /// Reads it.
    ///
    /// # Errors
    /// What would have been accepted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const ACCEPTED: &str =
            "accepted are seconds since 1970, a time like 2026-11-26T20:15:00Z, or how far it is from now: 4h, -10m";
        if let Ok(seconds) = text.parse() {
            return Ok(Self::At(seconds));
        }
        if let Some(seconds) = read(text) {
            return Ok(Self::At(seconds));
        }
        let (length, of): (&str, fn(Duration) -> Self) = match text.strip_prefix('-') {
            Some(rest) => (rest, Self::Before),
            None => (text.strip_prefix('+').unwrap_or(text), Self::After),
        };
        value::time(length).map(of).map_err(|_| ACCEPTED)
    }

    /// In seconds since 1970.
    pub fn seconds(self, now: u64) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::After(time) => now.saturating_add(time.as_secs()),
            Self::Before(time) => now.saturating_sub(time.as_secs()),
        }
    }
}

/// `2026-11-26T20:15:00Z` (RFC 3339, in UTC and whole seconds).
fn read(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let numbers = |text: &str, mark: char| -> Option<[u64; 3]> {
        let numbers: Vec<_> = text.split(mark).map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let plausible =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    if !plausible || day == 0 || day > days_in(year, month) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Some((years + months + day - 1) * DAY + hour * 3_600 + minute * 60 + second)
}

/// A moment as a person reads it, in UTC.
pub fn written(seconds: u64) -> String {
    let (mut days, rest) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while let Some(left) = days.checked_sub(if is_leap(year) { 366 } else { 365 })
        && year < 9999
    {
        (days, year) = (left, year + 1);
    }
    let mut month = 1;
    while let Some(left) = days.checked_sub(days_in(year, month))
        && month < 12
    {
        (days, month) = (left, month + 1);
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

/// How far a moment is from now: `in 4 min 10 s`, `12 s ago`.
pub fn distance(seconds: i64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", length(seconds.unsigned_abs())),
        _ => format!("{} ago", length(seconds.unsigned_abs())),
    }
}

/// A length of time with its two largest units.
pub fn length(seconds: u64) -> String {
    let units = [(DAY, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in &units[first..units.len().min(first + 2)] {
        if left / unit > 0 {
            parts.push(format!("{} {name}", left / unit));
        }
        left %= unit;
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_720_000_000, "2024-07-03T09:46:40Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!((written(seconds).as_str(), read(text)), (text, Some(seconds)));
        }
    }

    #[test]
    fn moments_are_absolute_or_from_now() {
        for (text, moment) in [
            ("1720000000", Moment::At(1_720_000_000)),
            ("2024-07-03T09:46:40Z", Moment::At(1_720_000_000)),
            ("4h", Moment::After(Duration::from_secs(14_400))),
            ("+5m", Moment::After(Duration::from_secs(300))),
            ("-10s", Moment::Before(Duration::from_secs(10))),
        ] {
            assert_eq!(Moment::parse(text), Ok(moment), "{text}");
        }
        for text in ["", "-", "4", "-5", "4 hours", "2024-07-03", "2024-02-30T00:00:00Z", "2024-07-03T09:46:40"] {
            let read = Moment::parse(text);
            assert!(matches!(read, Err(_) | Ok(Moment::At(4))), "{text}: {read:?}");
        }
        assert_eq!(Moment::Before(Duration::from_secs(10)).seconds(4), 0);
    }

    #[test]
    fn lengths_have_their_two_largest_units() {
        for (seconds, text) in
            [(0, "now"), (59, "in 59 s"), (-61, "1 min 1 s ago"), (14_400, "in 4 h"), (-90_061, "1 d 1 h ago")]
        {
            assert_eq!(distance(seconds), text);
        }
        assert_eq!(length(0), "0 s");
    }
}
