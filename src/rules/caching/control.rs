//! What a response says about caching → one `Control`. Cache-Control (RFC 9111 §5.2) is read leniently in form and
//! strictly in effect: of a repeated directive the first counts, a number that is none means stale, restrictive
//! directives count even where their syntax is off, permissive ones do not. A targeted field (RFC 9213) that is a valid,
//! non-empty dictionary takes the place of Cache-Control **and** Expires.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::rules::fields::list::{self, is_token, trim};
use crate::rules::fields::structured::{self, Bare, Dictionary, Item, Member};

/// Caching directives for Weir alone; never passed on (RFC 9213 §2.2).
pub const WEIR_CACHE_CONTROL: HeaderName = HeaderName::from_static("weir-cache-control");
/// Caching directives for every edge cache (RFC 9213 §3); passed on, for there may be another one below.
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// The targeted fields that this cache obeys, the strongest first.
pub const TARGETS: [HeaderName; 2] = [WEIR_CACHE_CONTROL, CDN_CACHE_CONTROL];

/// Removes the targeted field that is for this cache alone (RFC 9213 §2.2).
pub fn strip_targeted(response: &mut HeaderMap) {
    response.remove(WEIR_CACHE_CONTROL);
}

/// Larger numbers of seconds mean this one (RFC 9111 §1.2.2).
pub(super) const LONGEST: u64 = 1 << 31;

/// A directive without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Directive {
    /// Keep nothing (§5.2.2.5).
    NoStore = 1,
    /// Never without validation (§5.2.2.4); also where it names fields.
    NoCache = 1 << 1,
    /// Not in a shared cache (§5.2.2.7); also where it names fields.
    Private = 1 << 2,
    /// May be stored whatever the status or credentials (§5.2.2.9).
    Public = 1 << 3,
    /// Never stale (§5.2.2.2).
    MustRevalidate = 1 << 4,
    /// Never stale in a shared cache (§5.2.2.8).
    ProxyRevalidate = 1 << 5,
    /// `no-store` does not count where the status is understood (§5.2.2.3).
    MustUnderstand = 1 << 6,
    /// Will not change while fresh (RFC 8246).
    Immutable = 1 << 7,
    /// The content is not to be transformed (§5.2.2.6).
    NoTransform = 1 << 8,
}

/// Where a `Control` was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Neither Cache-Control nor a targeted field counts.
    #[default]
    Silent,
    /// Cache-Control.
    CacheControl,
    /// A targeted field; Expires does not count then.
    Targeted,
}

