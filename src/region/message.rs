//! What nodes say to each other, as octets: a version, a kind, who says it, when, and an HMAC over all of it and over whom
//! it is for. What is not from a node of the region, or longer than may be, is nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use bytes::Bytes;

use crate::clock::WallTime;
use crate::rules::caching::purge::{Meant, Mode};
use crate::rules::session::{Revocation, SessionId};

use super::secrets::Key;

/// No message is longer, in octets.
pub const LARGEST: usize = 256 << 10;
/// Revocations, or sessions, in one message.
pub const MOST: usize = 1_000;

const VERSION: u8 = 1;
const MAC: usize = 16;
const HEAD: usize = 2 + 3 * 8;
/// No text in a message is longer.
const LONGEST_TEXT: usize = 16 << 10;

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// Every node of the region.
    All,
    /// One.
    Node(NodeId),
}

/// A process: a node that starts anew is another one. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// A session that counts for its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its access.
    pub access: Arc<str>,
    /// The print of its subject.
    pub subject: u64,
    /// The session.
    pub session: SessionId,
    /// When it began, in milliseconds since the epoch.
    pub began_ms: u64,
    /// Whether it goes on; else it has ended or fallen silent.
    pub goes_on: bool,
}

/// A node is there, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// How it is called.
    pub name: String,
    /// How many revocations it has told.
    pub told: u64,
    /// How many changes it had told before these.
    pub changed: u64,
    /// What became of its sessions since.
    pub changes: Vec<Presence>,
}

/// What a node lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// All revocations that the other one knows, from a place in its table.
    Revocations(u64),
    /// Those that it told, from a number.
    Told(u64),
    /// Its sessions, from a place among them.
    Sessions(u64),
}

/// A piece of what was lacking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The question.
    pub ask: u64,
    /// Up to where the sender has told revocations, or changes, before it made this page.
    pub upto: u64,
    /// From where the next page begins; `None`: this was the last.
    pub next: Option<u64>,
    /// What it holds.
    pub items: Items,
}

/// What a page holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Items {
    /// Revocations.
    Revocations(Vec<Revocation>),
    /// Sessions.
    Sessions(Vec<Presence>),
    /// What was asked for is no longer there: everything must be asked for.
    Gone,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// These are in force; the first bears this number among all that the sender has told.
    Revoked(u64, Vec<Revocation>),
    /// The sender is there.
    Beat(Beat),
    /// The sender lacks something; its question's number.
    Ask(u64, Lack),
    /// What it lacked.
    Page(Page),
    /// To be purged, everywhere; the order's number.
    Purge(u64, Meant, Mode),
    /// What an order came to on a node of this name: objects and playlists, or why nothing was purged.
    Purged(u64, String, Result<(u64, u64), String>),
    /// The sender stops.
    Left,
}

impl Message {
    /// Its kind as a number, from 0.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Revoked(..) => 0,
            Self::Beat(_) => 1,
            Self::Ask(..) => 2,
            Self::Page(_) => 3,
            Self::Purge(..) => 4,
            Self::Purged(..) => 5,
            Self::Left => 6,
        }
    }
}

/// A message and who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub by: NodeId,
    /// Its number among all that the sender has said.
    pub number: u64,
    /// When, in seconds since the epoch.
    pub at: u64,
    /// What.
    pub message: Message,
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// The sender does not know the region's secret, or means somebody else.
    #[error("it is not from a node of this region")]
    Forged,
    /// It is of another version, too long, or malformed.
    #[error("it is no message that this version understands")]
    Malformed,
}

/// Seals messages with the region's current key, and opens what was sealed with any of its keys.
pub struct Seal {
    keys: ArcSwap<Vec<hmac::Key>>,
    region: String,
    /// This node.
    pub own: NodeId,
    count: AtomicU64,
}

impl Seal {
    /// For a node of a region whose keys are these, at least one, the current one first.
    pub fn new(keys: &[Key], region: &str, own: NodeId) -> Self {
        let seal = Self { keys: ArcSwap::default(), region: region.to_owned(), own, count: AtomicU64::new(1) };
        seal.rekey(keys);
        seal
    }

