//! What one node says to another beside the request, and how it proves it: the field `Weir-Peer`.
//!
//! With a secret the field ends in an HMAC-SHA-256 over method, host, target and the rest of the field. It holds for
//! half a minute and once. Without a secret the connection must have proven itself (mutual TLS), and the field only says
//! what is asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::Mutex;

use crate::clock::WallTime;
use crate::config::Secret;
use crate::rules::upstream::rendezvous::Print;

use super::replay::Replays;

/// The field in which nodes speak to each other.
pub const WEIR_PEER: HeaderName = HeaderName::from_static("weir-peer");

/// In an answer: the node has no place for it.
pub const BUSY: &str = "busy";
/// In an answer: the node does not accept what it is asked.
pub const REFUSED: &str = "refused";

/// How far two clocks may be apart, and how long a message may take.
const SKEW_SECONDS: u64 = 30;
/// No field of ours is longer.
const LONGEST: usize = 1_024;

/// What a message is about: it cannot be taken for another one.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Host and port, lower case.
    pub host: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
}

/// What one node says to another beside the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How it knows the one whom it asks; `None`: by no name of the region's, as a lower tier does.
    pub to: Option<String>,
    /// The print of the key that it means.
    pub key: Option<Print>,
}

/// Why a message does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// No field, or not one of ours.
    #[error("nothing says that a node of the region asks")]
    Absent,
    /// Signed with another secret, for another request, or not at all.
    #[error("the proof is not one of the region's")]
    Forged,
    /// Its date is too far from ours.
    #[error("the proof is too old, or the clocks of the two nodes differ by more than half a minute")]
    Old,
    /// It was here before.
    #[error("the proof was used before")]
    Replayed,
}

/// Writes the field.
pub struct Signer {
    key: Option<hmac::Key>,
    to: Option<String>,
    sender: u64,
    count: AtomicU64,
}

/// Reads the field.
pub struct Gate {
    key: Option<hmac::Key>,
    replays: Mutex<Replays>,
}

/// The field, read.
#[derive(Default)]
struct Field<'a> {
    to: Option<&'a str>,
    key: Option<u64>,
    sender: Option<u64>,
    count: Option<u64>,
    seconds: Option<u64>,
    mac: Option<[u8; 32]>,
    /// What the HMAC covers of it.
    covered: &'a str,
}

fn key_of(secret: Option<&Secret>) -> Option<hmac::Key> {
    secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()))
}

/// What is signed: lines, none of which can hold a line break.
fn text(message: Message<'_>, covered: &str) -> String {
    let Message { method, host, target } = message;
    format!("weir-peer 1\n{method}\n{host}\n{target}\n{covered}")
}

impl Signer {
    /// A signer for messages to the one who is called `to`. `sender` is a number that no other signer has.
    pub fn new(secret: Option<&Secret>, to: Option<&str>, sender: u64) -> Self {
        Self { key: key_of(secret), to: to.map(str::to_owned), sender, count: AtomicU64::new(1) }
    }

