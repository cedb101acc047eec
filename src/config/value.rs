//! Units of the configuration: sizes, times and address prefixes, from what was typed.
//!
//! A number without its unit is refused, because "10" for ten seconds and "10" for ten milliseconds look alike. Each
//! error carries what is accepted and, where the intent is plain, the text that would have been right.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Why a text is not a value, and how to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// What would have been accepted.
    pub accepted: &'static str,
    /// The text that was probably meant.
    pub meant: Option<String>,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted is {}", self.accepted)
    }
}

impl std::error::Error for ValueError {}

/// What a size looks like.
pub const SIZES: &str = "a whole number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, like \"128MiB\"";
/// What a time looks like.
pub const TIMES: &str = "a whole number with ms, s, m, h or d, like \"400ms\" or \"10s\"";
/// What an address prefix looks like.
pub const PREFIXES: &str = "an address prefix like \"10.0.0.0/8\" or \"2001:db8::/32\", or one address";

/// What a number of target durations looks like.
pub const TARGET_DURATIONS: &str = "target durations of the stream, a whole number up to 1000 with td, like \"3td\"";
const MOST_TARGET_DURATIONS: u32 = 1_000;

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// In milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Other people's spellings of our units.
const SIZE_ALIASES: [(&str, &str); 5] = [("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("t", "TiB"), ("bytes", "B")];
const TIME_ALIASES: [(&str, &str); 10] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("minutes", "m"),
    ("hours", "h"),
    ("days", "d"),
];

const TARGET_DURATION_ALIASES: [(&str, &str); 3] = [("x", "td"), ("target", "td"), ("targets", "td")];

/// A size in bytes.
///
/// # Errors
/// Where the text is no whole number with a unit, or does not fit 64 bits.
pub fn size(text: &str) -> Result<u64, ValueError> {
    measure(text, &SIZE_UNITS, &SIZE_ALIASES, SIZES)
}

/// A time of at most a thousand years.
///
/// # Errors
/// Where the text is no whole number with a unit, or too long.
pub fn time(text: &str) -> Result<Duration, ValueError> {
    const LONGEST_MS: u64 = 1_000 * 366 * 86_400_000;
    let ms = measure(text, &TIME_UNITS, &TIME_ALIASES, TIMES)?;
    if ms > LONGEST_MS {
        return Err(ValueError { accepted: TIMES, meant: None });
    }
    Ok(Duration::from_millis(ms))
}

/// A number of target durations, as in `3td`: at most a thousand.
///
/// # Errors
/// Where the text is no whole number with `td`, or too large.
pub fn target_durations(text: &str) -> Result<u32, ValueError> {
    let count = measure(text, &[("td", 1)], &TARGET_DURATION_ALIASES, TARGET_DURATIONS)?;
    let count = u32::try_from(count).ok().filter(|count| *count <= MOST_TARGET_DURATIONS);
    count.ok_or(ValueError { accepted: TARGET_DURATIONS, meant: None })
}

fn measure(
    text: &str,
    units: &[(&str, u64)],
    aliases: &[(&str, &str)],
    accepted: &'static str,
) -> Result<u64, ValueError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let amount = number.parse::<u64>();
    let exact = units.iter().find(|(name, _)| *name == unit);
    if let (Ok(amount), Some((_, factor))) = (&amount, exact)
        && let Some(value) = amount.checked_mul(*factor)
    {
        return Ok(value);
    }
    let typed = unit.trim();
    let meant_unit = units
        .iter()
        .map(|(name, _)| (*name, *name))
        .chain(aliases.iter().copied())
        .find(|(name, _)| exact.is_none() && name.eq_ignore_ascii_case(typed))
        .map(|(_, unit)| unit);
    let meant = amount.ok().zip(meant_unit).map(|(amount, unit)| format!("{amount}{unit}"));
    Err(ValueError { accepted, meant })
}