    /// From now on these are the region's keys.
    pub fn rekey(&self, keys: &[Key]) {
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()));
        self.keys.store(Arc::new(keys.collect()));
    }

    /// The octets of a message.
    pub fn seal(&self, to: To, message: &Message, now: WallTime) -> Bytes {
        let mut octets = vec![VERSION, message.kind()];
        octets.extend(self.own.0.to_le_bytes());
        octets.extend(self.count.fetch_add(1, Relaxed).to_le_bytes());
        octets.extend(now.since_epoch().as_secs().to_le_bytes());
        write(message, &mut octets);
        let mac = self.mac(&self.keys.load()[0], to, &octets);
        octets.extend(&mac.as_ref()[..MAC]);
        octets.into()
    }

    /// The message that octets are which came for `to`.
    ///
    /// # Errors
    /// [`Unheard`].
    pub fn open(&self, to: To, octets: &[u8]) -> Result<Said, Unheard> {
        if octets.len() > LARGEST || octets.len() < HEAD + MAC || octets[0] != VERSION {
            return Err(Unheard::Malformed);
        }
        let (octets, mac) = octets.split_at(octets.len() - MAC);
        let fits = |key: &hmac::Key| {
            let expected = self.mac(key, to, octets);
            aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..MAC], mac).is_ok()
        };
        if !self.keys.load().iter().any(fits) {
            return Err(Unheard::Forged);
        }
        let mut rest = Reader(&octets[1..]);
        let read = rest.said().filter(|_| rest.0.is_empty());
        read.ok_or(Unheard::Malformed)
    }

    fn mac(&self, key: &hmac::Key, to: To, octets: &[u8]) -> hmac::Tag {
        let to = match to {
            To::All => 0,
            To::Node(NodeId(id)) => id,
        };
        let mut context = hmac::Context::with_key(key);
        context.update(format!("weir-region 1\n{}\n{to:016x}\n", self.region).as_bytes());
        context.update(octets);
        context.sign()
    }
}

fn write(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::Revoked(first, revocations) => {
            number(*first, out);
            revoked(revocations, out);
        }
        Message::Beat(beat) => {
            text(&beat.name, out);
            number(beat.told, out);
            number(beat.changed, out);
            number(beat.changes.len() as u64, out);
            beat.changes.iter().for_each(|change| living(change, out));
        }
        Message::Ask(ask, lack) => {
            let (kind, from) = match lack {
                Lack::Revocations(from) => (0, *from),
                Lack::Told(from) => (1, *from),
                Lack::Sessions(from) => (2, *from),
            };
            number(*ask, out);
            out.push(kind);
            number(from, out);
        }
        Message::Page(page) => write_page(page, out),
        Message::Purge(order, meant, mode) => {
            number(*order, out);
            out.push(match mode {
                Mode::Hard => 0,
                Mode::Soft => 1,
            });
            let (kind, name) = match meant {
                Meant::Url(name) => (0, name.as_str()),
                Meant::Prefix(name) => (1, name.as_str()),
                Meant::Stream(name) => (2, name.as_str()),
                Meant::Tag(name) => (3, name.as_str()),
                Meant::All => (4, ""),
            };
            out.push(kind);
            text(name, out);
        }
        Message::Purged(order, name, outcome) => {
            number(*order, out);
            text(name, out);
            match outcome {
                Ok((objects, playlists)) => {
                    out.push(0);
                    number(*objects, out);
                    number(*playlists, out);
                }
                Err(why) => {
                    out.push(1);
                    text(why, out);
                }
            }
        }
        Message::Left => {}
    }
}

fn write_page(page: &Page, out: &mut Vec<u8>) {
    number(page.ask, out);
    number(page.upto, out);
    number(page.next.unwrap_or(u64::MAX), out);
    match &page.items {
        Items::Revocations(revocations) => {
            out.push(0);
            revoked(revocations, out);
        }
        Items::Sessions(sessions) => {
            out.push(1);
            number(sessions.len() as u64, out);
            sessions.iter().for_each(|presence| living(presence, out));
        }
        Items::Gone => out.push(2),
    }
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend(number.to_le_bytes());
}

/// What is longer than a text may be is cut: names and sentences are not, and an order that long was refused before.
fn text(text: &str, out: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
}

fn revoked(revocations: &[Revocation], out: &mut Vec<u8>) {
    number(revocations.len() as u64, out);
    for revocation in revocations {
        let octets = revocation.write();
        out.extend((octets.len() as u16).to_le_bytes());
        out.extend(octets);
    }
}

