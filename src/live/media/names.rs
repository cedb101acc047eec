//! The table of names: what followed playlists list, by a fingerprint of the key, in about sixty octets each.
//!
//! A name is listed as often as versions say so, and stays for its life after the last of them let go of it. Nothing
//! here runs by a clock: whoever enters a name sweeps the shard that it enters, at most once in a while.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::clock::Tick;
use crate::rules::caching::Key;
use crate::rules::hls::multivariant::Role;
use crate::telemetry::counters::Counter;

use super::super::print::AsItIs;
use super::Kind;

/// Parts of the table, so that workers seldom meet at one lock.
const SHARDS: usize = 256;

/// A shard is swept no more often than this.
const SWEEP: Duration = Duration::from_secs(10);

/// What stands for a key. Two that look the same are taken for one: no octet is served by it, only lifetimes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u32; 4]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [_, _, high, low] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

impl Fingerprint {
    /// One of `ways` ways that names are spread over.
    pub fn spread(self, ways: usize) -> usize {
        self.0[1] as usize % ways
    }
}

/// A moment in tenths of a second since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u32);

impl Moment {
    /// The tenth that `tick` lies in.
    fn of(tick: Tick) -> Self {
        Self(u32::try_from(tick.since_start().as_millis() / 100).unwrap_or(u32::MAX))
    }

    /// The first tenth that is not before `tick`.
    fn from(tick: Tick) -> Self {
        Self::of(tick + Duration::from_millis(99))
    }

    fn tick(self) -> Tick {
        Tick::at(Duration::from_millis(u64::from(self.0) * 100))
    }
}

/// How a name is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub kind: Kind,
    pub role: Option<Role>,
    pub generation: u32,
    /// Until when it is near the live edge, if it is.
    pub near_until: Option<Tick>,
    /// For how long it is still needed once no version lists it.
    pub life: Duration,
    /// Who alone knows what it stands for.
    pub author: Author,
    /// When it begins on the calendar, if that is known.
    pub begins: Option<Begins>,
}

/// When something begins on the calendar: the lower half of the milliseconds since 1970, which tells apart what is less
/// than twenty-four days from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begins(NonZeroU32);

impl Begins {
    /// At so many milliseconds since 1970.
    pub const fn at(ms: i64) -> Self {
        // What begins at nought begins a millisecond later.
        match NonZeroU32::new(ms as u32) {
            Some(ms) => Self(ms),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// How long before a time it began, in milliseconds; below zero: it is ahead. `now`: milliseconds since 1970.
    pub const fn before(self, now: u64) -> i64 {
        (now as u32).wrapping_sub(self.0.get()).cast_signed() as i64
    }
}

/// Who knows what a name stands for: the origin at a place of its route's list, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Author(u8);

impl Author {
    /// All origins mean the same by it.
    pub const ANYONE: Self = Self(u8::MAX);

    /// The origin at a place; places that cannot be told apart are any.
    pub fn at(place: usize) -> Self {
        u8::try_from(place).map_or(Self::ANYONE, Self)
    }

    /// The place.
    pub fn place(self) -> Option<usize> {
        (self != Self::ANYONE).then_some(self.0.into())
    }
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub author: Author,
    pub kind: Kind,
    pub role: Option<Role>,
    pub generation: u32,
    /// Since when it has stood for the same thing.
    pub since: Tick,
    pub near_until: Option<Tick>,
    /// Until when it is needed; `None`: as long as it is listed, and for `life` from then on.
    pub until: Option<Tick>,
    pub life: Duration,
    pub marks: Marks,
    pub begins: Option<Begins>,
}

struct Entry {
    until: Moment,
    since: Moment,
    near_until: Moment,
    generation: u32,
    listed: u16,
    /// In seconds.
    life: u16,
    kind: Kind,
    role: Option<Role>,
    marks: Marks,
    author: Author,
    begins: Option<Begins>,
}

/// What is remembered of a name beside what versions say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    const UNREAD: u8 = 1;
    const LARGE: u8 = 2;
    const HINTED: u8 = 4;

    /// It was fetched before anybody asked for it, and nobody has asked since.
    pub const fn is_unread(self) -> bool {
        self.0 & Self::UNREAD != 0
    }

    /// It has turned out to be too large to be stored, so that its ranges are asked for one by one.
    pub const fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0
    }

