//! What was taken back, in as little memory as can be: an open table of prints and the seconds until which they count.
//!
//! Reading takes no lock and writes nothing. One writes at a time; entries that count no longer leave their places to
//! others, and the table is built anew where too many stand in the way. It holds no more than its bound: the entry
//! that would end first goes first, and is counted.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::rules::session::{Grant, Revocation, What};

/// Moments of issue that are remembered for all accesses together.
const MOMENTS: usize = 1_024;

/// Places of the smallest table.
const SMALLEST: usize = 1_024;

/// Part of the entries that are lined up at once to go first.
const LINED_UP: usize = 64;

/// What was taken back, and until when that counts.
pub struct Revocations {
    hasher: foldhash::quality::RandomState,
    table: ArcSwap<Table>,
    moments: ArcSwap<Vec<Moment>>,
    changes: AtomicU64,
    writer: Mutex<Writer>,
}

/// All of an access that was issued before a moment.
#[derive(Clone, Copy)]
struct Moment {
    access: u64,
    before: u64,
    until: u64,
}

struct Writer {
    most: usize,
    /// Places that were ever taken in this table.
    used: usize,
    /// Of these, the ones that count, as far as is known.
    counting: usize,
    /// The entries that end first, with their places.
    first: VecDeque<(u32, u32)>,
    pushed_out: u64,
}

/// What became of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was not known.
    New,
    /// It was known, and now counts for longer.
    Longer,
    /// It was known.
    Known,
}

struct Table {
    prints: Box<[AtomicU64]>,
    untils: Box<[AtomicU32]>,
}

impl Revocations {
    /// Nothing was taken back yet; no more than `most` are kept.
    pub fn new(most: usize) -> Self {
        let writer = Writer { most: most.max(1), used: 0, counting: 0, first: VecDeque::new(), pushed_out: 0 };
        Self {
            hasher: foldhash::quality::RandomState::default(),
            table: ArcSwap::from_pointee(Table::of(SMALLEST)),
            moments: ArcSwap::default(),
            changes: AtomicU64::new(0),
            writer: Mutex::new(writer),
        }
    }

    /// From now on no more than `most` are kept.
    pub fn set_most(&self, most: usize) {
        self.writer.lock().most = most.max(1);
    }

    /// From now on it counts.
    pub fn note(&self, revocation: &Revocation, now: u64) -> Noted {
        let noted = match revocation.what {
            What::IssuedBefore(before) => self.note_moment(revocation, before, now),
            named => {
                let print = self.print(&revocation.access, named);
                self.writer.lock().note(&self.table, (print, seconds(revocation.until)), seconds(now))
            }
        };
        self.changes.fetch_add(1, Relaxed);
        // Whoever enters a session looks here afterwards; who takes it back looks for sessions after this.
        fence(SeqCst);
        noted
    }

    fn note_moment(&self, revocation: &Revocation, before: u64, now: u64) -> Noted {
        let access = self.hasher.hash_one(&*revocation.access);
        let until = revocation.until;
        let mut writer = self.writer.lock();
        let mut moments = self.moments.load().to_vec();
        moments.retain(|moment| moment.until > now);
        let covers = |moment: &Moment| moment.access == access && moment.before >= before;
        if moments.iter().any(|moment| covers(moment) && moment.until >= until) {
            return Noted::Known;
        }
        let noted = if moments.iter().any(covers) { Noted::Longer } else { Noted::New };
        moments.retain(|moment| moment.access != access || moment.before > before || moment.until > until);
        if moments.len() >= MOMENTS {
            let first = moments.iter().enumerate().min_by_key(|(_, moment)| moment.until);
            let first = first.map(|(index, _)| index).expect("there are many");
            moments.swap_remove(first);
            writer.pushed_out += 1;
        }
        moments.push(Moment { access, before, until });
        self.moments.store(Arc::new(moments));
        noted
    }

    /// Whether a grant of an access was taken back.
    pub fn cover(&self, access: &str, grant: &Grant, now: u64) -> bool {
        self.name_one(access, What::naming(grant), now) || self.is_too_old(access, grant.issued_at, now)
    }

    /// Whether one of the names, or a moment of issue, was taken back.
    pub(super) fn cover_names(&self, access: &str, (names, issued_at): (&[What], u64), now: u64) -> bool {
        self.name_one(access, names.iter().copied(), now) || self.is_too_old(access, issued_at, now)
    }

    /// Whether nothing was said since that counts for longer.
    pub(super) fn is_last_word(&self, one: &Revocation) -> bool {
        match one.what {
            What::IssuedBefore(_) => true,
            named => {
                let until = self.table.load().until(self.print(&one.access, named));
                until.is_none_or(|until| until <= seconds(one.until))
            }
        }
    }

    fn name_one(&self, access: &str, names: impl Iterator<Item = What>, now: u64) -> bool {
        let (table, now) = (self.table.load(), seconds(now));
        let mut names = names;
        names.any(|name| table.until(self.print(access, name)).is_some_and(|until| until > now))
    }

    fn is_too_old(&self, access: &str, issued_at: u64, now: u64) -> bool {
        let moments = self.moments.load();
        if moments.is_empty() {
            return false;
        }
        let access = self.hasher.hash_one(access);
        moments.iter().any(|moment| moment.access == access && issued_at < moment.before && now < moment.until)
    }

    /// Never 0, which says that a place is free.
    fn print(&self, access: &str, what: What) -> u64 {
        self.hasher.hash_one((access, what)).max(1)
    }

    /// A number that changes with every revocation.
    pub(super) fn changes(&self) -> u64 {
        fence(SeqCst);
        self.changes.load(Relaxed)
    }

