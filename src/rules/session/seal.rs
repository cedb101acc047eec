//! A session in a URI: its grant, sealed with a key that all nodes of the region have. Whoever has the text has what the
//! grant allows, on every node and after a restart; nobody else can make one, or change one.
//!
//! Base64url of: version, generation of the key, the grant, and the first 16 octets of an HMAC-SHA-256 over all before
//! and over the name of the access. One grant has one text, and one text is read in one way: no octet is left over, every
//! number is as short as it can be. Nothing is read before the HMAC holds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;

use crate::rules::token::cat::UriMatch;
use crate::rules::token::hdnts::Acl;
use crate::rules::token::uri_signing::Container;
use crate::rules::token::wire::{put_number, put_text, take_count, take_number, take_octet, take_octets, take_text};
use crate::rules::token::{Reason, Rejection, Scope};

use super::{Grant, SessionId};

/// The longest text.
pub const LONGEST: usize = 512;
const VERSION: u8 = 1;
const MAC: usize = 16;
/// Version, generation, the least of a grant, HMAC.
const SHORTEST: usize = 2 + 12 + 3 + MAC;

const SUBJECT: u64 = 1;
const TOKEN: u64 = 1 << 1;
const KEY: u64 = 1 << 2;
const ISSUER: u64 = 1 << 3;
const ENDS: u64 = 1 << 4;
const NETWORKS: u64 = 1 << 5;
const COUNTRIES: u64 = 1 << 6;
const MAX_SESSIONS: u64 = 1 << 7;
const TIER: u64 = 1 << 8;
const KNOWN: u64 = (1 << 9) - 1;

const NOT_OURS: Rejection = Rejection::new(
    Reason::SignatureBad,
    "the session was not sealed by this region, or for another access, or by a secret that is gone: begin with the token",
);
const NO_SESSION: Rejection = Rejection::new(Reason::TokenMalformed, "the path holds no session");
const TOO_LARGE: Rejection = Rejection::new(
    Reason::TokenTooLarge,
    "what the token covers does not fit into a session of 512 characters: name fewer or shorter paths",
);

/// A key that seals. It cannot be printed.
#[derive(Clone)]
struct SealKey {
    key: hmac::Key,
    /// A print of it, so that the right one is tried first.
    generation: u8,
}

/// The keys that seal sessions: one by which all are made from now on, and one whose sessions are still taken.
#[derive(Clone)]
pub struct Seals {
    current: SealKey,
    previous: Option<SealKey>,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals")
    }
}

impl SealKey {
    fn new(octets: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, octets);
        let generation = hmac::sign(&key, b"generation").as_ref()[0];
        Self { key, generation }
    }

    fn mac(&self, access: &str, octets: &[u8]) -> [u8; MAC] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(access.len() as u64).to_be_bytes());
        context.update(access.as_bytes());
        context.update(octets);
        *context.sign().as_ref().first_chunk().expect("an HMAC-SHA-256 has 32 octets")
    }
}

impl Seals {
    /// Keys of these octets.
    pub fn new(current: &[u8; 32], previous: Option<&[u8; 32]>) -> Self {
        Self { current: SealKey::new(current), previous: previous.map(SealKey::new) }
    }

    /// Seals a grant of an access.
    ///
    /// # Errors
    /// `token-too-large` where what it covers does not fit.
    pub fn seal(&self, access: &str, grant: &Grant) -> Result<String, Rejection> {
        let mut octets = Vec::with_capacity(128);
        octets.extend([VERSION, self.current.generation]);
        write(&mut octets, grant);
        octets.extend(self.current.mac(access, &octets));
        let text = URL_SAFE_NO_PAD.encode(&octets);
        if text.len() <= LONGEST { Ok(text) } else { Err(TOO_LARGE) }
    }

    /// Opens what was sealed for an access.
    ///
    /// # Errors
    /// `token-malformed` where it is no session, `signature-bad` where it is nobody's.
    pub fn open(&self, access: &str, text: &str) -> Result<Grant, Rejection> {
        let mut buffer = [0; LONGEST];
        let octets = decoded(text, &mut buffer).ok_or(NO_SESSION)?;
        let (sealed, mac) = octets.split_last_chunk::<MAC>().ok_or(NO_SESSION)?;
        let [VERSION, generation, grant @ ..] = sealed else { return Err(NO_SESSION) };
        let keys = [Some(&self.current), self.previous.as_ref()];
        let mut fitting = keys.into_iter().flatten().filter(|key| key.generation == *generation);
        let holds = fitting.any(|key| verify_slices_are_equal(&key.mac(access, sealed), mac).is_ok());
        if !holds {
            return Err(NOT_OURS);
        }
        let mut rest = grant;
        let grant = read(&mut rest).filter(|_| rest.is_empty());
        // Another release of this node may seal what this one does not read: then the token is asked for again.
        grant.ok_or(NOT_OURS)
    }
}

fn decoded<'b>(text: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    if text.len() > LONGEST || text.len() < SHORTEST {
        return None;
    }
    let length = URL_SAFE_NO_PAD.decode_slice(text, buffer).ok()?;
    buffer.get(..length).filter(|octets| octets.len() >= SHORTEST)
}