/// An address prefix; an address alone is the prefix that holds only it.
///
/// # Errors
/// Where the text is neither, or has bits set behind the prefix: then it does not say which was meant.
pub fn prefix(text: &str) -> Result<IpNet, ValueError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(ValueError { accepted: PREFIXES, meant: Some(net.trunc().to_string()) }),
        Err(_) => Err(ValueError { accepted: PREFIXES, meant: None }),
    }
}

/// A size as the configuration would write it, in the largest unit that divides it.
pub fn write_size(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS
        .iter()
        .filter(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| *factor)
        .unwrap_or(&SIZE_UNITS[0]);
    format!("{}{unit}", bytes / factor)
}

/// A size rounded for people: three figures at least, binary units.
pub fn rough_size(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS[5..].iter().rev().find(|(_, factor)| bytes >= *factor).unwrap_or(&SIZE_UNITS[0]);
    let whole = bytes / factor;
    match bytes % factor {
        0 => format!("{whole} {unit}"),
        rest if whole < 100 => format!("{whole}.{} {unit}", rest * 10 / factor),
        _ => format!("{whole} {unit}"),
    }
}

/// A time as the configuration would write it, in the largest unit that divides it.
pub fn write_time(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) = TIME_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| ms > 0 && ms.is_multiple_of(*factor))
        .unwrap_or(if ms == 0 { &TIME_UNITS[1] } else { &TIME_UNITS[0] });
    format!("{}{unit}", ms / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_carry_units() {
        for (text, bytes) in [
            ("0B", 0),
            ("16MB", 16_000_000),
            ("64KiB", 65_536),
            ("128MiB", 134_217_728),
            ("2GiB", 2_147_483_648),
            ("1kB", 1_000),
            ("3TiB", 3 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_that_is_not_one_names_what_was_meant() {
        for (text, meant) in [
            ("2 GiB", Some("2GiB")),
            ("2gib", Some("2GiB")),
            ("2g", Some("2GiB")),
            ("64KB", Some("64kB")),
            ("64", None),
            ("", None),
            ("GiB", None),
            ("-1GiB", None),
            ("1.5GiB", None),
            ("99999999999GiB", None),
            ("99999999999999999999999B", None),
            ("2GiB ", Some("2GiB")),
        ] {
            let error = size(text).unwrap_err();
            assert_eq!(error.meant.as_deref(), meant, "{text}");
            assert_eq!(error.accepted, SIZES);
        }
    }

    #[test]
    fn times_carry_units() {
        for (text, ms) in
            [("0s", 0), ("400ms", 400), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for (text, meant) in
            [("10", None), ("10 sec", Some("10s")), ("5min", Some("5m")), ("1h30m", None), ("999999999d", None)]
        {
            assert_eq!(time(text).unwrap_err().meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn target_durations_are_counted() {
        for (text, count) in [("0td", 0), ("3td", 3), ("1000td", 1_000)] {
            assert_eq!(target_durations(text), Ok(count), "{text}");
        }
        for (text, meant) in [("3", None), ("3 td", Some("3td")), ("3TD", Some("3td")), ("30s", None), ("1001td", None)]
        {
            assert_eq!(target_durations(text).unwrap_err().meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn a_prefix_has_no_bits_behind_it() {
        assert_eq!(prefix("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(prefix("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(prefix("::1").unwrap().to_string(), "::1/128");
        assert_eq!(prefix("10.1.2.3/8").unwrap_err().meant.as_deref(), Some("10.0.0.0/8"));
        assert_eq!(prefix("10.0.0.0/40").unwrap_err().meant, None);
        assert_eq!(prefix("packager").unwrap_err().meant, None);
    }

    #[test]
    fn rough_sizes_are_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (900, "900 B"), (1536, "1.5 KiB"), (3 << 30, "3 GiB"), (150_000_000, "143 MiB")]
        {
            assert_eq!(rough_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes in 0..u64::MAX, ms in 0_u64..1_000_000_000_000) {
            prop_assert_eq!(size(&write_size(bytes)), Ok(bytes));
            prop_assert_eq!(time(&write_time(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            _ = (size(&text), time(&text), prefix(&text));
        }
    }
}
