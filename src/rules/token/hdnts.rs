//! Edge tokens of the form that is usually called `hdnts`: for those who move over.
//!
//! `st=…~exp=…~acl=…~hmac=…`, each field at most once, the hash last: HMAC over all before it, and over what is signed
//! without being in the token (`url=`, `salt=`). A token without `acl` or `url` covers the one URL that was signed with it,
//! so that it can be verified only together with a request.

mod acl;

pub use acl::{Acl, BadAcl};

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::claims::{Claims, Format};
use super::json::GREATEST;
use super::jws::LARGEST_TOKEN;
use super::jwt::Verified;
use super::key::{Key, KeySet, MOST_TRIED};
use super::reason::{Reason, Rejection};
use super::scope::{Asked, Scope};
use super::terms::{HdntsTerms, OlderHash};

/// What such tokens are called, in front of their first `=`; it may be left out.
const NAMES: [&str; 4] = ["hdnts", "hdnea", "__token__", "__hdnea__"];
/// The most characters of an address, and of the name of a session.
const LONGEST_FIELD: usize = 256;

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

/// A token that was taken apart. Nothing of it is verified.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// All before the hash.
    signed: &'t str,
    fields: Fields<'t>,
    hash: Hash,
}

#[derive(Debug, Default)]
struct Fields<'t> {
    ip: Option<&'t str>,
    st: Option<&'t str>,
    exp: Option<&'t str>,
    acl: Option<&'t str>,
    url: Option<&'t str>,
    id: Option<&'t str>,
    data: Option<&'t str>,
}

/// A hash, told by its length.
#[derive(Debug)]
enum Hash {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
}

/// Whether a text looks like such a token.
pub(super) fn is_of(token: &str) -> bool {
    token.contains("~hmac=")
}

impl<'t> Unverified<'t> {
    /// Takes a token apart, with or without its name.
    pub fn read(token: &'t str) -> Result<Self, Rejection> {
        if token.len() > LARGEST_TOKEN {
            return Err(Rejection::new(Reason::TokenTooLarge, "a token has at most 8192 octets"));
        }
        if !token.bytes().all(|octet| (0x21..=0x7e).contains(&octet)) {
            return Err(malformed("a character that is not printable ASCII stands in the token"));
        }
        let nameless = |name: &&str| token.strip_prefix(*name)?.strip_prefix('=');
        let token = NAMES.iter().find_map(nameless).unwrap_or(token);
        let (signed, hash) = token.rsplit_once("~hmac=").ok_or(malformed("hmac is missing, or not the last field"))?;
        Ok(Self { signed, fields: Fields::read(signed)?, hash: Hash::read(hash)? })
    }

    /// What is signed, and the hash: a token of one URL does not name it.
    pub(super) fn signed(&self) -> impl Iterator<Item = &[u8]> {
        let hash = match &self.hash {
            Hash::Sha256(hash) => &hash[..],
            Hash::Sha1(hash) => &hash[..],
        };
        [self.signed.as_bytes(), hash].into_iter()
    }

    /// Its claims, if one of `keys` has signed it, and for what is asked for where it names no path itself.
    pub fn verify<'k>(
        &self,
        keys: &'k KeySet,
        terms: &HdntsTerms,
        asked: &Asked<'_>,
    ) -> Result<Verified<'k>, Rejection> {
        if matches!(self.hash, Hash::Sha1(_)) && terms.older == OlderHash::Refused {
            return Err(Rejection::new(Reason::AlgRefused, "hmac is SHA-1's: it must be SHA-256's here"));
        }
        let urls = match (self.fields.acl, self.fields.url) {
            (None, None) => signed_urls(asked),
            _ => vec![None],
        };
        let mut secrets = keys.keys().iter().filter(|key| key.secret().is_some()).take(MOST_TRIED).peekable();
        if secrets.peek().is_none() {
            return Err(Rejection::new(Reason::KeyUnknown, "the issuer has no shared secret"));
        }
        let found = secrets.find_map(|key| {
            let url = urls.iter().find(|url| self.is_signed_with(key, terms, url.as_deref()))?;
            Some((key, url))
        });
        let Some((key, url)) = found else {
            let detail = "hmac does not hold: compare key (in hex), salt and, for a URL token, the URL";
            return Err(Rejection::new(Reason::SignatureBad, detail));
        };
        let claims = self.fields.claims(terms, url.as_deref())?;
        Ok(Verified { claims, key })
    }

    fn is_signed_with(&self, key: &Key, terms: &HdntsTerms, url: Option<&str>) -> bool {
        let Some(secret) = key.secret().map(unhexed) else { return false };
        let (algorithm, hash) = match &self.hash {
            Hash::Sha256(hash) => (hmac::HMAC_SHA256, &hash[..]),
            Hash::Sha1(hash) => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &hash[..]),
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, &secret));
        context.update(self.signed.as_bytes());
        for (name, value) in [("~url=", url), ("~salt=", terms.salt.as_ref().map(|salt| salt.as_str()))] {
            if let Some(value) = value {
                context.update(name.as_bytes());
                context.update(value.as_bytes());
            }
        }
        verify_slices_are_equal(context.sign().as_ref(), hash).is_ok()
    }
}