fn living(presence: &Presence, out: &mut Vec<u8>) {
    text(&presence.access, out);
    number(presence.subject, out);
    out.extend(presence.session.0);
    number(presence.began_ms, out);
    out.push(u8::from(presence.goes_on));
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn said(&mut self) -> Option<Said> {
        let kind = self.octet()?;
        let (by, number, at) = (NodeId(self.number()?), self.number()?, self.number()?);
        Some(Said { by, number, at, message: self.message(kind)? })
    }

    fn message(&mut self, kind: u8) -> Option<Message> {
        Some(match kind {
            0 => Message::Revoked(self.number()?, self.revoked()?),
            1 => Message::Beat(Beat {
                name: self.text()?,
                told: self.number()?,
                changed: self.number()?,
                changes: self.many(Self::living)?,
            }),
            2 => {
                let (ask, kind, from) = (self.number()?, self.octet()?, self.number()?);
                Message::Ask(
                    ask,
                    match kind {
                        0 => Lack::Revocations(from),
                        1 => Lack::Told(from),
                        2 => Lack::Sessions(from),
                        _ => return None,
                    },
                )
            }
            3 => Message::Page(self.page()?),
            4 => {
                let order = self.number()?;
                let mode = match self.octet()? {
                    0 => Mode::Hard,
                    1 => Mode::Soft,
                    _ => return None,
                };
                let (kind, name) = (self.octet()?, self.text()?);
                let meant = match kind {
                    0 => Meant::Url(name),
                    1 => Meant::Prefix(name),
                    2 => Meant::Stream(name),
                    3 => Meant::Tag(name),
                    4 if name.is_empty() => Meant::All,
                    _ => return None,
                };
                Message::Purge(order, meant, mode)
            }
            5 => {
                let (order, name) = (self.number()?, self.text()?);
                let outcome = match self.octet()? {
                    0 => Ok((self.number()?, self.number()?)),
                    1 => Err(self.text()?),
                    _ => return None,
                };
                Message::Purged(order, name, outcome)
            }
            6 => Message::Left,
            _ => return None,
        })
    }

    fn page(&mut self) -> Option<Page> {
        let (ask, upto, next) = (self.number()?, self.number()?, self.number()?);
        let items = match self.octet()? {
            0 => Items::Revocations(self.revoked()?),
            1 => Items::Sessions(self.many(Self::living)?),
            2 => Items::Gone,
            _ => return None,
        };
        Some(Page { ask, upto, next: (next != u64::MAX).then_some(next), items })
    }

    fn living(&mut self) -> Option<Presence> {
        let access = self.text()?.into();
        let (subject, session) = (self.number()?, self.array().map(SessionId)?);
        let (began_ms, goes_on) = (self.number()?, self.octet()?);
        (goes_on <= 1).then_some(Presence { access, subject, session, began_ms, goes_on: goes_on == 1 })
    }

    fn revoked(&mut self) -> Option<Vec<Revocation>> {
        self.many(|reader| {
            let length = reader.array().map(u16::from_le_bytes)?;
            Revocation::read(reader.take(usize::from(length))?)
        })
    }

    /// The size of the message bounds how many there can be, whatever the count says.
    fn many<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= MOST)?;
        (0..count).map(|_| one(self)).collect()
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        let octets = self.take(length).filter(|_| length <= LONGEST_TEXT)?;
        String::from_utf8(octets.to_vec()).ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]: [u8; 1]| octet)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::rules::session::What;

    const NOW: WallTime = WallTime::at(Duration::from_secs(1_800_000_000));

    fn seal(key: u8, region: &str, own: u64) -> Seal {
        Seal::new(&[[key; 32].into()], region, NodeId(own))
    }

    fn revocation(print: u64) -> Revocation {
        Revocation { access: "members".into(), what: What::Subject(print), at: 5, until: 9 }
    }

    fn presence(byte: u8) -> Presence {
        Presence { access: "members".into(), subject: 7, session: SessionId([byte; 12]), began_ms: 77, goes_on: true }
    }

    fn every_kind() -> Vec<Message> {
        let changes = vec![presence(1), Presence { goes_on: false, ..presence(2) }];
        vec![
            Message::Revoked(7, vec![revocation(1), revocation(2)]),
            Message::Beat(Beat { name: "edge-1".to_owned(), told: 7, changed: 8, changes }),
            Message::Ask(1, Lack::Revocations(0)),
            Message::Ask(2, Lack::Told(77)),
            Message::Ask(3, Lack::Sessions(9)),
            Message::Page(Page { ask: 1, upto: 2, next: Some(3), items: Items::Revocations(vec![revocation(1)]) }),
            Message::Page(Page { ask: 1, upto: 2, next: None, items: Items::Sessions(vec![presence(3)]) }),
            Message::Page(Page { ask: 1, upto: 2, next: None, items: Items::Gone }),
            Message::Purge(5, Meant::Prefix("/live/".to_owned()), Mode::Hard),
            Message::Purge(5, Meant::All, Mode::Soft),
            Message::Purged(5, "edge-2".to_owned(), Ok((6, 7))),
            Message::Purged(5, "edge-2".to_owned(), Err("no route".to_owned())),
            Message::Left,
        ]
    }

    #[test]
    fn what_is_said_is_heard_by_those_it_is_for() {
        let (one, other) = (seal(1, "ams", 1), seal(1, "ams", 2));
        for to in [To::All, To::Node(NodeId(2))] {
            for (index, message) in every_kind().into_iter().enumerate() {
                let said = other.open(to, &one.seal(to, &message, NOW)).unwrap();
                let number = said.number;
                assert_eq!(said, Said { by: NodeId(1), number, at: 1_800_000_000, message }, "{index}");
            }
        }
    }

    #[test]
    fn a_stranger_is_not_heard() {
        let one = seal(1, "ams", 1);
        for message in every_kind() {
            let octets = one.seal(To::All, &message, NOW);
            for stranger in [seal(2, "ams", 2), seal(1, "fra", 2)] {
                assert_eq!(stranger.open(To::All, &octets), Err(Unheard::Forged));
            }
            assert_eq!(one.open(To::Node(NodeId(2)), &octets), Err(Unheard::Forged), "it was for all");
            for at in 1..octets.len() {
                let mut changed = octets.to_vec();
                changed[at] ^= 1;
                assert_eq!(one.open(To::All, &changed), Err(Unheard::Forged), "{at}");
            }
            assert!(one.open(To::All, &octets[..octets.len() - 1]).is_err());
        }
        assert_eq!(one.open(To::All, &[VERSION; 20]), Err(Unheard::Malformed));
        assert_eq!(one.open(To::All, &vec![VERSION; LARGEST + 1]), Err(Unheard::Malformed));
    }

    #[test]
    fn while_a_secret_is_changed_nodes_with_either_are_heard() {
        let both = Seal::new(&[[2; 32].into(), [1; 32].into()], "ams", NodeId(1));
        let octets = |seal: &Seal| seal.seal(To::All, &Message::Left, NOW);
        assert!(both.open(To::All, &octets(&seal(1, "ams", 2))).is_ok());
        assert!(seal(2, "ams", 2).open(To::All, &octets(&both)).is_ok());
        assert!(seal(1, "ams", 2).open(To::All, &octets(&both)).is_err(), "it is made with the current one");
        both.rekey(&[[1; 32].into()]);
        assert!(seal(1, "ams", 2).open(To::All, &octets(&both)).is_ok());
    }

    #[test]
    fn as_much_as_one_message_may_hold_fits_into_it() {
        let access: String = "a".repeat(128);
        let one = Presence { access: access.as_str().into(), ..presence(1) };
        let beat = Beat { name: "n".repeat(255), told: 0, changed: 0, changes: vec![one.clone(); MOST] };
        let revocation = Revocation { access: access.into(), ..revocation(1) };
        let seal = seal(1, "ams", 1);
        for message in [
            Message::Beat(beat),
            Message::Revoked(0, vec![revocation; MOST]),
            Message::Page(Page { ask: 0, upto: 0, next: None, items: Items::Sessions(vec![one; MOST]) }),
        ] {
            let octets = seal.seal(To::All, &message, NOW);
            assert!(octets.len() <= LARGEST, "{}", octets.len());
            assert_eq!(seal.open(To::All, &octets).unwrap().message, message);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_node_of_another_version_says_is_a_message_or_nothing(
            kind in 0..8_u8,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let seal = seal(1, "ams", 1);
            let mut octets = vec![VERSION, kind];
            octets.extend([0; 24]);
            octets.extend(body);
            let mac = seal.mac(&seal.keys.load()[0], To::All, &octets);
            octets.extend(&mac.as_ref()[..MAC]);
            if let Ok(said) = seal.open(To::All, &octets) {
                let mut again = vec![VERSION, kind];
                again.extend([0; 24]);
                write(&said.message, &mut again);
                prop_assert_eq!(&again, &octets[..octets.len() - MAC]);
            }
        }
    }
}
