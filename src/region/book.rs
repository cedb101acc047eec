//! All revocations in force that this node knows, in the order in which it came to know them, so that a node that comes, or
//! that was away for long, can be told. The table that requests are judged by cannot be read backwards: it holds prints.
//!
//! An entry takes 32 octets. Those whose time is over leave when there is need of room; beyond the bound those leave that
//! would end first.

use std::sync::Arc;

use crate::rules::session::{Revocation, What};

/// Room for this many is there from the start.
const FIRST: usize = 64;

/// Entries of other processes' places: a place begins with the number of the times that the book was written anew.
const EDITION_SHIFT: u32 = 40;

/// The book.
pub(super) struct Book {
    entries: Vec<Entry>,
    accesses: Vec<Arc<str>>,
    most: usize,
    /// When it is next looked through for what is over.
    review_at: usize,
    edition: u64,
    dropped: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    what: What,
    access: u16,
    at: u32,
    until: u32,
}

/// Part of the book.
pub(super) struct Piece {
    pub revocations: Vec<Revocation>,
    /// Where the next one begins.
    pub next: Option<u64>,
}

impl Book {
    /// An empty one, for so many.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { entries: Vec::new(), accesses: Vec::new(), most, review_at: FIRST.min(most), edition: 0, dropped: 0 }
    }

    /// Adds one that was not known, or not for as long.
    pub fn note(&mut self, revocation: &Revocation) {
        let Some(access) = self.access(&revocation.access) else {
            self.dropped += 1;
            return;
        };
        if self.entries.len() >= self.review_at {
            self.review(revocation.at);
        }
        let seconds = |moment: u64| u32::try_from(moment).unwrap_or(u32::MAX);
        let (at, until) = (seconds(revocation.at), seconds(revocation.until));
        self.entries.push(Entry { what: revocation.what, access, at, until });
    }

    /// A piece of at most so many, from a place on (0: the beginning); `None`: the book was written anew meanwhile.
    pub fn piece(&self, from: u64, most: usize, now: u64) -> Option<Piece> {
        let (edition, place) = (from >> EDITION_SHIFT, from & ((1 << EDITION_SHIFT) - 1));
        if from != 0 && edition != self.edition {
            return None;
        }
        let start = usize::try_from(place).ok().filter(|start| *start <= self.entries.len())?;
        let end = self.entries.len().min(start + most);
        let counts = |entry: &&Entry| u64::from(entry.until) > now;
        let revocations = self.entries[start..end].iter().filter(counts).map(|entry| self.revocation(entry)).collect();
        let next = (end < self.entries.len()).then_some(self.edition << EDITION_SHIFT | end as u64);
        Some(Piece { revocations, next })
    }

    /// How many there are, and how many found no place.
    pub fn count(&self) -> (usize, u64) {
        (self.entries.len(), self.dropped)
    }

    fn revocation(&self, entry: &Entry) -> Revocation {
        let access = self.accesses[usize::from(entry.access)].as_ref().into();
        Revocation { access, what: entry.what, at: entry.at.into(), until: entry.until.into() }
    }

    /// Access names come from configurations: there are few.
    fn access(&mut self, name: &str) -> Option<u16> {
        let known = self.accesses.iter().position(|known| **known == *name);
        let place = known.unwrap_or(self.accesses.len());
        if known.is_none() && place < usize::from(u16::MAX) {
            self.accesses.push(name.into());
        }
        u16::try_from(place).ok()
    }

    /// Lets go of what is over, and of what would end first where that is not enough. Afterwards there is room for half as
    /// many again, so that this is seldom.
    fn review(&mut self, now: u64) {
        self.entries.retain(|entry| u64::from(entry.until) > now);
        if self.entries.len() >= self.most {
            let surplus = self.entries.len() - self.most + (self.most / 16).max(1);
            let surplus = surplus.min(self.entries.len());
            let mut untils: Vec<_> = self.entries.iter().map(|entry| entry.until).collect();
            let (_, last, _) = untils.select_nth_unstable(surplus - 1);
            let (last, mut left) = (*last, surplus);
            self.entries.retain(|entry| {
                let goes = entry.until <= last && left > 0;
                left -= usize::from(goes);
                !goes
            });
            self.dropped += (surplus - left) as u64;
        }
        self.review_at = (self.entries.len() * 3 / 2).max(FIRST).min(self.most);
        self.edition += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(number: u64, until: u64) -> Revocation {
        let access = if number.is_multiple_of(2) { "even" } else { "odd" };
        Revocation { access: access.into(), what: What::Subject(number), at: 100, until }
    }

    /// Everything, piece by piece.
    fn all(book: &Book, now: u64) -> Vec<Revocation> {
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(place) = from {
            let piece = book.piece(place, 10, now).expect("nobody writes meanwhile");
            all.extend(piece.revocations);
            from = piece.next;
        }
        all
    }

    #[test]
    fn what_counts_is_read_again_piece_by_piece() {
        let mut book = Book::new(1_000);
        let noted: Vec<_> = (0..57).map(|number| revocation(number, 1_000 + number)).collect();
        noted.iter().for_each(|one| book.note(one));
        assert_eq!(all(&book, 200), noted);
        assert_eq!(all(&book, 1_050), noted[51..]);
        assert!(all(&Book::new(10), 0).is_empty());
    }

    #[test]
    fn a_reader_is_told_that_the_book_was_written_anew() {
        let mut book = Book::new(1_000);
        (0..60).for_each(|number| book.note(&revocation(number, 1_000)));
        let place = book.piece(0, 10, 200).unwrap().next.unwrap();
        assert!(book.piece(place, 10, 200).is_some());
        (60..70).for_each(|number| book.note(&revocation(number, 1_000)));
        assert!(book.piece(place, 10, 200).is_none());
        assert!(book.piece(u64::MAX, 10, 200).is_none());
    }

    #[test]
    fn beyond_the_bound_those_go_that_would_end_first() {
        let mut book = Book::new(100);
        (0..100).for_each(|number| book.note(&revocation(number, 5_000 - number)));
        book.note(&revocation(200, 9_000));
        let (count, dropped) = book.count();
        assert!(count <= 100 && dropped > 0, "{count} {dropped}");
        let left = all(&book, 200);
        assert!(left.contains(&revocation(200, 9_000)) && left.contains(&revocation(0, 5_000)));
        assert!(!left.contains(&revocation(99, 4_901)), "it would have ended first");
    }

    #[test]
    fn what_is_over_leaves_room() {
        let mut book = Book::new(100);
        (0..100).for_each(|number| book.note(&revocation(number, 150)));
        for number in 0..1_000 {
            let later = Revocation { at: 200 + number, until: 201 + number, ..revocation(number, 0) };
            book.note(&later);
        }
        let (count, dropped) = book.count();
        assert!(count <= 100 && dropped == 0, "{count} {dropped}");
    }

    #[test]
    fn a_million_take_less_than_a_table_of_them_may() {
        assert!(size_of::<Entry>() <= 32, "{}", size_of::<Entry>());
        let mut book = Book::new(1_000_000);
        (0..1_000_000).for_each(|number| book.note(&revocation(number, 1_000)));
        assert!(book.entries.capacity() * size_of::<Entry>() < 64 << 20);
    }
}