/// Keys are written in hex; one that is not is taken as it is.
fn unhexed(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(hex(secret).unwrap_or_else(|| secret.to_vec()))
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(&pair[0])? << 4 | digit(pair.get(1)?)?);
    (!text.is_empty()).then(|| text.chunks(2).map(pair).collect())?
}

/// What an issuer may have signed for this request: its path, with or without the query, as it is or escaped as a whole.
fn signed_urls(asked: &Asked<'_>) -> Vec<Option<String>> {
    let mut urls = vec![asked.path.to_owned()];
    urls.extend(asked.query.map(|query| format!("{}?{query}", asked.path)));
    let escaped: Vec<_> = urls.iter().map(|url| escape(url)).collect();
    urls.into_iter().chain(escaped).map(Some).collect()
}

/// As issuers escape a field as a whole: all but letters, digits and `_.-~`, in lower case.
fn escape(text: &str) -> String {
    let escaped = |octet: u8| match octet {
        b'_' | b'.' | b'-' | b'~' => char::from(octet).to_string(),
        _ if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
        _ => format!("%{octet:02x}"),
    };
    text.bytes().map(escaped).collect()
}

impl Hash {
    fn read(text: &str) -> Result<Self, Rejection> {
        const MD5: usize = 16;
        let octets = hex(text.as_bytes()).ok_or(malformed("hmac is in hex"))?;
        match octets.len() {
            32 => Ok(Self::Sha256(octets.try_into().expect("it has 32 octets"))),
            20 => Ok(Self::Sha1(octets.try_into().expect("it has 20 octets"))),
            MD5 => Err(Rejection::new(Reason::AlgRefused, "hmac is MD5's: it must be SHA-256's")),
            _ => Err(malformed("hmac has another length than SHA-256's")),
        }
    }
}

impl<'t> Fields<'t> {
    fn read(signed: &'t str) -> Result<Self, Rejection> {
        let mut fields = Self::default();
        for field in signed.split('~') {
            let (name, value) = field.split_once('=').ok_or(malformed("a field is a name, = and a value"))?;
            let place = match name {
                "ip" => &mut fields.ip,
                "st" => &mut fields.st,
                "exp" => &mut fields.exp,
                "acl" => &mut fields.acl,
                "url" => &mut fields.url,
                "id" => &mut fields.id,
                "data" => &mut fields.data,
                "hmac" => return Err(malformed("hmac stands in the token twice")),
                _ => return Err(Rejection::new(Reason::ClaimUnknown, "a field that is not known stands in the token")),
            };
            if place.replace(value).is_some() {
                return Err(malformed("a field stands in the token twice"));
            }
        }
        if [fields.ip, fields.id].into_iter().flatten().any(|value| value.len() > LONGEST_FIELD) {
            return Err(malformed("ip and id have at most 256 characters each"));
        }
        match (fields.acl, fields.url) {
            (Some(_), Some(_)) => Err(malformed("acl and url: a token has one of them")),
            _ => Ok(fields),
        }
    }

    fn claims(&self, terms: &HdntsTerms, signed_url: Option<&str>) -> Result<Claims, Rejection> {
        let moment = |text: Option<&str>, detail| text.map(|text| moment(text).ok_or(malformed(detail))).transpose();
        let ip = self.ip.map(|text| address(text).ok_or(malformed("ip is an address"))).transpose()?;
        Ok(Claims {
            session: self.id.filter(|id| !id.is_empty()).map(Into::into),
            expires: moment(self.exp, "exp is a whole number of seconds")?,
            not_before: moment(self.st, "st is a whole number of seconds")?,
            scope: Scope::Acl(self.acl(terms, signed_url)?),
            networks: ip.map(|address| vec![address.into()]),
            ..Claims::of(Format::Hdnts)
        })
    }

    fn acl(&self, terms: &HdntsTerms, signed_url: Option<&str>) -> Result<Acl, Rejection> {
        if let Some(patterns) = self.acl {
            return Acl::parse(patterns, terms.any).map_err(|fault| match fault {
                BadAcl::Form => malformed("acl is paths with * and ?, at most 32 with ! between, each from / on"),
                BadAcl::Everything => {
                    Rejection::new(Reason::UriOutOfScope, "acl covers everything, which is not accepted here")
                }
            });
        }
        let url = self.url.or(signed_url).expect("without patterns a URL was verified");
        Acl::one(url).ok_or(malformed("url is a path in canonical form"))
    }
}

/// A moment in seconds since the epoch: digits alone.
fn moment(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|moment| is_number && *moment <= GREATEST)
}

/// An address, which some issuers escape; IPv4 in IPv6's form is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let text = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
