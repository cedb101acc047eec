//! Where a request may carry a token or a session, and how that is cut out of it: what is left is all that keys,
//! origins, logs and everything else below ever see.
//!
//! Exactly one credential is used: a session in the path first, then in the order of the access. What else there is of
//! them is cut too. A second one stands in for the first where that has expired (RFC 9246 §3: the renewed token comes
//! in a cookie while the URI still has the first).

use std::borrow::Cow;
use std::fmt;

use http::header::{AUTHORIZATION, COOKIE, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::{Reason, Rejection};

/// The largest token, in octets.
pub const LARGEST: usize = 8 << 10;
/// The largest token in a path, in octets.
pub const LARGEST_IN_PATH: usize = 2 << 10;
/// What a session is called in a query or a cookie.
pub const SESSION: &str = "weir_session";

/// What stands before a session in a path.
const SESSION_PATH: &str = "/.weir/s/";
/// What stands before a token in a path.
const TOKEN_PATH: &str = "/.weir/t/";

/// Where a token may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// `/.weir/t/TOKEN/…`; and `/.weir/s/SESSION/…`, which always counts.
    Path,
    /// `Authorization`, `CTA-Common-Access-Token`.
    Header,
    /// A cookie.
    Cookie,
    /// A parameter of the query.
    Query,
}

/// What carriers are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierNames {
    /// Parameters of the query.
    pub query: Vec<String>,
    /// Cookies.
    pub cookie: Vec<String>,
    /// Fields, beside `Authorization`.
    pub header: Vec<HeaderName>,
}

/// Where a session stands in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarrierPosition {
    /// Right after the host.
    Root,
    /// After the route's path.
    Route,
}

/// What carriers an access looks at.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// Carriers, in this order.
    pub order: &'t [Carrier],
    /// What they are called.
    pub names: &'t CarrierNames,
    /// Whether the names of the query also name parameters and segments of the path (RFC 9246 §1.3).
    pub packages: Packages,
}

/// Whether tokens travel as attributes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages {
    /// `;NAME=TOKEN` behind a segment, or a segment `NAME=TOKEN`.
    InPath,
    /// They do not.
    Elsewhere,
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token of an issuer.
    Token,
    /// A session of this region, sealed.
    Session,
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path, as a segment of its own.
    Path,
    /// In the path, as an attribute.
    Attribute,
    /// In Authorization.
    Authorization,
    /// In another field.
    Field,
    /// In a cookie.
    Cookie,
    /// In the query.
    Query,
}

impl Place {
    /// In words, for explanations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Attribute => "path attribute",
            Self::Authorization => "Authorization",
            Self::Field => "header field",
            Self::Cookie => "cookie",
            Self::Query => "query",
        }
    }

    const fn carrier(self) -> Carrier {
        match self {
            Self::Path | Self::Attribute => Carrier::Path,
            Self::Authorization | Self::Field => Carrier::Header,
            Self::Cookie => Carrier::Cookie,
            Self::Query => Carrier::Query,
        }
    }

    /// Whether a URL that has it may be in the hands of a cache below: the secret is part of it.
    pub const fn is_in_url(self) -> bool {
        matches!(self, Self::Path | Self::Attribute | Self::Query)
    }
}

/// A token or a session as a request brings it. It prints its beginning and a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is.
    pub kind: Kind,
    /// Where it was.
    pub place: Place,
    /// What the cookie, field or parameter is called that has it; empty in a path.
    pub name: Box<str>,
    /// Its text.
    pub text: Box<str>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Session { "a session" } else { "a token" };
        write!(f, "{kind} in the {}: {}", self.place.word(), redacted(&self.text))
    }
}

/// What stands in the place of a token wherever one could surface: its first four characters, and eight digits of its
/// SHA-256.
pub fn redacted(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let begin: String = text.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    let print: String = digest.as_ref().iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    format!("{begin}.{print}")
}

/// A path of which a carrier was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted<'p> {
    /// What stood before the carrier; empty at the root.
    pub front: &'p str,
    /// What it carries.
    pub credential: Credential,
    /// What stood behind it, beginning with `/`.
    pub rest: &'p str,
}

