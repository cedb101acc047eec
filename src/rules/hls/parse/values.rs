//! Values of tags and attributes (RFC 8216bis §4.2, §4.4.4.2, §4.4.4.6).

use std::time::Duration;

use super::super::playlist::ByteRange;

/// No duration is longer than a week: sums and products of what is read cannot overflow.
const LONGEST: u64 = 7 * 24 * 3_600;
/// Digits of a decimal integer (§4.2).
const DIGITS: usize = 20;
/// Sequence numbers stay below this, so that counting on from them cannot overflow.
const SEQUENCE_MAX: u64 = 1 << 63;

/// A decimal integer: 1 to 20 digits, below 2^64.
pub fn integer(text: &str) -> Option<u64> {
    let fits = !text.is_empty() && text.len() <= DIGITS;
    fits.then(|| text.bytes().try_fold(0u64, digit)).flatten()
}

/// A decimal integer from which can be counted on.
pub fn sequence(text: &str) -> Option<u64> {
    integer(text).filter(|number| *number < SEQUENCE_MAX)
}

fn digit(sum: u64, octet: u8) -> Option<u64> {
    let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
    sum.checked_mul(10)?.checked_add(digit)
}

/// Seconds as a decimal number, exact to the nanosecond; finer digits are cut off. More than a week is none.
pub fn duration(text: &str) -> Option<Duration> {
    let point = text.bytes().position(|octet| octet == b'.');
    let (whole, fraction) = point.map_or((text, ""), |point| (&text[..point], &text[point + 1..]));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let seconds = whole.bytes().try_fold(0u64, |sum, octet| digit(sum, octet).filter(|sum| *sum <= LONGEST))?;
    Some(Duration::new(seconds, nanos(fraction)?))
}

/// Nanoseconds of the digits behind a point.
fn nanos(fraction: &str) -> Option<u32> {
    let (mut nanos, mut unit) = (0, 100_000_000);
    for octet in fraction.bytes() {
        nanos += u32::from(octet.is_ascii_digit().then(|| octet - b'0')?) * unit;
        unit /= 10;
    }
    Some(nanos)
}

/// `n[@o]`: a range that may follow another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unplaced {
    length: u64,
    start: Option<u64>,
}

impl Unplaced {
    /// Reads `n[@o]`.
    pub fn read(text: &str) -> Option<Self> {
        match text.bytes().position(|octet| octet == b'@') {
            Some(at) => Some(Self { length: integer(&text[..at])?, start: Some(integer(&text[at + 1..])?) }),
            None => Some(Self { length: integer(text)?, start: None }),
        }
    }

    /// The range, which begins at `implied` if it does not say where. `None`: nothing says where, or it ends beyond
    /// what can be counted.
    pub fn place(self, implied: Option<u64>) -> Option<ByteRange> {
        let start = self.start.or(implied)?;
        start.checked_add(self.length)?;
        Some(ByteRange { start, length: self.length })
    }
}

/// Milliseconds since 1970 of a date and time (ISO 8601, the form of §4.4.4.6). Without a zone it is UTC.
pub fn date_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut numbers = date.split('-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if year.len() != 4 || month.len() != 2 || day.len() != 2 || numbers.next().is_some() {
        return None;
    }
    let days = days_since_1970(integer(year)?, integer(month)?, integer(day)?)?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    Some(days * 86_400_000 + of_day(time)? - zone_offset(zone)?)
}

/// Milliseconds since midnight of `hh:mm:ss[.fraction]`. A leap second counts.
fn of_day(time: &str) -> Option<i64> {
    let octets = time.as_bytes();
    if octets.len() < 8 || octets[2] != b':' || octets[5] != b':' || !time.is_ascii() {
        return None;
    }
    let (hour, minute, second) = (integer(&time[..2])?, integer(&time[3..5])?, integer(&time[6..8])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let millis = match octets.get(8) {
        None => 0,
        Some(b'.' | b',') if octets.len() > 9 => i64::from(nanos(&time[9..])? / 1_000_000),
        Some(_) => return None,
    };
    Some((hour * 3_600 + minute * 60 + second) as i64 * 1_000 + millis)
}

/// Milliseconds that a zone is ahead of UTC: nothing, `Z`, `+hh`, `+hhmm` or `+hh:mm`.
fn zone_offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let (hours, minutes) = (integer(hours)?, integer(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) as i64 * 60_000)
}