fn write(out: &mut Vec<u8>, grant: &Grant) {
    let flag = |is_there: bool, flag: u64| if is_there { flag } else { 0 };
    let flags = flag(grant.subject.is_some(), SUBJECT)
        | flag(grant.token.is_some(), TOKEN)
        | flag(grant.key.is_some(), KEY)
        | flag(grant.issuer.is_some(), ISSUER)
        | flag(grant.ends.is_some(), ENDS)
        | flag(grant.networks.is_some(), NETWORKS)
        | flag(grant.countries.is_some(), COUNTRIES)
        | flag(grant.max_sessions.is_some(), MAX_SESSIONS)
        | flag(grant.tier.is_some(), TIER);
    put_number(out, flags);
    out.extend(grant.session.0);
    for print in [grant.subject, grant.token, grant.key, grant.issuer].into_iter().flatten() {
        out.extend(print.to_be_bytes());
    }
    put_number(out, grant.issued_at);
    if let Some(ends) = grant.ends {
        put_number(out, ends);
    }
    write_scope(out, &grant.scope);
    if let Some(networks) = &grant.networks {
        put_number(out, networks.len() as u64);
        networks.iter().for_each(|network| write_network(out, network));
    }
    if let Some(countries) = &grant.countries {
        put_number(out, countries.len() as u64);
        countries.iter().for_each(|country| put_text(out, country));
    }
    if let Some(most) = grant.max_sessions {
        put_number(out, u64::from(most));
    }
    if let Some(tier) = &grant.tier {
        put_text(out, tier);
    }
}

fn read(input: &mut &[u8]) -> Option<Grant> {
    let flags = take_number(input).filter(|flags| flags & !KNOWN == 0)?;
    let has = |flag: u64| flags & flag != 0;
    let session = SessionId(take_octets(input)?);
    let mut print = |flag: u64| match has(flag) {
        true => take_octets(input).map(|octets| Some(u64::from_be_bytes(octets))),
        false => Some(None),
    };
    let (subject, token, key, issuer) = (print(SUBJECT)?, print(TOKEN)?, print(KEY)?, print(ISSUER)?);
    let issued_at = take_number(input)?;
    let ends = if has(ENDS) { Some(take_number(input)?) } else { None };
    let scope = read_scope(input)?;
    let networks = if has(NETWORKS) { Some(list(input, read_network)?) } else { None };
    let country = |input: &mut &[u8]| take_text(input, LONGEST).map(Into::into);
    let countries = if has(COUNTRIES) { Some(list(input, country)?) } else { None };
    let max_sessions = if has(MAX_SESSIONS) { Some(u32::try_from(take_number(input)?).ok()?) } else { None };
    let tier = if has(TIER) { Some(take_text(input, LONGEST)?.into()) } else { None };
    Some(Grant {
        session,
        subject,
        token,
        key,
        issuer,
        issued_at,
        ends,
        scope,
        networks,
        countries,
        max_sessions,
        tier,
    })
}

fn list<T>(input: &mut &[u8], read: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = take_count(input, LONGEST)?;
    (0..count).map(|_| read(input)).collect()
}

fn write_scope(out: &mut Vec<u8>, scope: &Scope) {
    match scope {
        Scope::Everything => out.push(0),
        Scope::Paths(paths) => {
            out.push(1);
            put_number(out, paths.len() as u64);
            paths.iter().for_each(|path| put_text(out, path));
        }
        Scope::Container(container) => {
            out.push(2);
            container.write(out);
        }
        Scope::Acl(acl) => {
            out.push(3);
            acl.write(out);
        }
        Scope::Components(matches) => {
            out.push(4);
            put_number(out, matches.len() as u64);
            matches.iter().for_each(|part| part.write(out));
        }
    }
}

fn read_scope(input: &mut &[u8]) -> Option<Scope> {
    Some(match take_octet(input)? {
        0 => Scope::Everything,
        1 => Scope::Paths(list(input, |input| take_text(input, LONGEST).map(Into::into))?),
        2 => Scope::Container(Container::read(input)?),
        3 => Scope::Acl(Acl::read(input)?),
        4 => Scope::Components(list(input, UriMatch::read)?),
        _ => return None,
    })
}

/// The length of the prefix, from 64 on that of IPv6, and as many octets as it has bits in.
fn write_network(out: &mut Vec<u8>, network: &IpNet) {
    let (offset, octets) = match network.trunc() {
        IpNet::V4(network) => (0, network.addr().octets().to_vec()),
        IpNet::V6(network) => (64, network.addr().octets().to_vec()),
    };
    out.push(offset + network.prefix_len());
    out.extend(&octets[..usize::from(network.prefix_len()).div_ceil(8)]);
}

fn read_network(input: &mut &[u8]) -> Option<IpNet> {
    let first = take_octet(input)?;
    let (length, is_wide) = if first < 64 { (first, false) } else { (first - 64, true) };
    let octets = input.split_at_checked(usize::from(length).div_ceil(8))?;
    *input = octets.1;
    let mut address = [0; 16];
    address.get_mut(..octets.0.len())?.copy_from_slice(octets.0);
    let address: IpAddr = match is_wide {
        true => Ipv6Addr::from(address).into(),
        false => Ipv4Addr::from(*address.first_chunk::<4>()?).into(),
    };
    IpNet::new(address, length).ok().filter(|network| *network == network.trunc())
}

#[cfg(test)]
mod tests;