impl Parted<'_> {
    /// The path without the carrier.
    pub fn whole(&self) -> String {
        [self.front, self.rest].concat()
    }
}

/// Finds the first carrier in a path as it was sent: `/.weir/s/SESSION/…` or `/.weir/t/TOKEN/…`, at the root or further
/// down.
pub fn in_path(path: &str) -> Option<Parted<'_>> {
    let at = |marker: &str| path.find(marker).map(|at| (at, marker.len()));
    let session = at(SESSION_PATH).map(|place| (place, Kind::Session));
    let token = at(TOKEN_PATH).map(|place| (place, Kind::Token));
    let first = [session, token].into_iter().flatten().min_by_key(|((at, _), _)| *at);
    let ((at, marker), kind) = first?;
    let behind = &path[at + marker..];
    let (text, rest) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
    let credential = Credential { kind, place: Place::Path, name: Box::default(), text: as_signed(text).into() };
    Some(Parted { front: &path[..at], credential, rest: if rest.is_empty() { "/" } else { rest } })
}

/// A path for logs: what a carrier holds in it is redacted, however it is encoded.
pub fn loggable_path(path: &str) -> Cow<'_, str> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if !decoded.contains("/.weir/") {
        return Cow::Borrowed(path);
    }
    let mut whole = decoded.into_owned();
    let mut from = 0;
    while let Some(parted) = in_path(&whole[from..]) {
        let begin = from + parted.front.len() + SESSION_PATH.len();
        let end = whole[begin..].find('/').map_or(whole.len(), |at| begin + at);
        let told = redacted(&whole[begin..end]);
        whole.replace_range(begin..end, &told);
        from = begin + told.len();
    }
    Cow::Owned(whole.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect())
}

/// A session as it stands in a path, before what is below it.
pub fn session_path(session: &str) -> String {
    format!("{SESSION_PATH}{session}")
}

/// What a request presents, of which all carriers were cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// What is judged.
    pub first: Option<Credential>,
    /// What is judged where the first has expired.
    pub second: Option<Credential>,
}

/// What of a request carriers may stand in.
#[derive(Debug)]
pub struct Request<'r> {
    /// The path, without a carrier that is a segment of its own.
    pub path: &'r mut String,
    /// The query.
    pub query: &'r mut Option<String>,
    /// The fields.
    pub headers: &'r mut HeaderMap,
}

/// Cuts all carriers out of a request; `in_path` is what [`in_path`] found. Whatever is said of what they hold, nothing
/// of it is left.
///
/// # Errors
/// `token-duplicate`, `token-too-large`.
pub fn cut(request: Request<'_>, in_path: Option<Credential>, terms: &Terms<'_>) -> Result<Presented, Rejection> {
    let Request { path, query, headers } = request;
    let mut found: Vec<Credential> = in_path.into_iter().collect();
    if terms.packages == Packages::InPath {
        cut_attributes(path, &terms.names.query, &mut found);
    }
    if terms.order.contains(&Carrier::Header) {
        cut_fields(headers, &terms.names.header, &mut found);
    }
    cut_cookies(headers, cookies(terms), &mut found);
    cut_query(query, parameters(terms), &mut found);
    cut_referer(headers);
    choose(found, terms.order)
}

fn cookies<'t>(terms: &Terms<'t>) -> &'t [String] {
    if terms.order.contains(&Carrier::Cookie) { &terms.names.cookie } else { &[] }
}

fn parameters<'t>(terms: &Terms<'t>) -> &'t [String] {
    if terms.order.contains(&Carrier::Query) { &terms.names.query } else { &[] }
}