    /// It is hinted, and not listed yet.
    pub const fn is_hinted(self) -> bool {
        self.0 & Self::HINTED != 0
    }
}

impl Entry {
    fn known(&self) -> Known {
        Known {
            kind: self.kind,
            role: self.role,
            generation: self.generation,
            since: self.since.tick(),
            near_until: (self.near_until > Moment::default()).then(|| self.near_until.tick()),
            until: (self.listed == 0).then(|| self.until.tick()),
            life: Duration::from_secs(self.life.into()),
            marks: self.marks,
            author: self.author,
            begins: self.begins,
        }
    }

    fn is_over(&self, now: Moment) -> bool {
        self.listed == 0 && self.until <= now
    }

    /// Takes on another listing. What a name stood for in an earlier generation is not what it stands for now.
    fn take(&mut self, listing: &Listing, now: Moment) {
        if listing.generation > self.generation || self.is_over(now) {
            self.since = now;
            self.author = listing.author;
        }
        self.generation = self.generation.max(listing.generation);
        self.near_until = self.near_until.max(listing.near_until.map(Moment::of).unwrap_or_default());
        self.life = self.life.max(seconds(listing.life));
        if self.listed == 0 || rank(listing.kind) >= rank(self.kind) {
            self.kind = listing.kind;
        }
        self.role = listing.role.or(self.role);
        self.begins = listing.begins.or(self.begins);
    }
}

/// What a name is where it is listed as several things: one file may hold an initialisation section and segments.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Part => 0,
        Kind::Init => 1,
        Kind::DecryptionKey => 2,
        Kind::Segment | Kind::Growing => 3,
    }
}

fn seconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u16::MAX)
}

#[derive(Default)]
struct Shard {
    names: HashMap<Fingerprint, Entry, BuildHasherDefault<AsItIs>>,
    swept: Tick,
}

/// All names.
pub(super) struct Names {
    shards: Box<[Mutex<Shard>]>,
    hashers: [RandomState; 2],
    most: AtomicUsize,
    count: AtomicUsize,
    /// Names that found no place.
    pub refused: Counter,
}

