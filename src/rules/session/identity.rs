//! What ties requests to a session, and what names are kept by.
//!
//! Both are keyed hashes: the same on every node of the region and after a restart, of use to nobody without the region's
//! secret, and different for each access name, so that one tenant's `alice` is not another's. A session's identifier is
//! no secret and opens nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::hmac;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A session of a token's identity on one device. It is made from both by a keyed hash, so that the same device that asks
/// again continues its session, on every node of the region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 12]);

impl SessionId {
    /// What is written as hexadecimal digits; `None`: it is no identifier.
    pub fn read(text: &str) -> Option<Self> {
        let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut id = [0; 12];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != id.len() || !rest.is_empty() {
            return None;
        }
        for (octet, [high, low]) in id.iter_mut().zip(pairs) {
            *octet = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(id))
    }

    /// Hands on its hexadecimal digits. Every line that is told of it has them: they are made without a formatter.
    pub fn with_digits<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        let (pairs, _) = text.as_chunks_mut::<2>();
        for (pair, octet) in pairs.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 0xf)]];
        }
        take(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_digits(|digits| f.write_str(digits))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_digits(|digits| serializer.serialize_str(digits))
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| D::Error::custom("not 24 hexadecimal digits"))
    }
}

/// What a token is known by: the first of these that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// The session that it names itself.
    Session(&'a str),
    /// Its identifier.
    Token(&'a str),
    /// SHA-256 of what is signed of it.
    Octets(&'a [u8; 32]),
}

/// The device that opens a session, as far as it can be told from others without its help: where it is, by a prefix that
/// a household or a mobile network's subscriber shares, and what it calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opener<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its User-Agent; empty: it sends none.
    pub user_agent: &'a [u8],
}

impl Opener<'_> {
    /// Where it is: what of its address a household or a subscriber of a mobile network shares, the /24 or /56.
    pub fn place(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(address) => (address & Ipv4Addr::new(255, 255, 255, 0)).into(),
            IpAddr::V6(address) => (address & Ipv6Addr::from(u128::MAX << 72)).into(),
        }
    }

    /// The same as octets.
    fn octets(&self) -> Vec<u8> {
        match self.place() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }
    }
}

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A subject.
    Subject,
    /// A token, by its identifier.
    Token,
    /// A key, by its identifier.
    Key,
    /// An issuer.
    Issuer,
}

/// The key of identifiers and prints.
#[derive(Clone)]
pub struct PrintKey(hmac::Key);

impl fmt::Debug for PrintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrintKey")
    }
}

impl PrintKey {
    /// A key of these octets.
    pub fn new(octets: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// The print of what a text names within an access.
    pub fn print(&self, access: &str, named: Named, text: &str) -> u64 {
        let kind: &[u8] = match named {
            Named::Subject => b"subject",
            Named::Token => b"token",
            Named::Key => b"key",
            Named::Issuer => b"issuer",
        };
        u64::from_be_bytes(self.hash([kind, access.as_bytes(), text.as_bytes()]))
    }

    /// The session of a token on a device. `issuer`: what it says of it, for two issuers may give the same identifier.
    pub fn session(
        &self,
        access: &str,
        issuer: Option<&str>,
        identity: Identity<'_>,
        opener: &Opener<'_>,
    ) -> SessionId {
        let (kind, octets): (&[u8], &[u8]) = match identity {
            Identity::Session(name) => (b"by session", name.as_bytes()),
            Identity::Token(id) => (b"by token", id.as_bytes()),
            Identity::Octets(hash) => (b"by octets", hash),
        };
        let place = opener.octets();
        let issuer = issuer.unwrap_or_default().as_bytes();
        SessionId(self.hash([kind, access.as_bytes(), issuer, octets, &place, opener.user_agent]))
    }

    /// The session of a device on a stream of an open route: nobody says who it is, so it is where it is and what it calls
    /// itself. On another day, counted from the epoch, it is another one: nobody is followed by it for longer.
    pub fn open_session(&self, (route, stream): (&str, &str), opener: &Opener<'_>, day: u64) -> SessionId {
        let (place, day) = (opener.octets(), day.to_be_bytes());
        SessionId(self.hash([b"open", route.as_bytes(), stream.as_bytes(), &place, opener.user_agent, &day]))
    }

    /// An address on one day, counted from the epoch, as nobody outside reads it; the next day it is another one.
    pub fn address(&self, address: IpAddr, day: u64) -> SessionId {
        let octets = match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        SessionId(self.hash([b"address".as_slice(), &day.to_be_bytes(), &octets]))
    }

    /// A view of a session: what its player calls it, as nobody outside reads it (CTA-5004-B §7.4).
    pub fn view(&self, session: SessionId, sid: &str) -> SessionId {
        SessionId(self.hash([b"view".as_slice(), &session.0, sid.as_bytes()]))
    }

    /// The first `N` octets of the HMAC over all parts, each after its length, so that no two lists of parts are alike.
    fn hash<const N: usize>(&self, parts: impl IntoIterator<Item: AsRef<[u8]>>) -> [u8; N] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            let part = part.as_ref();
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("an HMAC-SHA-256 has 32 octets")
    }
}

