//! Delivery directives: `_HLS_msn`, `_HLS_part`, `_HLS_skip` (§6.2.5).

use std::fmt;

use super::query;

/// What a request asks of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
    /// `_HLS_skip`.
    pub skip: Option<Skipping>,
}

/// What a delta update may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skipping {
    /// `YES`: segments.
    Segments,
    /// `v2`: date ranges too.
    SegmentsAndDateRanges,
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skip = self.skip.map(|skip| match skip {
            Skipping::Segments => "_HLS_skip=YES".to_owned(),
            Skipping::SegmentsAndDateRanges => "_HLS_skip=v2".to_owned(),
        });
        let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
        let all = [number("_HLS_msn", self.msn), number("_HLS_part", self.part), skip];
        f.write_str(&all.into_iter().flatten().collect::<Vec<_>>().join("&"))
    }
}

/// Why directives are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDirectives {
    /// A value that is no decimal integer.
    #[error("the value of {0} is not a decimal integer of at most 20 digits")]
    NotANumber(&'static str),
    /// A directive that occurs twice.
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
}

/// What the names of all parameters that are reserved for directives begin with.
const RESERVED: &str = "_HLS_";
/// The names of the directives of a media playlist.
const MSN: &str = "_HLS_msn";
const PART: &str = "_HLS_part";
const SKIP: &str = "_HLS_skip";
/// The most digits of a decimal-integer (§4.2).
const DIGITS_MAX: usize = 20;

impl Directives {
    /// Takes the directives out of a query, and everything else that begins with `_HLS_`; what is left, if anything, is
    /// the query of the playlist, as written and in its order.
    ///
    /// # Errors
    /// [`BadDirectives`] with what is left, for a playlist that has ended ignores them.
    pub fn take(query: Option<&str>) -> (Result<Self, BadDirectives>, Option<String>) {
        let Some(query) = query else { return (Ok(Self::default()), None) };
        let (reserved, rest): (Vec<_>, Vec<_>) =
            query.split('&').partition(|parameter| query::name(parameter).starts_with(RESERVED));
        let rest = (reserved.is_empty() || !rest.is_empty()).then(|| rest.join("&"));
        (Self::read(&reserved), rest)
    }

    fn read(parameters: &[&str]) -> Result<Self, BadDirectives> {
        let (mut msn, mut part, mut skip) = (None, None, None);
        for parameter in parameters {
            let value = query::canonical(parameter.split_once('=').map_or("", |(_, value)| value));
            match &*query::name(parameter) {
                MSN => once(MSN, &mut msn, decimal_integer(&value).ok_or(BadDirectives::NotANumber(MSN))?)?,
                PART => once(PART, &mut part, decimal_integer(&value).ok_or(BadDirectives::NotANumber(PART))?)?,
                SKIP => once(SKIP, &mut skip, skipping(&value))?,
                _ => {}
            }
        }
        Ok(Self { msn, part, skip: skip.flatten() })
    }
}

fn once<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), BadDirectives> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadDirectives::Repeated(name)),
    }
}

/// §4.2: 1 to 20 digits, up to 2^64 - 1.
fn decimal_integer(value: &str) -> Option<u64> {
    let is_decimal = value.len() <= DIGITS_MAX && value.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| value.parse().ok()).flatten()
}