    /// How many are kept that counted when they were last looked at.
    pub fn count(&self) -> usize {
        self.writer.lock().counting + self.moments.load().len()
    }

    /// How many had to go before their time.
    pub fn pushed_out(&self) -> u64 {
        self.writer.lock().pushed_out
    }

    /// What it takes, in octets.
    pub fn octets(&self) -> usize {
        let lined_up = self.writer.lock().first.capacity() * size_of::<(u32, u32)>();
        self.table.load().prints.len() * (size_of::<u64>() + size_of::<u32>())
            + self.moments.load().capacity() * size_of::<Moment>()
            + lined_up
    }
}

/// Seconds as they are kept: until the year 2106.
fn seconds(moment: u64) -> u32 {
    u32::try_from(moment).unwrap_or(u32::MAX)
}

impl Writer {
    fn note(&mut self, shared: &ArcSwap<Table>, (print, until): (u64, u32), now: u32) -> Noted {
        if (self.used + 1) * 4 > shared.load().prints.len() * 3 {
            self.build_anew(shared, now);
        }
        let table = shared.load();
        let (found, free) = table.place(print, now);
        if let Some(place) = found {
            let before = table.untils[place].load(Relaxed);
            if before > now {
                table.untils[place].store(until.max(before), Relaxed);
                self.line_up(until, place);
                return if until > before { Noted::Longer } else { Noted::Known };
            }
        }
        let place = found.unwrap_or(free);
        let is_fresh = table.prints[place].load(Relaxed) == 0;
        // A place whose time is over may still be counted.
        if table.untils[place].load(Relaxed) == 0 {
            if self.counting >= self.most {
                self.make_room(&table, now);
            }
            self.counting += 1;
        }
        self.used += usize::from(is_fresh);
        // Whoever looks meanwhile finds the old print or an until of 0, never the old until under the new print.
        table.untils[place].store(0, Relaxed);
        fence(SeqCst);
        table.prints[place].store(print, Relaxed);
        fence(SeqCst);
        table.untils[place].store(until, Release);
        self.line_up(until, place);
        Noted::New
    }

    /// An entry that is there from now on may be among those that go first.
    fn line_up(&mut self, until: u32, place: usize) {
        if self.first.back().is_some_and(|(last, _)| until < *last) {
            let at = self.first.partition_point(|(other, _)| *other <= until);
            self.first.insert(at, (until, u32::try_from(place).expect("a table is smaller")));
        }
    }

    /// Lets go of what counts no longer, else of the entry that would end first.
    fn make_room(&mut self, table: &Table, now: u32) {
        loop {
            let Some((until, place)) = self.first.pop_front() else {
                self.look_for_first(table, now);
                if self.counting < self.most {
                    return;
                }
                continue;
            };
            let place = &table.untils[place as usize];
            if place.load(Relaxed) == until {
                place.store(0, Relaxed);
                self.counting -= 1;
                self.pushed_out += u64::from(until > now);
                if self.counting < self.most {
                    return;
                }
            }
        }
    }

    fn look_for_first(&mut self, table: &Table, now: u32) {
        let mut all = Vec::with_capacity(self.counting);
        for (place, until) in table.untils.iter().enumerate() {
            match until.load(Relaxed) {
                0 => {}
                over if over <= now => {
                    until.store(0, Relaxed);
                    self.counting -= 1;
                }
                counts => all.push((counts, u32::try_from(place).expect("a table is smaller"))),
            }
        }
        let most = (all.len() / LINED_UP).max(1);
        if all.len() > most {
            all.select_nth_unstable(most);
            all.truncate(most);
        }
        all.sort_unstable();
        self.first = all.into();
    }

    /// A table of what counts, with room for as much again.
    fn build_anew(&mut self, shared: &ArcSwap<Table>, now: u32) {
        let old = shared.load();
        let counts = old.untils.iter().filter(|until| until.load(Relaxed) > now).count();
        let places = (counts + 1).saturating_mul(2).next_power_of_two().max(SMALLEST);
        let new = Table::of(places);
        for (print, until) in old.prints.iter().zip(&old.untils) {
            let (print, until) = (print.load(Relaxed), until.load(Relaxed));
            if until > now {
                let (_, free) = new.place(print, 0);
                new.prints[free].store(print, Relaxed);
                new.untils[free].store(until, Relaxed);
            }
        }
        self.used = counts;
        self.counting = counts;
        self.first.clear();
        drop(old);
        shared.store(Arc::new(new));
    }
}

impl Table {
    /// `places` is a power of two.
    fn of(places: usize) -> Self {
        Self {
            prints: (0..places).map(|_| AtomicU64::new(0)).collect(),
            untils: (0..places).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn until(&self, print: u64) -> Option<u32> {
        let mask = self.prints.len() - 1;
        let mut place = print as usize & mask;
        loop {
            match self.prints[place].load(Acquire) {
                0 => return None,
                here if here == print => {
                    let until = self.untils[place].load(Acquire);
                    // The place may have gone to another print between the two looks: then the until is that one's.
                    if self.prints[place].load(Relaxed) == print {
                        return Some(until).filter(|until| *until != 0);
                    }
                }
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Where a print stands, if it does, and the first place on its way that it may have.
    fn place(&self, print: u64, now: u32) -> (Option<usize>, usize) {
        let mask = self.prints.len() - 1;
        let mut place = print as usize & mask;
        let mut free = None;
        loop {
            match self.prints[place].load(Relaxed) {
                0 => return (None, free.unwrap_or(place)),
                here if here == print => return (Some(place), place),
                _ if free.is_none() && self.untils[place].load(Relaxed) <= now => free = Some(place),
                _ => {}
            }
            place = (place + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests;