    /// The field for one message; each may be sent once.
    pub fn sign(&self, message: Message<'_>, key: Option<Print>, now: WallTime) -> HeaderValue {
        let to = self.to.as_ref().map(|to| format!("to={to};")).unwrap_or_default();
        let key = key.map(|key| format!("k={:016x};", key.0)).unwrap_or_default();
        let count = self.count.fetch_add(1, Relaxed);
        let covered = format!("{to}{key}by={:016x};n={count};t={}", self.sender, now.since_epoch().as_secs());
        let mac = self.key.as_ref().map(|key| hmac::sign(key, text(message, &covered).as_bytes()));
        let mac = mac.map(|mac| format!(";s={}", hex(mac.as_ref()))).unwrap_or_default();
        let value = HeaderValue::try_from(covered + &mac).expect("names and digits are a field value");
        sensitive(value)
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

impl Gate {
    /// A gate for those who know the secret; without one, for whomever the connection has let in.
    pub fn new(secret: Option<&Secret>) -> Self {
        Self { key: key_of(secret), replays: Mutex::default() }
    }

    /// What the sender of a message says, once it is proven that it belongs to the region.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn admit(&self, message: Message<'_>, headers: &HeaderMap, now: WallTime) -> Result<Said, Unproven> {
        let field = Field::of(headers);
        let Some(key) = &self.key else {
            let field = field.unwrap_or_default();
            return Ok(field.said());
        };
        let field = field.ok_or(Unproven::Absent)?;
        let (Some(mac), Some(sender), Some(count), Some(seconds)) =
            (field.mac, field.sender, field.count, field.seconds)
        else {
            return Err(Unproven::Forged);
        };
        // Takes the same time wherever the two differ.
        hmac::verify(key, text(message, field.covered).as_bytes(), &mac).map_err(|_| Unproven::Forged)?;
        if now.since_epoch().as_secs().abs_diff(seconds) > SKEW_SECONDS {
            return Err(Unproven::Old);
        }
        let taken = self.replays.lock().take((sender, count), now, 2 * SKEW_SECONDS);
        taken.map_err(|_| Unproven::Replayed)?;
        Ok(field.said())
    }
}

impl<'a> Field<'a> {
    /// The one field of ours; `None` where there is none, several, or one that is not written as we write it.
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(WEIR_PEER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let text = value.to_str().ok().filter(|text| text.len() <= LONGEST)?;
        let mut field = Self { covered: text, ..Self::default() };
        for pair in text.split(';') {
            let (name, value) = pair.split_once('=')?;
            let is_new = match name {
                "to" => field.to.replace(value).is_none(),
                "k" => field.key.replace(u64::from_str_radix(value, 16).ok()?).is_none(),
                "by" => field.sender.replace(u64::from_str_radix(value, 16).ok()?).is_none(),
                "n" => field.count.replace(value.parse().ok()?).is_none(),
                "t" => field.seconds.replace(value.parse().ok()?).is_none(),
                "s" => {
                    field.covered = text.strip_suffix(value)?.strip_suffix(";s=")?;
                    field.mac.replace(unhex(value)?).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(field)
    }

    fn said(&self) -> Said {
        Said { to: self.to.map(str::to_owned), key: self.key.map(Print) }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut octets = [0; 32];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: WallTime = WallTime::at(Duration::from_secs(1_800_000_000));
    const GET: Message<'static> = Message { method: &Method::GET, host: "a.example", target: "/live/1.m4s?a=b" };

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    fn signed(secret_text: &str) -> HeaderValue {
        let signer = Signer::new(Some(&secret(secret_text)), Some("10.0.0.2:9443"), 5);
        signer.sign(GET, Some(Print(0xabc)), NOW)
    }

    fn with(value: impl TryInto<HeaderValue>) -> HeaderMap {
        HeaderMap::from_iter([(WEIR_PEER, value.try_into().ok().unwrap())])
    }

    fn gate() -> Gate {
        Gate::new(Some(&secret("the region's secret")))
    }

    #[test]
    fn what_a_node_of_the_region_says_is_heard_once() {
        let (gate, headers) = (gate(), with(signed("the region's secret")));
        let said = Said { to: Some("10.0.0.2:9443".to_owned()), key: Some(Print(0xabc)) };
        assert_eq!(gate.admit(GET, &headers, NOW), Ok(said));
        assert_eq!(gate.admit(GET, &headers, NOW), Err(Unproven::Replayed));
    }

    #[test]
    fn a_proof_with_another_secret_or_for_another_request_is_none() {
        let gate = gate();
        assert_eq!(gate.admit(GET, &with(signed("another secret....")), NOW), Err(Unproven::Forged));
        let headers = with(signed("the region's secret"));
        for other in [
            Message { method: &Method::HEAD, ..GET },
            Message { host: "b.example", ..GET },
            Message { target: "/live/1.m4s?a=c", ..GET },
        ] {
            assert_eq!(gate.admit(other, &headers, NOW), Err(Unproven::Forged));
        }
        let changed =
            signed("the region's secret").to_str().unwrap().replace("k=0000000000000abc", "k=0000000000000abd");
        assert_eq!(gate.admit(GET, &with(changed), NOW), Err(Unproven::Forged));
        assert_eq!(gate.admit(GET, &HeaderMap::new(), NOW), Err(Unproven::Absent));
        let unsigned = Signer::new(None, None, 5).sign(GET, None, NOW);
        assert_eq!(gate.admit(GET, &with(unsigned), NOW), Err(Unproven::Forged));
        let mut twice = headers.clone();
        twice.append(WEIR_PEER, HeaderValue::from_static("x=y"));
        assert_eq!(gate.admit(GET, &twice, NOW), Err(Unproven::Absent));
        assert!(gate.admit(GET, &headers, NOW).is_ok(), "nothing of this has used it up");
    }

    #[test]
    fn a_proof_holds_for_half_a_minute_before_and_after() {
        let at = |seconds: u64| WallTime::at(Duration::from_secs(seconds));
        for (now, outcome) in [
            (1_800_000_030, None),
            (1_799_999_970, None),
            (1_800_000_031, Some(Unproven::Old)),
            (1_799_999_969, Some(Unproven::Old)),
        ] {
            let admitted = gate().admit(GET, &with(signed("the region's secret")), at(now));
            assert_eq!(admitted.err(), outcome, "{now}");
        }
    }

    #[test]
    fn without_a_secret_the_connection_has_proven_it() {
        let gate = Gate::new(None);
        let unsigned = Signer::new(None, Some("b:1"), 5).sign(GET, Some(Print(7)), NOW);
        let said = Said { to: Some("b:1".to_owned()), key: Some(Print(7)) };
        assert_eq!(gate.admit(GET, &with(unsigned), NOW), Ok(said));
        assert_eq!(gate.admit(GET, &HeaderMap::new(), NOW), Ok(Said::default()));
    }

    proptest! {
        #[test]
        fn no_field_of_a_stranger_is_believed(text in "[ -~]{0,200}", pieces in proptest::collection::vec("(to|k|by|n|t|s)=[0-9a-f]{0,64}", 0..8)) {
            let gate = gate();
            for value in [text, pieces.join(";")] {
                prop_assert!(gate.admit(GET, &with(value), NOW).is_err());
            }
        }
    }
}
