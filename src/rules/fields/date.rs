//! HTTP dates (RFC 9110 §5.6.7): all three forms are read, IMF-fixdate is written.
//!
//! Reading is strict where laxness has been seen to lengthen lifetimes: one blank between the parts, two-digit times
//! and days, only GMT, a two-digit year only in the RFC 850 form. Letter case is free. The name of the day must be one,
//! but need not fit the date.

use std::time::Duration;

use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::WallTime;

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
const LONG_DAYS: [&[u8]; 7] = [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
/// 9999-12-31T23:59:59Z, the last second that the format can write.
const LAST_SECOND: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 86_400;

/// The moment that `value` names. `now` decides the century of RFC 850's two-digit years: at most 50 years ahead.
/// Moments before 1970 become 1970.
pub fn parse(value: &[u8], now: WallTime) -> Option<WallTime> {
    imf_fixdate(value).or_else(|| rfc850(value, now)).or_else(|| asctime(value))
}

/// The moment in the field `name`, if there is exactly one line of it and it is a date.
pub fn field(headers: &HeaderMap, name: &HeaderName, now: WallTime) -> Option<WallTime> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    parse(only.as_bytes(), now)
}

/// `time` as IMF-fixdate, without its fraction of a second.
pub fn format(time: WallTime) -> HeaderValue {
    let seconds = Duration::from_secs(time.since_epoch().as_secs().min(LAST_SECOND));
    let text = httpdate::HttpDate::from(WallTime::at(seconds).system_time()).to_string();
    HeaderValue::try_from(text).expect("an HTTP date is visible ASCII and blanks")
}