/// What a response says about caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    said: u16,
    /// Where it says so.
    pub source: Source,
    /// `max-age`: fresh for so long.
    pub max_age: Option<Duration>,
    /// `s-maxage`: the same for shared caches, and never stale (§5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl Control {
    /// What `response` says to a cache that obeys the targeted fields `targets`, the strongest first.
    pub fn of(response: &HeaderMap, targets: &[HeaderName]) -> Self {
        if let Some(targeted) = targets.iter().find_map(|name| Self::targeted(response, name)) {
            return targeted;
        }
        let mut control = Self::default();
        for directive in list::field(response, &CACHE_CONTROL) {
            control.source = Source::CacheControl;
            control.take(&Spoken::of(directive));
        }
        control
    }

    /// Whether `directive` was given.
    pub const fn says(&self, directive: Directive) -> bool {
        self.said & directive as u16 != 0
    }

    /// Whether a stale response may be used at all where the origin cannot answer or is being asked (§4.2.4).
    pub const fn permits_stale(&self) -> bool {
        !self.says(Directive::MustRevalidate)
            && !self.says(Directive::ProxyRevalidate)
            && !self.says(Directive::NoCache)
            && self.s_maxage.is_none()
    }

    /// Whether a shared cache may keep what says so.
    pub const fn permits_keeping(&self) -> bool {
        !self.says(Directive::NoStore) && !self.says(Directive::Private)
    }

    /// Whether a request with Authorization may be answered from it, and its answer be stored (§3.5).
    pub const fn permits_authorized(&self) -> bool {
        self.says(Directive::Public) || self.says(Directive::MustRevalidate) || self.s_maxage.is_some()
    }

    /// A dictionary that is absent, empty or malformed says nothing; members of the wrong type are not consumed.
    fn targeted(response: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let directives = Dictionary::parse(&structured::joined(response, name)?).ok()?;
        if directives.is_empty() {
            return None;
        }
        let mut control = Self { source: Source::Targeted, ..Self::default() };
        for (name, member) in directives.iter() {
            let Member::Item(Item { value, .. }) = member else { continue };
            match value {
                Bare::Boolean(true) => control.say(name.as_bytes(), &Argument::Absent),
                // Only these two take names of fields; the names are not acted upon, the directive is.
                Bare::String(_) if matches!(name, "no-cache" | "private") => {
                    control.say(name.as_bytes(), &Argument::Absent);
                }
                Bare::Integer(seconds) => {
                    let seconds = u64::try_from(*seconds).ok();
                    control.last_for(name.as_bytes(), seconds.map(duration));
                }
                _ => {}
            }
        }
        Some(control)
    }

    fn take(&mut self, directive: &Spoken) {
        match &directive.argument {
            Argument::Value(value) => self.last_for(&directive.name, delta_seconds(value).map(duration)),
            Argument::Absent => self.last_for(&directive.name, None),
            Argument::Broken => {}
        }
        self.say(&directive.name, &directive.argument);
    }

    /// Notes a directive without number; the permissive ones only in their plain form.
    fn say(&mut self, name: &[u8], argument: &Argument) {
        let plain = matches!(argument, Argument::Absent);
        let directive = match name {
            b"no-store" => Directive::NoStore,
            b"no-cache" => Directive::NoCache,
            b"private" => Directive::Private,
            b"must-revalidate" => Directive::MustRevalidate,
            b"proxy-revalidate" => Directive::ProxyRevalidate,
            b"no-transform" => Directive::NoTransform,
            b"public" if plain => Directive::Public,
            b"must-understand" if plain => Directive::MustUnderstand,
            b"immutable" if plain => Directive::Immutable,
            _ => return,
        };
        self.said |= directive as u16;
    }

    /// Notes a directive with a number, unless it was given before. `None`: the number is none, which means stale.
    fn last_for(&mut self, name: &[u8], duration: Option<Duration>) {
        let place = match name {
            b"max-age" => &mut self.max_age,
            b"s-maxage" => &mut self.s_maxage,
            b"stale-while-revalidate" => &mut self.stale_while_revalidate,
            b"stale-if-error" => &mut self.stale_if_error,
            _ => return,
        };
        place.get_or_insert(duration.unwrap_or_default());
    }
}

/// What a request says about caching (§5.2.1). A shared cache at the edge reads it always and acts upon it only where
/// the operator allows it, `only-if-cached` excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    said: u16,
    /// `max-age`: no older than this.
    pub max_age: Option<Duration>,
    /// `min-fresh`: fresh for at least so long.
    pub min_fresh: Option<Duration>,
    /// `max-stale`: stale by no more than this; `Duration::MAX` where it has no number.
    pub max_stale: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// A wish without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Wanted {
    /// `no-cache`, or Pragma without Cache-Control (§5.4): not without validation.
    NoCache = 1,
    /// `no-store`: keep nothing of this exchange.
    NoStore = 1 << 1,
    /// `only-if-cached`: from the store or 504.
    OnlyIfCached = 1 << 2,
}

impl Wish {
    /// What `request` says.
    pub fn of(request: &HeaderMap) -> Self {
        let mut wish = Self::default();
        if !request.contains_key(CACHE_CONTROL) {
            let no_cache = list::field(request, &PRAGMA).any(|word| word.eq_ignore_ascii_case(b"no-cache"));
            wish.said = if no_cache { Wanted::NoCache as u16 } else { 0 };
            return wish;
        }
        for directive in list::field(request, &CACHE_CONTROL) {
            wish.take(&Spoken::of(directive));
        }
        wish
    }