/// The one that is used, and the one that stands in for it.
fn choose(found: Vec<Credential>, order: &[Carrier]) -> Result<Presented, Rejection> {
    let rank = |credential: &Credential| match (credential.kind, credential.place) {
        (Kind::Session, Place::Path) => Some(0),
        (Kind::Session, Place::Query) => Some(1),
        (Kind::Session, _) => Some(usize::MAX),
        (Kind::Token, place) => order.iter().position(|carrier| *carrier == place.carrier()).map(|at| 2 + at),
    };
    let mut ranked: Vec<_> =
        found.into_iter().filter_map(|credential| Some((rank(&credential)?, credential))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut ranked = ranked.into_iter().peekable();
    let Some((rank, first)) = ranked.next() else { return Ok(Presented::default()) };
    let is_same = |other: &Credential| (other.kind, other.place) == (first.kind, first.place);
    while let Some((_, other)) = ranked.next_if(|(other_rank, other)| *other_rank == rank && is_same(other)) {
        if other.text != first.text {
            return Err(Rejection::new(Reason::TokenDuplicate, "one carrier holds two different tokens"));
        }
    }
    let largest = if first.place == Place::Path { LARGEST_IN_PATH } else { LARGEST };
    if first.text.len() > largest {
        return Err(Rejection::new(Reason::TokenTooLarge, "a token has 8 KiB at most, and 2 KiB in a path"));
    }
    let may_yield = (first.kind, first.place) != (Kind::Session, Place::Path);
    let stands_in = |other: &Credential| other.place == Place::Cookie && other.text.len() <= LARGEST;
    let second = ranked.map(|(_, other)| other).find(|other| may_yield && stands_in(other) && !is_same(other));
    Ok(Presented { first: Some(first), second })
}

/// `Authorization: Bearer` and the fields that are named: of those the first that is there counts.
fn cut_fields(headers: &mut HeaderMap, names: &[HeaderName], found: &mut Vec<Credential>) {
    let bearer = |value: &HeaderValue| bearer(value).map(str::to_owned);
    let tokens: Vec<_> = headers.get_all(AUTHORIZATION).iter().filter_map(bearer).collect();
    if !tokens.is_empty() {
        headers.remove(AUTHORIZATION);
    }
    let token = |place, name: &str| {
        let name: Box<str> = name.into();
        move |text: String| Credential { kind: Kind::Token, place, name: name.clone(), text: text.into() }
    };
    let mut is_found = !tokens.is_empty();
    found.extend(tokens.into_iter().map(token(Place::Authorization, "authorization")));
    for name in names {
        let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let texts: Vec<_> = lines.map(|line| line.split(';').next().unwrap_or_default().trim().to_owned()).collect();
        headers.remove(name);
        if !is_found && !texts.is_empty() {
            is_found = true;
            found.extend(texts.into_iter().map(token(Place::Field, name.as_str())));
        }
    }
}

/// The token of RFC 6750 §2.1; `None` for another scheme.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let octets = value.as_bytes();
    let scheme = octets.get(..6)?;
    let is_alone = octets.len() == 6 || octets[6] == b' ';
    (scheme.eq_ignore_ascii_case(b"bearer") && is_alone).then(|| value.to_str().map_or("", |text| text[6..].trim()))
}

fn cut_cookies(headers: &mut HeaderMap, names: &[String], found: &mut Vec<Credential>) {
    let lines: Vec<_> = headers.get_all(COOKIE).iter().cloned().collect();
    let kind = |pair: &str| kind_of(pair_name(pair), names);
    let is_token = |line: &HeaderValue| pairs(line).any(|pair| kind(&String::from_utf8_lossy(pair)).is_some());
    if !lines.iter().any(is_token) {
        return;
    }
    headers.remove(COOKIE);
    let mut of_names = Vec::new();
    for line in &lines {
        let mut left: Vec<&[u8]> = Vec::new();
        for pair in pairs(line) {
            let pair_text = String::from_utf8_lossy(pair);
            match kind(&pair_text) {
                None => left.push(pair),
                Some((rank, kind)) => {
                    let value = pair_text.split_once('=').map_or("", |(_, value)| value.trim());
                    let text = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
                    let name = pair_name(&pair_text).into();
                    of_names.push((rank, Credential { kind, place: Place::Cookie, name, text: text.into() }));
                }
            }
        }
        if !left.is_empty() {
            let value = HeaderValue::from_bytes(&left.join(&b"; "[..]));
            headers.append(COOKIE, value.expect("pieces of a field value are one"));
        }
    }
    first_name(of_names, found);
}

fn pair_name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default().trim()
}

