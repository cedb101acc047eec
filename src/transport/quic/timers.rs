//! When connections want to be called. Each has one entry at most: a deadline that comes nearer moves it at once, one
//! that goes away lets it fire early, because most deadlines of QUIC are put off with every packet.

use std::collections::BTreeSet;

use crate::clock::Tick;

/// The deadlines of one worker's connections, by key.
#[derive(Default)]
pub(super) struct Timers(BTreeSet<(Tick, usize)>);

impl Timers {
    /// `key` wants to be called at `due`; `armed` is where its entry stands now.
    pub(super) fn set(&mut self, key: usize, armed: &mut Option<Tick>, due: Tick) {
        if let Some(earlier) = *armed {
            if earlier <= due {
                return;
            }
            self.0.remove(&(earlier, key));
        }
        self.0.insert((due, key));
        *armed = Some(due);
    }

    /// Removes the entry of a connection that has gone.
    pub(super) fn remove(&mut self, key: usize, armed: Option<Tick>) {
        if let Some(due) = armed {
            self.0.remove(&(due, key));
        }
    }

    /// Takes an entry whose time has come; its owner is no longer armed.
    pub(super) fn take_due(&mut self, now: Tick) -> Option<usize> {
        let (due, key) = *self.0.first()?;
        if due > now {
            return None;
        }
        self.0.pop_first();
        Some(key)
    }

    /// The nearest entry.
    pub(super) fn next(&self) -> Option<Tick> {
        self.0.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_has_one_entry_which_moves_only_nearer() {
        let at = |seconds| Tick::at(Duration::from_secs(seconds));
        let mut timers = Timers::default();
        let mut armed = None;
        timers.set(7, &mut armed, at(30));
        timers.set(7, &mut armed, at(2));
        timers.set(7, &mut armed, at(9));
        assert_eq!((timers.next(), armed, timers.0.len()), (Some(at(2)), Some(at(2)), 1));
        assert_eq!(timers.take_due(at(1)), None);
        assert_eq!(timers.take_due(at(2)), Some(7));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_connection_that_has_gone_leaves_no_entry() {
        let mut timers = Timers::default();
        let mut armed = None;
        timers.set(1, &mut armed, Tick::default());
        timers.remove(1, armed);
        assert_eq!(timers.next(), None);
    }
}