    /// Whether `wanted` was asked for.
    pub const fn says(&self, wanted: Wanted) -> bool {
        self.said & wanted as u16 != 0
    }

    /// Whether a stored response of this age, fresh for `left` (zero: stale), fulfils the wish for a fresh answer.
    pub fn is_content_with(&self, age: Duration, left: Duration) -> bool {
        !self.says(Wanted::NoCache)
            && self.max_age.is_none_or(|most| age <= most)
            && self.min_fresh.is_none_or(|least| left >= least)
    }

    fn take(&mut self, directive: &Spoken) {
        let number = match &directive.argument {
            Argument::Value(value) => delta_seconds(value).map(duration),
            Argument::Absent | Argument::Broken => None,
        };
        match directive.name.as_slice() {
            b"no-cache" => self.said |= Wanted::NoCache as u16,
            b"no-store" => self.said |= Wanted::NoStore as u16,
            b"only-if-cached" => self.said |= Wanted::OnlyIfCached as u16,
            b"max-age" => _ = self.max_age.get_or_insert(number.unwrap_or_default()),
            b"min-fresh" => self.min_fresh = self.min_fresh.or(number),
            b"stale-if-error" => self.stale_if_error = self.stale_if_error.or(number),
            b"max-stale" if matches!(directive.argument, Argument::Absent) => self.max_stale = Some(Duration::MAX),
            b"max-stale" => self.max_stale = self.max_stale.or(number),
            _ => {}
        }
    }
}

/// One directive as written: its name in lower case and what follows the equals sign.
struct Spoken<'v> {
    name: SmallVec<[u8; 24]>,
    argument: Argument<'v>,
}

enum Argument<'v> {
    Absent,
    /// A token or the inside of a quoted string, or something that is neither.
    Value(Cow<'v, [u8]>),
    /// Blanks beside the equals sign, which the grammar does not have.
    Broken,
}

impl<'v> Spoken<'v> {
    fn of(directive: &'v [u8]) -> Self {
        let (name, argument) = match directive.iter().position(|byte| *byte == b'=') {
            None => (directive, Argument::Absent),
            Some(equals) => {
                let (name, value) = (&directive[..equals], &directive[equals + 1..]);
                if !is_token(name) || value.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                    (trim(name), Argument::Broken)
                } else {
                    let value = list::unquote(value).map_or(Cow::Borrowed(value), Cow::Owned);
                    (name, Argument::Value(value))
                }
            }
        };
        Self { name: name.iter().map(u8::to_ascii_lowercase).collect(), argument }
    }
}

/// A number of seconds (RFC 9111 §1.2.2): digits alone; too large a number is a very long time.
pub(super) fn delta_seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = text.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(seconds.min(LONGEST))
}