/// Gives `headers` a Date where they have no readable one: a recipient with a clock records when it received a
/// response that carries none (RFC 9110 §6.6.1).
pub fn ensure_date(headers: &mut HeaderMap, received: WallTime) {
    if field(headers, &DATE, received).is_none() {
        headers.insert(DATE, format(received));
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<WallTime> {
    if value.len() != 29 || &value[3..5] != b", " || value[7] != b' ' || value[11] != b' ' || value[16] != b' ' {
        return None;
    }
    name(&DAYS, &value[..3])?;
    let day = number(&value[5..7])?;
    let month = name(&MONTHS, &value[8..11])?;
    let year = number(&value[12..16])?;
    moment(year, month, day, time_of_day(&value[17..25])?, zone(&value[25..]))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: WallTime) -> Option<WallTime> {
    let comma = memchr::memchr(b',', value)?;
    name(&LONG_DAYS, &value[..comma])?;
    let rest = &value[comma + 1..];
    if rest.len() != 23 || rest[0] != b' ' || rest[3] != b'-' || rest[7] != b'-' || rest[10] != b' ' {
        return None;
    }
    let day = number(&rest[1..3])?;
    let month = name(&MONTHS, &rest[4..7])?;
    let this_year = year_of(now);
    let mut year = this_year - this_year % 100 + number(&rest[8..10])?;
    if year > this_year + 50 {
        year -= 100;
    } else if year + 50 <= this_year {
        year += 100;
    }
    moment(year, month, day, time_of_day(&rest[11..19])?, zone(&rest[19..]))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<WallTime> {
    if value.len() != 24 || value[3] != b' ' || value[7] != b' ' || value[10] != b' ' || value[19] != b' ' {
        return None;
    }
    name(&DAYS, &value[..3])?;
    let month = name(&MONTHS, &value[4..7])?;
    let day = if value[8] == b' ' { number(&value[9..10])? } else { number(&value[8..10])? };
    moment(number(&value[20..])?, month, day, time_of_day(&value[11..19])?, Some(()))
}

fn zone(value: &[u8]) -> Option<()> {
    value.eq_ignore_ascii_case(b" GMT").then_some(())
}

/// Seconds since midnight of `hh:mm:ss`. A leap second counts.
fn time_of_day(value: &[u8]) -> Option<u64> {
    if value.len() != 8 || value[2] != b':' || value[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&value[..2])?, number(&value[3..5])?, number(&value[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

fn name(names: &[&[u8]], value: &[u8]) -> Option<u64> {
    names.iter().position(|name| value.eq_ignore_ascii_case(name)).map(|index| index as u64)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')) // four digits at most: no overflow
    })
}

/// `month` counts from 0, `day` from 1.
fn moment(year: u64, month: u64, day: u64, second: u64, zone: Option<()>) -> Option<WallTime> {
    zone?;
    if day == 0 || day > days_in(year, month) {
        return None;
    }
    let days = days_before_year(year) + (0..month).map(|month| days_in(year, month)).sum::<u64>() + day - 1;
    let seconds = (days * SECONDS_PER_DAY + second).saturating_sub(days_before_year(1970) * SECONDS_PER_DAY);
    // The leap second behind the last one could be read and not written.
    Some(WallTime::at(Duration::from_secs(seconds.min(LAST_SECOND))))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Days from the first of January of year 1 (year 0 counts as year 1: nothing before 1970 is told apart).
fn days_before_year(year: u64) -> u64 {
    let past = year.saturating_sub(1);
    past * 365 + past / 4 - past / 100 + past / 400
}

fn year_of(time: WallTime) -> u64 {
    let days = time.since_epoch().as_secs() / SECONDS_PER_DAY + days_before_year(1970);
    let guess = (days / 366 + 1).min(9_999);
    (guess..).find(|year| days_before_year(year + 1) > days).unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: WallTime = WallTime::at(Duration::from_secs(1_763_000_000)); // in November 2025
    const EXAMPLE: WallTime = WallTime::at(Duration::from_secs(784_111_777));

    #[test]
    fn all_three_forms_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nov 1994 08:49:37 gmt",
            "sunday, 06-NOV-94 08:49:37 gMT",
            "sun nov 06 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(EXAMPLE), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_date_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Jun 1994 08:49:37 GMT",
            "Sun, 29 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            " Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06 Nov 94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
    }

    #[test]
    fn two_digit_years_are_at_most_fifty_years_ahead() {
        let year = |text: &str| year_of(parse(text.as_bytes(), NOW).unwrap());
        assert_eq!(year("Thursday, 18-Aug-50 02:01:18 GMT"), 2050);
        assert_eq!(year("Thursday, 18-Aug-75 02:01:18 GMT"), 2075);
        assert_eq!(year("Thursday, 18-Aug-76 02:01:18 GMT"), 1976);
    }

    #[test]
    fn moments_out_of_range_are_clamped() {
        assert_eq!(parse(b"Thu, 01 Jan 1970 00:00:00 GMT", NOW), Some(WallTime::default()));
        assert_eq!(parse(b"Mon, 01 Jan 0001 00:00:00 GMT", NOW), Some(WallTime::default()));
        assert_eq!(parse(b"Fri, 01 Jan 0000 00:00:00 GMT", NOW), Some(WallTime::default()));
        let last = WallTime::at(Duration::from_secs(LAST_SECOND));
        assert_eq!(parse(b"Fri, 31 Dec 9999 23:59:60 GMT", NOW), Some(last));
        assert_eq!(format(WallTime::at(Duration::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_response_without_a_readable_date_gets_the_time_of_its_receipt() {
        let mut headers = HeaderMap::new();
        ensure_date(&mut headers, EXAMPLE);
        assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        ensure_date(&mut headers, NOW);
        assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
        headers.append(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:38 GMT"));
        ensure_date(&mut headers, NOW);
        assert_eq!(headers.get_all(DATE).iter().count(), 1);
    }

    proptest! {
        #[test]
        fn every_second_of_the_calendar_survives_writing_and_reading(seconds in 0..=LAST_SECOND) {
            let time = WallTime::at(Duration::from_secs(seconds));
            prop_assert_eq!(parse(format(time).as_bytes(), NOW), Some(time));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            parse(&bytes, NOW);
        }

        #[test]
        fn any_damage_to_a_date_is_read_without_a_panic(at in 0usize..30, byte in any::<u8>()) {
            for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
                let mut bytes = text.as_bytes().to_vec();
                let at = at % bytes.len();
                bytes[at] = byte;
                parse(&bytes, NOW);
            }
        }
    }
}
