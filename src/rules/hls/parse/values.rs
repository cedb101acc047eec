//! Values of tags and attributes (RFC 8216bis §4.2, §4.4.4.2, §4.4.4.6).

use std::time::Duration;

use super::super::playlist::ByteRange;

/// No duration is longer than a week: sums and products of what is read cannot overflow.
const LONGEST: u64 = 7 * 24 * 3_600;
/// Digits of a decimal integer (§4.2).
const DIGITS: usize = 20;

/// A decimal integer: 1 to 20 digits, below 2^64.
pub fn integer(text: &str) -> Option<u64> {
    let fits = !text.is_empty() && text.len() <= DIGITS;
    fits.then(|| text.bytes().try_fold(0u64, digit)).flatten()
}

fn digit(sum: u64, octet: u8) -> Option<u64> {
    let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
    sum.checked_mul(10)?.checked_add(digit)
}

/// Seconds as a decimal number, exact to the nanosecond; finer digits are cut off. More than a week is none.
pub fn duration(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let seconds = whole.bytes().try_fold(0u64, |sum, octet| digit(sum, octet).filter(|sum| *sum <= LONGEST))?;
    let (mut nanos, mut unit) = (0u32, 100_000_000u32);
    for octet in fraction.bytes() {
        nanos += u32::from(octet.is_ascii_digit().then(|| octet - b'0')?) * unit;
        unit /= 10;
    }
    Some(Duration::new(seconds, nanos))
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
        let Some((length, start)) = text.split_once('@') else {
            return Some(Self { length: integer(text)?, start: None });
        };
        Some(Self { length: integer(length)?, start: Some(integer(start)?) })
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
        Some(b'.' | b',') => duration(&format!(".{}", &time[9..]))?.as_millis() as i64,
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