/// A value that is not known asks for nothing: the full playlist answers it (§6.2.5.1).
fn skipping(value: &str) -> Option<Skipping> {
    match value {
        "YES" => Some(Skipping::Segments),
        "v2" => Some(Skipping::SegmentsAndDateRanges),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(query: &str) -> (Result<Directives, BadDirectives>, Option<String>) {
        Directives::take(Some(query))
    }

    fn directives(msn: impl Into<Option<u64>>, part: impl Into<Option<u64>>, skip: Option<Skipping>) -> Directives {
        Directives { msn: msn.into(), part: part.into(), skip }
    }

    #[test]
    fn directives_are_parted_from_the_query_of_the_playlist() {
        for (query, found, rest) in [
            ("", Directives::default(), Some("")),
            ("b=1&a=2", Directives::default(), Some("b=1&a=2")),
            ("_HLS_msn=5", directives(5, None, None), None),
            ("_HLS_part=1&_HLS_msn=5", directives(5, 1, None), None),
            ("b=1&_HLS_msn=5&a=2&_HLS_part=0", directives(5, 0, None), Some("b=1&a=2")),
            ("_HLS_skip=YES&x", directives(None, None, Some(Skipping::Segments)), Some("x")),
            ("_HLS_skip=v2", directives(None, None, Some(Skipping::SegmentsAndDateRanges)), None),
            ("_HLS_skip=yes", Directives::default(), None),
            ("_HLS_skip=NO&_HLS_msn=1", directives(1, None, None), None),
            ("_HLS_skip", Directives::default(), None),
            ("_HLS_throughput=1&_HLS_pathway=\"a\"&a", Directives::default(), Some("a")),
            ("_HLS_&a", Directives::default(), Some("a")),
            ("_hls_msn=5&HLS_msn=6", Directives::default(), Some("_hls_msn=5&HLS_msn=6")),
            ("a=_HLS_msn=5", Directives::default(), Some("a=_HLS_msn=5")),
            ("a&&b&_HLS_msn=1", directives(1, None, None), Some("a&&b")),
            ("_HLS_msn=18446744073709551615", directives(u64::MAX, None, None), None),
            ("_HLS_msn=00000000000000000007", directives(7, None, None), None),
        ] {
            assert_eq!(taken(query), (Ok(found), rest.map(str::to_owned)), "{query}");
        }
        assert_eq!(Directives::take(None), (Ok(Directives::default()), None));
    }

    #[test]
    fn an_escape_does_not_hide_a_directive() {
        let expected = (Ok(directives(5, 3, Some(Skipping::Segments))), Some("a=%zz".to_owned()));
        assert_eq!(taken("%5FHLS_m%73n=%35&_HLS%5fpart=3&a=%zz&_HLS_skip=%59ES"), expected);
        assert_eq!(taken("_HLS_msn=1&_HL%53_msn=1").0, Err(BadDirectives::Repeated("_HLS_msn")));
        assert_eq!(taken("%5FHLS_x&b").1.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_no_number_or_comes_twice_is_refused_and_the_rest_is_known() {
        let (msn, part) = (BadDirectives::NotANumber("_HLS_msn"), BadDirectives::NotANumber("_HLS_part"));
        for (query, refusal) in [
            ("_HLS_msn", msn),
            ("_HLS_msn=", msn),
            ("_HLS_msn=-1", msn),
            ("_HLS_msn=+1", msn),
            ("_HLS_msn=1.0", msn),
            ("_HLS_msn=0x1", msn),
            ("_HLS_msn= 1", msn),
            ("_HLS_msn=%EF%BC%91", msn),
            ("_HLS_msn=18446744073709551616", msn),
            ("_HLS_msn=000000000000000000001", msn),
            ("_HLS_part=a", part),
            ("_HLS_msn=1&_HLS_part=1=1", part),
            ("_HLS_msn=1&_HLS_msn=1", BadDirectives::Repeated("_HLS_msn")),
            ("_HLS_part=1&_HLS_msn=1&_HLS_part=2", BadDirectives::Repeated("_HLS_part")),
            ("_HLS_skip=NO&_HLS_skip=YES", BadDirectives::Repeated("_HLS_skip")),
        ] {
            assert_eq!(taken(&format!("b&{query}&a=1")), (Err(refusal), Some("b&a=1".to_owned())), "{query}");
        }
    }

    proptest! {
        #[test]
        fn the_rest_holds_no_directive_and_every_other_parameter(
            parameters in proptest::collection::vec("(_HLS_|%5fHLS_|_HLS%5F|_HLS|a|)(msn|part|skip|x|)(=[0-9YESv2%]{0,3})?", 0..8),
        ) {
            let query = parameters.join("&");
            let (_, rest) = taken(&query);
            let others: Vec<_> = query.split('&').filter(|parameter| {
                !parameter.to_ascii_uppercase().replace("%5F", "_").starts_with(RESERVED)
            }).collect();
            prop_assert_eq!(rest.as_deref().unwrap_or_default(), others.join("&"));
            if let Some(rest) = rest {
                prop_assert_eq!(taken(&rest), (Ok(Directives::default()), Some(rest.clone())));
            }
        }

        #[test]
        fn the_order_of_directives_means_nothing(msn in any::<u64>(), part in any::<u64>()) {
            let one = taken(&format!("_HLS_msn={msn}&_HLS_part={part}&_HLS_skip=v2"));
            prop_assert_eq!(&one, &taken(&format!("_HLS_skip=v2&_HLS_part={part}&_HLS_msn={msn}")));
            prop_assert_eq!(one, (Ok(directives(msn, part, Some(Skipping::SegmentsAndDateRanges))), None));
        }
    }
}