fn pairs(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|octet| *octet == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

fn cut_query(query: &mut Option<String>, names: &[String], found: &mut Vec<Credential>) {
    let Some(text) = query.as_deref() else { return };
    let kind = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        kind_of(&percent_decode_str(name).decode_utf8_lossy(), names)
    };
    if !text.split('&').any(|parameter| kind(parameter).is_some()) {
        return;
    }
    let (mut left, mut of_names) = (Vec::new(), Vec::new());
    for parameter in text.split('&') {
        match kind(parameter) {
            None => left.push(parameter),
            Some((rank, kind)) => {
                let value = parameter.split_once('=').map_or("", |(_, value)| value);
                let name = percent_decode_str(parameter.split('=').next().unwrap_or_default()).decode_utf8_lossy();
                let (name, text) = (name.into(), as_signed(value).into());
                of_names.push((rank, Credential { kind, place: Place::Query, name, text }));
            }
        }
    }
    first_name(of_names, found);
    *query = (!left.is_empty()).then(|| left.join("&"));
}

/// Attributes of the path: `;NAME=VALUE`, or a segment of its own (RFC 9246 §1.3).
fn cut_attributes(path: &mut String, names: &[String], found: &mut Vec<Credential>) {
    let value = |piece: &str| {
        let (name, value) = piece.split_once('=')?;
        names.iter().any(|own| *own == percent_decode_str(name).decode_utf8_lossy()).then(|| value.to_owned())
    };
    let mut left: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let mut pieces = segment.split(';');
        let whole = pieces.next().unwrap_or_default();
        let mut tokens: Vec<_> = value(whole).into_iter().collect();
        let is_own = !tokens.is_empty();
        let mut kept = if is_own { String::new() } else { whole.to_owned() };
        for piece in pieces {
            match value(piece) {
                Some(token) => tokens.push(token),
                None => kept.extend([";", piece]),
            }
        }
        let credential = |text: String| Credential {
            kind: Kind::Token,
            place: Place::Attribute,
            name: Box::default(),
            text: as_signed(&text).into(),
        };
        found.extend(tokens.into_iter().map(credential));
        if !is_own || !kept.is_empty() {
            left.push(kept);
        }
    }
    *path = left.join("/");
    if path.is_empty() {
        path.push('/');
    }
}

/// Whence a viewer came may hold the same tokens: only the site is left of it.
fn cut_referer(headers: &mut HeaderMap) {
    let Some(referer) = headers.remove(REFERER) else { return };
    let site = referer.to_str().ok().and_then(|referer| {
        let begin = referer.find("://")? + 3;
        let end = referer[begin..].find(['/', '?', '#']).map_or(referer.len(), |at| begin + at);
        let named = &referer[begin..end];
        (!named.contains('@')).then(|| format!("{}/", &referer[..end]))
    });
    if let Some(site) = site.and_then(|site| HeaderValue::try_from(site).ok()) {
        headers.insert(REFERER, site);
    }
}

/// What a name stands for, and its place among the names.
fn kind_of(name: &str, names: &[String]) -> Option<(usize, Kind)> {
    if name == SESSION {
        return Some((0, Kind::Session));
    }
    names.iter().position(|own| own == name).map(|at| (1 + at, Kind::Token))
}

/// Of several names the first that is there counts; what stands under one name twice stays.
fn first_name(of_names: Vec<(usize, Credential)>, found: &mut Vec<Credential>) {
    let first = of_names.iter().filter(|(rank, _)| *rank > 0).map(|(rank, _)| *rank).min();
    found.extend(of_names.into_iter().filter(|(rank, _)| *rank == 0 || Some(*rank) == first).map(|(_, found)| found));
}

/// A value as its signer wrote it. Those who put tokens into URLs encode what is not a letter or a digit of theirs, but
/// edge tokens have escapes of their own: where `=` stands bare, nothing was encoded on the way.
fn as_signed(value: &str) -> Cow<'_, str> {
    if value.contains('=') || !value.contains('%') {
        return Cow::Borrowed(value);
    }
    percent_decode_str(value).decode_utf8_lossy()
}

#[cfg(test)]
mod tests;
