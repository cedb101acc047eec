//! Reading many sessions at once: which, of what time, and how much of each. Where a session has more than is read of it,
//! its beginning and its end are; what is between them is counted.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

use crate::rules::session::SessionId;

use super::record::Numbered;

/// Of what is read of a session this share is its beginning: who it is, how it started.
const BEGINNING: usize = 8;

/// Records that are read of each session whatever their time: whoever tells of it must know who it is.
const ALWAYS: usize = 4;

/// What is read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// From this number on.
    pub from: u64,
    /// When the records came, in milliseconds since the epoch; the first few of a session are read in any case.
    pub times: RangeInclusive<u64>,
    /// So many records of each session.
    pub most: usize,
}

impl Wanted {
    /// All from a number on, up to so many records of each session.
    pub const fn all(from: u64, most: usize) -> Self {
        Self { from, times: 0..=u64::MAX, most }
    }
}

/// The beginning and the end of what was written of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Its first records.
    pub first: Vec<Numbered>,
    /// Its last records.
    pub last: VecDeque<Numbered>,
    /// Records of the wanted time that are between them.
    pub left_out: u64,
}

impl Ends {
    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Numbered> {
        self.first.iter().chain(&self.last)
    }

    fn push(&mut self, wanted: &Wanted, at: u64, record: impl FnOnce() -> Numbered) {
        let is_of_time = wanted.times.contains(&at);
        let beginning = (wanted.most / BEGINNING).max(ALWAYS);
        if self.first.len() < ALWAYS || is_of_time && self.last.is_empty() && self.first.len() < beginning {
            self.first.push(record());
        } else if is_of_time {
            self.last.push_back(record());
            if self.last.len() > wanted.most.saturating_sub(beginning).max(1) {
                self.last.pop_front();
                self.left_out += 1;
            }
        }
    }
}

/// What was found, by session.
#[derive(Debug)]
pub(super) struct Found<'w> {
    wanted: &'w Wanted,
    of: HashMap<SessionId, Ends>,
}

impl<'w> Found<'w> {
    pub fn new(sessions: &[SessionId], wanted: &'w Wanted) -> Self {
        Self { wanted, of: sessions.iter().map(|session| (*session, Ends::default())).collect() }
    }

    /// Whether a record of this session and number is asked for.
    pub fn asks_for(&self, session: Option<SessionId>, number: u64) -> bool {
        number >= self.wanted.from && session.is_some_and(|session| self.of.contains_key(&session))
    }

    /// A record that is asked for is there.
    pub fn take(&mut self, session: Option<SessionId>, at: u64, record: impl FnOnce() -> Numbered) {
        if let Some(ends) = session.and_then(|session| self.of.get_mut(&session)) {
            ends.push(self.wanted, at, record);
        }
    }

    pub fn done(self) -> HashMap<SessionId, Ends> {
        self.of
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::journal::log::{Class, Record};

    fn found(wanted: &Wanted, count: u64) -> (Vec<u64>, u64) {
        let session = SessionId([1; 12]);
        let mut found = Found::new(&[session], wanted);
        for number in (1..=count).filter(|number| found.asks_for(Some(session), *number)).collect::<Vec<_>>() {
            let line = Bytes::new();
            let record = || Record { session: Some(session), at: number, class: Class::Lasting, line };
            found.take(Some(session), number, || Numbered { number, record: record() });
        }
        let ends = found.done().remove(&session).unwrap();
        (ends.iter().map(|record| record.number).collect(), ends.left_out)
    }

    #[test]
    fn of_too_many_records_the_first_and_the_last_are_read_and_the_rest_is_counted() {
        assert_eq!(found(&Wanted::all(1, 16), 16), ((1..=16).collect(), 0));
        assert_eq!(found(&Wanted::all(1, 16), 100), ((1..=4).chain(89..=100).collect(), 84));
        assert_eq!(found(&Wanted::all(90, 80), 100), ((90..=100).collect(), 0));
        let of_time = Wanted { times: 50..=60, ..Wanted::all(1, 80) };
        assert_eq!(found(&of_time, 100), ((1..=4).chain(50..=60).collect(), 0));
    }

    #[test]
    fn others_are_not_read() {
        let wanted = Wanted::all(5, 8);
        let found = Found::new(&[SessionId([1; 12])], &wanted);
        assert!(!found.asks_for(Some(SessionId([2; 12])), 5) && !found.asks_for(None, 5));
        assert!(!found.asks_for(Some(SessionId([1; 12])), 4) && found.asks_for(Some(SessionId([1; 12])), 5));
    }
}