/// The /24 or /48 of an address, as it is kept.
pub fn truncated(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{}/24", address & Ipv4Addr::new(255, 255, 255, 0)),
        IpAddr::V6(address) => format!("{}/48", address & Ipv6Addr::from(u128::MAX << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENER: Opener<'_> = Opener { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), user_agent: b"Player/1" };

    fn at(address: &str) -> Opener<'static> {
        Opener { address: address.parse().unwrap(), ..OPENER }
    }

    #[test]
    fn the_same_device_continues_its_session_and_another_begins_one() {
        let key = PrintKey::new(&[7; 32]);
        let of = |opener: &Opener<'_>| key.session("a", Some("i"), Identity::Token("t"), opener);
        assert_eq!(of(&OPENER), of(&at("192.0.2.250")));
        assert_eq!(of(&OPENER), of(&at("::ffff:192.0.2.9")));
        assert_ne!(of(&OPENER), of(&at("192.0.3.7")));
        assert_ne!(of(&OPENER), of(&Opener { user_agent: b"Player/2", ..OPENER }));
        assert_eq!(of(&at("2001:db8:1:2300::1")), of(&at("2001:db8:1:23ff::2")));
        assert_ne!(of(&at("2001:db8:1:2300::1")), of(&at("2001:db8:1:2400::1")));
    }

    #[test]
    fn a_session_is_of_one_token_one_issuer_one_access_and_one_region() {
        let key = PrintKey::new(&[7; 32]);
        let hash = [3; 32];
        let ids = [
            key.session("a", Some("i"), Identity::Token("t"), &OPENER),
            key.session("a", Some("i"), Identity::Session("t"), &OPENER),
            key.session("a", Some("i"), Identity::Token("u"), &OPENER),
            key.session("a", Some("j"), Identity::Token("t"), &OPENER),
            key.session("a", None, Identity::Token("it"), &OPENER),
            key.session("b", Some("i"), Identity::Token("t"), &OPENER),
            key.session("a", Some("i"), Identity::Octets(&hash), &OPENER),
            PrintKey::new(&[8; 32]).session("a", Some("i"), Identity::Token("t"), &OPENER),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0].to_string().len(), 24);
    }

    #[test]
    fn what_a_player_calls_its_session_is_a_keyed_hash_within_it() {
        let (key, [one, two]) = (PrintKey::new(&[7; 32]), [SessionId([1; 12]), SessionId([2; 12])]);
        assert_eq!(key.view(one, "sid"), key.view(one, "sid"));
        for other in [key.view(one, "dis"), key.view(two, "sid"), PrintKey::new(&[8; 32]).view(one, "sid")] {
            assert_ne!(key.view(one, "sid"), other);
        }
    }

    #[test]
    fn an_address_is_kept_short_or_as_another_hash_each_day() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (whole, short) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ] {
            assert_eq!(truncated(address(whole)), short);
        }
        let key = PrintKey::new(&[7; 32]);
        let of = |text: &str, day| key.address(address(text), day);
        assert_eq!(of("192.0.2.77", 20_000), of("::ffff:192.0.2.77", 20_000));
        assert_ne!(of("192.0.2.77", 20_000), of("192.0.2.77", 20_001));
        assert_ne!(of("192.0.2.77", 20_000), of("192.0.2.78", 20_000));
        assert_ne!(of("192.0.2.77", 20_000), PrintKey::new(&[8; 32]).address(address("192.0.2.77"), 20_000));
        let open = |day| key.open_session(("all", "live"), &OPENER, day);
        assert_eq!(open(20_000), open(20_000));
        assert_ne!(open(20_000), open(20_001));
    }

    #[test]
    fn one_tenants_subject_is_not_anothers() {
        let key = PrintKey::new(&[7; 32]);
        assert_eq!(key.print("a", Named::Subject, "alice"), key.print("a", Named::Subject, "alice"));
        assert_ne!(key.print("a", Named::Subject, "alice"), key.print("b", Named::Subject, "alice"));
        assert_ne!(key.print("a", Named::Subject, "alice"), key.print("a", Named::Token, "alice"));
        assert_ne!(key.print("ab", Named::Subject, "c"), key.print("a", Named::Subject, "bc"));
    }
}
