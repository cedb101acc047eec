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

/// What a rate looks like.
pub const RATES: &str = "a whole number a second, minute or hour, like \"50/s\" or \"600/m\"; \"0/s\" is no bound";
/// What a speed looks like.
pub const SPEEDS: &str = "a size a second, like \"2MiB/s\"";
/// What a bit rate looks like.
pub const BIT_RATES: &str = "a whole number with kbit/s, Mbit/s or Gbit/s, like \"6Mbit/s\" or \"10Gbit/s\"";
/// What a share looks like.
pub const SHARES: &str = "a whole number with %, like \"85%\"";

const RATE_UNITS: [(&str, u64); 3] = [("/s", 1), ("/m", 60), ("/h", 3_600)];
const RATE_ALIASES: [(&str, &str); 5] =
    [("/sec", "/s"), ("/second", "/s"), ("/min", "/m"), ("/minute", "/m"), ("/hour", "/h")];
const BIT_RATE_UNITS: [(&str, u64); 3] = [("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];
const BIT_RATE_ALIASES: [(&str, &str); 9] = [
    ("kbps", "kbit/s"),
    ("mbps", "Mbit/s"),
    ("gbps", "Gbit/s"),
    ("kb/s", "kbit/s"),
    ("mb/s", "Mbit/s"),
    ("gb/s", "Gbit/s"),
    ("kbit", "kbit/s"),
    ("mbit", "Mbit/s"),
    ("gbit", "Gbit/s"),
];

/// So many in a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0: there is no bound.
    pub count: u32,
    /// In what time; not zero.
    pub per: Duration,
}

impl Rate {
    /// There is no bound.
    pub const NONE: Self = Self { count: 0, per: Duration::from_secs(1) };
}

impl fmt::Debug for Rate {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = RATE_UNITS.iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.per);
        write!(f, "{}{}", self.count, unit.map_or("/s", |(unit, _)| *unit))
    }
}

/// So many a second, minute or hour.
///
/// # Errors
/// Where the text is no whole number with such a time.
pub fn rate(text: &str) -> Result<Rate, ValueError> {
    let wrong = |meant| ValueError { accepted: RATES, meant };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if let (Ok(count), Some((_, seconds))) = (number.parse(), RATE_UNITS.iter().find(|(name, _)| *name == unit)) {
        return Ok(Rate { count, per: Duration::from_secs(*seconds) });
    }
    let typed = unit.split_whitespace().collect::<String>();
    let known = RATE_UNITS.iter().map(|(name, _)| (*name, *name)).chain(RATE_ALIASES);
    let meant = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&typed)).map(|(_, unit)| unit);
    let meant = meant.or(typed.is_empty().then_some("/s"));
    Err(wrong(meant.filter(|_| number.parse::<u32>().is_ok()).map(|unit| format!("{number}{unit}"))))
}

/// Octets a second.
///
/// # Errors
/// Where the text is no size with `/s`.
pub fn speed(text: &str) -> Result<u64, ValueError> {
    let wrong = |meant: Option<String>| ValueError { accepted: SPEEDS, meant };
    match text.strip_suffix("/s").map(size) {
        Some(Ok(octets)) => Ok(octets),
        Some(Err(error)) => Err(wrong(error.meant.map(|meant| meant + "/s"))),
        None => Err(wrong(size(text).is_ok().then(|| format!("{text}/s")))),
    }
}

/// Bits a second.
///
/// # Errors
/// Where the text is no whole number with such a unit.
pub fn bit_rate(text: &str) -> Result<u64, ValueError> {
    measure(text, &BIT_RATE_UNITS, &BIT_RATE_ALIASES, BIT_RATES)
}

/// A share of 1 to 100 per cent.
///
/// # Errors
/// Where the text is none.
pub fn share(text: &str) -> Result<u64, ValueError> {
    let share = measure(text, &[("%", 1)], &[("percent", "%"), ("per cent", "%")], SHARES)?;
    if (1..=100).contains(&share) { Ok(share) } else { Err(ValueError { accepted: SHARES, meant: None }) }
}

/// A bit rate as the configuration would write it, rounded down to three figures.
pub fn rough_bits(bits: u64) -> String {
    let (unit, factor) = BIT_RATE_UNITS.iter().rev().find(|(_, factor)| bits >= *factor).unwrap_or(&BIT_RATE_UNITS[0]);
    let whole = bits / factor;
    match bits % factor * 10 / factor {
        tenth if whole < 100 && tenth > 0 => format!("{whole}.{tenth} {unit}"),
        _ => format!("{whole} {unit}"),
    }
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
    fn rates_speeds_and_shares_carry_units() {
        let per = Duration::from_secs;
        for (text, count, seconds) in [("50/s", 50, 1), ("600/m", 600, 60), ("0/s", 0, 1), ("7/h", 7, 3_600)] {
            assert_eq!(rate(text), Ok(Rate { count, per: per(seconds) }), "{text}");
            assert_eq!(format!("{:?}", rate(text).unwrap()), text);
        }
        for (text, meant) in [("50", Some("50/s")), ("50 / s", Some("50/s")), ("5/min", Some("5/m")), ("x/s", None)] {
            assert_eq!(rate(text).unwrap_err().meant.as_deref(), meant, "{text}");
        }
        assert_eq!(speed("2MiB/s"), Ok(2 << 20));
        assert_eq!(speed("2MiB").unwrap_err().meant.as_deref(), Some("2MiB/s"));
        assert_eq!(speed("2mib/s").unwrap_err().meant.as_deref(), Some("2MiB/s"));
        assert_eq!((bit_rate("10Gbit/s"), bit_rate("6Mbit/s")), (Ok(10_000_000_000), Ok(6_000_000)));
        assert_eq!(bit_rate("6Mbps").unwrap_err().meant.as_deref(), Some("6Mbit/s"));
        assert_eq!((share("85%"), share("0%").is_err(), share("101%").is_err()), (Ok(85), true, true));
        assert_eq!(share("85 %").unwrap_err().meant.as_deref(), Some("85%"));
        assert_eq!((rough_bits(1_250_000_000), rough_bits(6_000_000)), ("1.2 Gbit/s".into(), "6 Mbit/s".into()));
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