/// Days from 1970-01-01, negative before it, in the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years that begin in March end with the leap day; 1600 years before year 0 keep every number positive.
    let year = year + 1_600 - u64::from(month < 3);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
    // From 1 March of year -1600 to 1 January 1970.
    const TO_1970: i64 = 719_468 + 584_388;
    Some(days as i64 - TO_1970)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_have_at_most_twenty_digits() {
        for (text, value) in [
            ("0", Some(0)),
            ("00000000000000000007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("000000000000000000007", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1.0", None),
            ("\u{661}", None),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
        assert_eq!((sequence("9223372036854775807"), sequence("9223372036854775808")), (Some((1 << 63) - 1), None));
    }

    #[test]
    fn durations_are_exact_to_the_nanosecond() {
        for (text, value) in [
            ("4", Some((4, 0))),
            ("4.00008", Some((4, 80_000))),
            ("0.33334", Some((0, 333_340_000))),
            ("0.1", Some((0, 100_000_000))),
            ("1.000000001", Some((1, 1))),
            ("3.9999999999", Some((3, 999_999_999))),
            ("9.", Some((9, 0))),
            (".5", Some((0, 500_000_000))),
            ("604800", Some((604_800, 0))),
            ("604801", None),
            ("99999999999999999999999999", None),
            (".", None),
            ("", None),
            ("-1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("NaN", None),
            ("4,", None),
        ] {
            assert_eq!(duration(text), value.map(|(seconds, nanos)| Duration::new(seconds, nanos)), "{text}");
        }
    }

    #[test]
    fn ranges_are_placed_or_are_none() {
        let placed = |text, implied| Unplaced::read(text)?.place(implied).map(|range| (range.start, range.length));
        assert_eq!(placed("10@5", None), Some((5, 10)));
        assert_eq!(placed("10@5", Some(7)), Some((5, 10)));
        assert_eq!(placed("10", Some(7)), Some((7, 10)));
        assert_eq!(placed("10", None), None);
        assert_eq!(placed("2@18446744073709551614", None), None);
        for text in ["", "@", "10@", "@5", "10@5@5", "10@-5", "10 @5"] {
            assert_eq!(Unplaced::read(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_milliseconds_since_1970() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2019-02-14T02:13:36.106Z", Some(1_550_110_416_106)),
            ("2019-02-14T02:13:36.106", Some(1_550_110_416_106)),
            ("2019-02-14T04:13:36.1069+02:00", Some(1_550_110_416_106)),
            ("2019-02-13T20:43:36,106-0530", Some(1_550_110_416_106)),
            ("2019-02-14t04:13:36.106+02", Some(1_550_110_416_106)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
            ("0000-03-01T00:00:00Z", Some(-62_162_035_200_000)),
            ("9999-12-31T23:59:60Z", Some(253_402_300_800_000)),
            ("1900-02-29T00:00:00Z", None),
            ("2019-13-01T00:00:00Z", None),
            ("2019-00-01T00:00:00Z", None),
            ("2019-02-14", None),
            ("2019-02-14T24:00:00Z", None),
            ("2019-02-14T02:13:36.Z", None),
            ("2019-02-14T02:13Z", None),
            ("2019-02-14T02:13:36Z+02:00", None),
            ("2019-02-14T02:13:36+2:00", None),
            ("2019-02-14T02:13:36+02:60", None),
            ("2019-02-14T\u{fc}2:13:36Z", None),
            ("2019-02-14T02:13:36+0\u{fc}0", None),
            ("19-02-14T02:13:36Z", None),
            ("", None),
        ] {
            assert_eq!(date_time(text), millis, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_read_as_it_is_written(seconds in 0u64..604_800, nanos in 0u32..1_000_000_000) {
            prop_assert_eq!(duration(&format!("{seconds}.{nanos:09}")), Some(Duration::new(seconds, nanos)));
        }

        #[test]
        fn days_follow_one_another(year in 0u64..10_000, month in 1u64..13, day in 1u64..32) {
            if let Some(days) = days_since_1970(year, month, day) {
                let next = days_since_1970(year, month, day + 1)
                    .or_else(|| days_since_1970(year, month + 1, 1))
                    .or_else(|| days_since_1970(year + 1, 1, 1));
                prop_assert_eq!(next, Some(days + 1));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.,+-]{0,30}|\\PC{0,20}") {
            _ = (integer(&text), duration(&text), date_time(&text), Unplaced::read(&text));
        }
    }
}