impl Names {
    /// No names; at most `most` at once.
    pub fn new(most: usize) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hashers: [RandomState::default(), RandomState::default()],
            most: AtomicUsize::new(most),
            count: AtomicUsize::new(0),
            refused: Counter::default(),
        }
    }

    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub fn fingerprint(&self, key: &Key) -> Fingerprint {
        let [high, low] = [&self.hashers[0], &self.hashers[1]].map(|hasher| hasher.hash_one(key.as_str()));
        Fingerprint([(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32])
    }

    fn shard(&self, print: Fingerprint) -> &Mutex<Shard> {
        &self.shards[print.0[0] as usize % SHARDS]
    }

    /// One more version lists the name. Where none did, nobody has watched what it stands for.
    pub fn list(&self, print: Fingerprint, listing: &Listing, now: Tick) {
        self.enter(print, listing, now, |entry| {
            if entry.listed == 0 {
                entry.since = Moment::of(now);
            }
            entry.listed = entry.listed.saturating_add(1);
        });
    }

    /// The name is needed until `until` at least.
    pub fn need(&self, print: Fingerprint, until: Tick) {
        if let Some(entry) = self.shard(print).lock().names.get_mut(&print) {
            entry.until = entry.until.max(Moment::from(until));
        }
    }

    /// The name is used without a version that could be followed: it is needed for its life from now on.
    pub fn mention(&self, print: Fingerprint, listing: &Listing, now: Tick) {
        self.enter(print, listing, now, |entry| entry.until = entry.until.max(Moment::from(now + listing.life)));
    }

    /// One version less lists the name, which is then needed for `life`. Whether none is left.
    pub fn unlist(&self, print: Fingerprint, (life, now): (Duration, Tick)) -> bool {
        let mut shard = self.shard(print).lock();
        let Some(entry) = shard.names.get_mut(&print) else { return true };
        entry.listed = entry.listed.saturating_sub(1);
        entry.until = entry.until.max(Moment::from(now + life));
        entry.listed == 0
    }

    /// What grew is a segment like any other from now on.
    pub fn close(&self, print: Fingerprint) {
        if let Some(entry) = self.shard(print).lock().names.get_mut(&print)
            && entry.kind == Kind::Growing
        {
            entry.kind = Kind::Segment;
        }
    }

    fn enter(&self, print: Fingerprint, listing: &Listing, now: Tick, then: impl FnOnce(&mut Entry)) {
        let mut shard = self.shard(print).lock();
        let moment = Moment::of(now);
        if now.since(shard.swept) >= SWEEP {
            shard.swept = now;
            let before = shard.names.len();
            shard.names.retain(|_, entry| !entry.is_over(moment));
            self.count.fetch_sub(before - shard.names.len(), Relaxed);
        }
        if let Some(entry) = shard.names.get_mut(&print) {
            entry.take(listing, moment);
            return then(entry);
        }
        if self.count() >= self.most.load(Relaxed) {
            return self.refused.add(1);
        }
        let mut entry = Entry {
            until: Moment::default(),
            since: moment,
            near_until: Moment::default(),
            generation: listing.generation,
            listed: 0,
            life: 0,
            kind: listing.kind,
            role: listing.role,
            marks: Marks::default(),
            author: listing.author,
            begins: listing.begins,
        };
        entry.take(listing, moment);
        entry.since = moment;
        then(&mut entry);
        self.count.fetch_add(1, Relaxed);
        shard.names.insert(print, entry);
    }

    /// Another origin lists the same: all mean the same by the name.
    pub fn anyone(&self, print: Fingerprint) {
        if let Some(entry) = self.shard(print).lock().names.get_mut(&print) {
            entry.author = Author::ANYONE;
        }
    }

    /// The name is fetched before anybody asked for it.
    pub fn prefetched(&self, print: Fingerprint) {
        self.mark(print, |marks| marks | Marks::UNREAD);
    }

    /// Somebody has asked for it.
    pub fn read(&self, print: Fingerprint) {
        self.mark(print, |marks| marks & !Marks::UNREAD);
    }

    /// It is too large to be stored.
    pub fn is_large(&self, print: Fingerprint) {
        self.mark(print, |marks| marks | Marks::LARGE);
    }

    /// It is hinted.
    pub fn hint(&self, print: Fingerprint) {
        self.mark(print, |marks| marks | Marks::HINTED);
    }

    /// It is no longer hinted.
    pub fn unhint(&self, print: Fingerprint) {
        self.mark(print, |marks| marks & !Marks::HINTED);
    }

    fn mark(&self, print: Fingerprint, change: impl FnOnce(u8) -> u8) {
        if let Some(entry) = self.shard(print).lock().names.get_mut(&print) {
            entry.marks = Marks(change(entry.marks.0));
        }
    }

    /// What is known of a name.
    pub fn find(&self, print: Fingerprint, now: Tick) -> Option<Known> {
        let shard = self.shard(print).lock();
        shard.names.get(&print).filter(|entry| !entry.is_over(Moment::of(now))).map(Entry::known)
    }
}

/// What one name takes.
pub(super) const ENTRY: usize = size_of::<(Fingerprint, Entry)>();

impl Names {
    /// What the table takes, with a control octet for each place.
    pub fn octets(&self) -> usize {
        let places = |shard: &Mutex<Shard>| (shard.lock().names.capacity() * 8).div_ceil(7);
        self.shards.iter().map(places).sum::<usize>() * (ENTRY + 1)
    }
}