fn duration(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn control(line: &'static str) -> Control {
        Control::of(&headers(&[("cache-control", line)]), &TARGETS)
    }

    fn max_age(line: &'static str) -> Option<u64> {
        control(line).max_age.map(|age| age.as_secs())
    }

    #[test]
    fn numbers_are_read_as_the_suite_cc_parse_asks() {
        for (case, line, seconds) in [
            ("freshness-max-age", "max-age=3600", Some(3_600)),
            ("freshness-max-age-0", "max-age=0", Some(0)),
            ("freshness-max-age-max-minus-1", "max-age=2147483647", Some(2_147_483_647)),
            ("freshness-max-age-max", "max-age=2147483648", Some(LONGEST)),
            ("freshness-max-age-max-plus-1", "max-age=2147483649", Some(LONGEST)),
            ("freshness-max-age-max-plus", "max-age=99999999999", Some(LONGEST)),
            ("beyond u64", "max-age=999999999999999999999999999999", Some(LONGEST)),
            ("freshness-max-age-extension", "foobar, max-age=3600", Some(3_600)),
            ("freshness-max-age-case-insenstive", "MaX-aGe=3600", Some(3_600)),
            ("freshness-max-age-two-fresh-stale-sameline", "max-age=1800, max-age=1", Some(1_800)),
            ("freshness-max-age-two-stale-fresh-sameline", "max-age=1, max-age=1800", Some(1)),
            ("freshness-max-age-quoted", r#"max-age="3600""#, Some(3_600)),
            ("freshness-max-age-ignore-quoted", r#"extension="max-age=3600", max-age=1"#, Some(1)),
            ("freshness-max-age-ignore-quoted-rev", r#"max-age=1, extension="max-age=3600""#, Some(1)),
            ("freshness-max-age-space-before-equals", "max-age =3600", None),
            ("freshness-max-age-space-after-equals", "max-age= 3600", None),
            ("freshness-max-age-leading-zero", "max-age=003600", Some(3_600)),
            ("freshness-max-age-single-quoted", "max-age='3600'", Some(0)),
            ("freshness-max-age-decimal-zero", "max-age=3600.0", Some(0)),
            ("freshness-max-age-decimal-five", "max-age=3600.5", Some(0)),
            ("freshness-max-age-negative", "max-age=-3600", Some(0)),
            ("freshness-max-age-a100", "max-age=a3600", Some(0)),
            ("freshness-max-age-100a", "max-age=3600a", Some(0)),
            ("no number at all", "max-age", Some(0)),
            ("an empty number", "max-age=", Some(0)),
            ("a string never closed", r#"max-age="3600"#, Some(0)),
        ] {
            assert_eq!(max_age(line), seconds, "{case}");
        }
    }

    #[test]
    fn lines_are_one_list_and_the_first_of_a_directive_counts() {
        for (lines, seconds) in [
            ([("cache-control", "max-age=1800"), ("cache-control", "max-age=1")], 1_800),
            ([("cache-control", "max-age=1"), ("cache-control", "max-age=1800")], 1),
        ] {
            let control = Control::of(&headers(&lines), &TARGETS);
            assert_eq!(control.max_age, Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn restrictive_directives_count_in_any_form_and_permissive_ones_only_in_theirs() {
        for line in ["no-store", "No-StOrE", "max-age=1, NO-STORE", "no-store=x", r#"no-store="a""#, "no-store =x"] {
            assert!(control(line).says(Directive::NoStore), "{line}");
        }
        assert!(control(r#"private="set-cookie, x""#).says(Directive::Private));
        assert!(control(r#"no-cache="set-cookie""#).says(Directive::NoCache));
        assert!(!control(r#"x="no-store""#).says(Directive::NoStore));
        assert!(!control(r#"x="a, no-store, b""#).says(Directive::NoStore));
        for line in ["public=x", "public =", r#"immutable="y""#, "must-understand=1"] {
            let control = control(line);
            assert!(!control.says(Directive::Public), "{line}");
            assert!(!control.says(Directive::Immutable), "{line}");
            assert!(!control.says(Directive::MustUnderstand), "{line}");
        }
        assert!(control("public, immutable").says(Directive::Immutable));
    }

    #[test]
    fn a_targeted_field_takes_the_place_of_cache_control() {
        let told = |line: &'static str| {
            Control::of(&headers(&[("cdn-cache-control", line), ("cache-control", "no-store")]), &TARGETS)
        };
        for (case, line, targeted, seconds) in [
            ("cdn-fresh-cc-nostore", "max-age=10000", true, Some(10_000)),
            ("cdn-max-age", "max-age=3600", true, Some(3_600)),
            ("cdn-max-age-0", "max-age=0", true, Some(0)),
            ("cdn-max-age-extension", "foobar, max-age=3600", true, Some(3_600)),
            ("cdn-max-age-case-insensitive", "MaX-aGe=3600", false, None),
            ("cdn-max-age-quoted", r#"max-age="10000""#, true, None),
            ("cdn-max-age-decimal", "max-age=1.5", true, None),
            ("cdn-max-age-negative", "max-age=-1", true, Some(0)),
            ("cdn-max-age-space-before-equals", "max-age =100", false, None),
            ("cdn-max-age-space-after-equals", "max-age= 100", false, None),
            ("cdn-max-age-max-plus", "max-age=99999999999", true, Some(LONGEST)),
            ("cdn-cc-invalid-sh-type-unknown", "max-age=10000, &&&&&", false, None),
            ("cdn-cc-invalid-sh-type-wrong", r#"max-age="10000""#, true, None),
            ("parameters are ignored", "max-age=100;x=1", true, Some(100)),
            ("a repeated key", "max-age=1, max-age=100", true, Some(100)),
            ("empty", "", false, None),
            ("none", "none", true, None),
        ] {
            let control = told(line);
            assert_eq!(control.source == Source::Targeted, targeted, "{case}");
            assert_eq!(control.says(Directive::NoStore), !targeted, "{case}");
            assert_eq!(control.max_age.map(|age| age.as_secs()), seconds, "{case}");
        }
        assert!(told("no-store").says(Directive::NoStore));
        assert!(told(r#"private="a""#).says(Directive::Private));
        assert!(!told("no-store=?0, max-age=1").says(Directive::NoStore));
        assert!(!told("no-store=1, max-age=1").says(Directive::NoStore));
        assert_eq!(told("(no-store)").source, Source::CacheControl);
    }

    #[test]
    fn targeted_fields_go_no_further_than_they_are_meant() {
        let both = [("cdn-cache-control", "max-age=2"), ("weir-cache-control", "max-age=1"), ("cache-control", "a")];
        let mut response = headers(&both);
        strip_targeted(&mut response);
        assert_eq!(response.len(), 2);
        assert!(!response.contains_key(WEIR_CACHE_CONTROL));
    }

    #[test]
    fn the_first_valid_target_decides() {
        let both = [("cdn-cache-control", "max-age=2"), ("weir-cache-control", "max-age=1")];
        assert_eq!(Control::of(&headers(&both), &TARGETS).max_age, Some(Duration::from_secs(1)));
        let broken = [("cdn-cache-control", "max-age=2"), ("weir-cache-control", "max-age=!")];
        assert_eq!(Control::of(&headers(&broken), &TARGETS).max_age, Some(Duration::from_secs(2)));
        let off_the_list = [("surrogate-control", "max-age=2"), ("cache-control", "max-age=3")];
        assert_eq!(Control::of(&headers(&off_the_list), &TARGETS).max_age, Some(Duration::from_secs(3)));
        assert_eq!(Control::of(&headers(&[]), &TARGETS).source, Source::Silent);
    }

    #[test]
    fn wishes_of_a_request_are_read() {
        let wish = |line| Wish::of(&headers(&[("cache-control", line)]));
        assert_eq!(wish("max-age=5").max_age, Some(Duration::from_secs(5)));
        assert_eq!(wish("max-stale").max_stale, Some(Duration::MAX));
        assert_eq!(wish("max-stale=7").max_stale, Some(Duration::from_secs(7)));
        assert_eq!(wish("max-stale=x").max_stale, None);
        assert!(wish("only-if-cached").says(Wanted::OnlyIfCached));
        assert!(wish("no-store, no-cache").says(Wanted::NoStore));
        assert!(Wish::of(&headers(&[("pragma", "no-cache")])).says(Wanted::NoCache));
        let both = headers(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]);
        assert!(!Wish::of(&both).says(Wanted::NoCache));
        let second = Duration::from_secs(1);
        assert!(wish("max-age=1, min-fresh=1").is_content_with(second, second));
        assert!(!wish("max-age=1").is_content_with(second * 2, second));
        assert!(!wish("min-fresh=2").is_content_with(second, second));
        assert!(!wish("no-cache").is_content_with(second, second));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..60)
        ) {
            let mut headers = HeaderMap::new();
            for name in [CACHE_CONTROL, CDN_CACHE_CONTROL] {
                headers.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
                Control::of(&headers, &TARGETS);
            }
            Wish::of(&headers);
        }
    }
}
