//! Stories told from what is kept. Whatever was told to the node before the question is in the answer: the rings are
//! emptied first.
//!
//! What one question may read and bring is bounded; where the bound bites, the answer says so.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::journal::log::{Ends, Numbered, Record, Wanted};
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Entry, Event, Lost};
use crate::rules::timeline::story::{Story, Told, story};

use super::index::{Known, Query};
use super::{Stories, entry_of, millis};

/// Entries of one session that a story is told from: the first and the last ones.
const MOST_ENTRIES: usize = 50_000;
/// Entries that one question about several sessions is answered from.
const MOST_OF_ALL: usize = 200_000;
/// Octets of the log that are read at once: between two such reads others have their turn.
const AT_ONCE: usize = 1 << 20;
/// Sessions that one question is answered from.
const MOST_SESSIONS: usize = 200;
/// What happened to others this much earlier or later counts as at the same time.
const AROUND_MS: u64 = 60_000;
/// How long whoever asks waits for a disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often is looked for what is kept for longer than its route says.
const EXPIRY: Duration = Duration::from_secs(600);

/// For how long entries of routes are kept, in milliseconds, where that is shorter than for all.
pub(super) type Retention = HashMap<Arc<str>, u64>;

/// Stories of several sessions.
pub struct Several {
    /// The stories, in the order of the question.
    pub stories: Vec<Story>,
    /// Whether all that was asked for is in them.
    pub complete: bool,
}

/// Who else had the same.
pub struct Others {
    /// Their stories, the latest first.
    pub alike: Vec<Story>,
    /// How many stories were told to find them.
    pub examined: usize,
    /// Whether all that could be alike were.
    pub complete: bool,
}

/// Whether an entry is kept for longer than its route says.
fn is_over(retention: &Retention, entry: &Entry, now: u64) -> bool {
    let keep = entry.route.as_ref().and_then(|route| retention.get(route));
    keep.is_some_and(|keep| entry.at.saturating_add(*keep) < now)
}

impl Stories {
    /// From now on as a configuration says.
    pub fn configure(&self, config: &Config) {
        self.index.lock().set_bound(config.qoe.sessions);
        let kept = config.routes.iter().filter_map(|route| {
            let keep = u64::try_from(route.retention?.as_millis()).unwrap_or(u64::MAX);
            Some((route.name.as_str().into(), keep))
        });
        *self.retention.lock() = kept.collect();
    }

    /// Hands over all that was told until now, and waits for a moment until it can be read. Where the disk does not take
    /// it, stories are told of what there is.
    pub async fn settle(&self) {
        self.keep_with(self.folds.take(), Vec::new());
        tokio::select! {
            _ = self.log.flush() => {}
            () = self.clock.sleep(PATIENCE) => {}
        }
    }

    /// What was written down of a session, and of the node in its time.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn told(&self, session: SessionId) -> io::Result<Vec<Told>> {
        self.settle().await;
        let from = self.index.lock().first(session).unwrap_or(1);
        let kept = self.log.of_sessions(&[session], Wanted::all(from, MOST_ENTRIES)).await?;
        Ok(kept.get(&session).map(|ends| self.with_changes(self.read_all(ends))).unwrap_or_default())
    }

    /// The story of a session as this node knows it; `None`: nothing is kept of it.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn story(&self, session: SessionId) -> io::Result<Option<Story>> {
        Ok(story(session, &self.told(session).await?))
    }

    /// The stories of several sessions, by one look at the log.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn stories(&self, found: &[(SessionId, Known)]) -> io::Result<Several> {
        self.of_time(found, 0..=u64::MAX).await
    }

    /// The stories of several sessions, as far as they are of a time, in milliseconds since the epoch.
    async fn of_time(&self, found: &[(SessionId, Known)], times: RangeInclusive<u64>) -> io::Result<Several> {
        self.settle().await;
        let sessions: Vec<_> = found.iter().map(|(id, _)| *id).collect();
        let from = found.iter().map(|(_, known)| known.first).min().unwrap_or(u64::MAX);
        let most = (MOST_OF_ALL / sessions.len().max(1)).min(MOST_ENTRIES);
        let kept = self.log.of_sessions(&sessions, Wanted { from, times, most }).await?;
        let mut several = Several { stories: Vec::new(), complete: true };
        for (id, ends) in sessions.iter().filter_map(|id| Some((*id, kept.get(id)?))) {
            several.complete &= ends.left_out == 0;
            several.stories.extend(story(id, &self.with_changes(self.read_all(ends))));
            tokio::task::yield_now().await;
        }
        Ok(several)
    }

    /// Who else was hurt at the same time for the same cause.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn others(&self, of: &Story) -> io::Result<Others> {
        let (since, until) = of.hurt();
        let (since, until) = (since.saturating_sub(AROUND_MS), until.saturating_add(AROUND_MS));
        let query = Query { cause: Some(of.cause), since: Some(since), until: Some(until), ..Query::default() };
        let (mut found, number) = self.index.lock().find(&query, MOST_SESSIONS);
        found.retain(|(id, _)| *id != of.session);
        let examined = found.len();
        let Several { mut stories, complete } = self.of_time(&found, since..=until).await?;
        stories.retain(|story| story.cause == of.cause);
        Ok(Others { alike: stories, examined, complete: complete && number <= MOST_SESSIONS })
    }

    /// Sessions of these subjects, each with its access, that are in the log, whether the index knows them or not: at most
    /// so many.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub async fn of_subjects(&self, subjects: &[(Arc<str>, Box<str>)], most: usize) -> io::Result<Vec<SessionId>> {
        let of = |line: &[u8]| {
            let is_named = subjects.iter().any(|(_, print)| memchr::memmem::find(line, print.as_bytes()).is_some());
            let Entry { session, event: Event::Began(began), .. } = is_named.then(|| entry_of(line))?? else {
                return None;
            };
            let is = |(access, print): &(Arc<str>, Box<str>)| {
                began.access.as_ref() == Some(access) && began.subject.as_ref() == Some(print)
            };
            session.filter(|_| subjects.iter().any(is))
        };
        let (mut found, mut from) = (BTreeSet::new(), 1);
        while found.len() < most {
            let records = self.log.read(from, AT_ONCE).await?;
            let Some(last) = records.last() else { break };
            from = last.number + 1;
            found.extend(records.iter().filter_map(|record| of(&record.record.line)));
            tokio::task::yield_now().await;
        }
        Ok(found.into_iter().take(most).collect())
    }

    /// Takes all that is kept of a session out of the log, for good. How many entries it was.
    ///
    /// # Errors
    /// Where the log cannot be written anew: some of them may still be there.
    pub async fn erase(&self, session: SessionId) -> io::Result<u64> {
        self.settle().await;
        let gone = self.log.erase(session).await?;
        self.index.lock().erase(session);
        self.live.lock().forget(session);
        Ok(gone)
    }

    /// Finds again what an earlier process kept. Completes when all of it was looked at.
    pub async fn remember(self: Arc<Self>) {
        let figures = self.log.figures();
        let mut from = figures.first;
        while from < figures.next {
            let records = match self.log.read(from, AT_ONCE).await {
                Ok(records) => records,
                Err(error) => {
                    tracing::warn!(%error, "sessions of an earlier process are found by their identifier only");
                    return;
                }
            };
            let Some(last) = records.last() else { return };
            from = last.number + 1;
            let entries: Vec<_> =
                records.iter().filter_map(|record| Some((self.read(record)?, record.number))).collect();
            {
                let mut index = self.index.lock();
                entries.iter().for_each(|(told, number)| index.note(&told.entry, *number));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Lets go of what is kept for longer than its route says, for as long as the node runs.
    pub async fn let_go(self: Arc<Self>) {
        loop {
            self.clock.sleep(EXPIRY).await;
            let retention = self.retention.lock().clone();
            if retention.is_empty() {
                continue;
            }
            let now = millis(self.clock.wall());
            let is_over =
                move |record: &Record| entry_of(&record.line).is_some_and(|entry| is_over(&retention, &entry, now));
            if let Err(error) = self.log.expire(is_over).await {
                tracing::warn!(%error, "what is kept for longer than its route says is still in the journal");
            }
        }
    }

    /// A record as it was told; `None`: a later version wrote it, or its route's is kept no longer.
    fn read(&self, record: &Numbered) -> Option<Told> {
        let entry = entry_of(&record.record.line)?;
        let is_over = is_over(&self.retention.lock(), &entry, millis(self.clock.wall()));
        (!is_over).then(|| Told { node: self.node.clone(), entry })
    }

    /// What was read of a session. What was not says how much it is.
    fn read_all(&self, ends: &Ends) -> Vec<Told> {
        let mut told: Vec<_> = ends.first.iter().filter_map(|record| self.read(record)).collect();
        let last = ends.last.iter().filter_map(|record| self.read(record));
        if let Some(before) = ends.first.last().filter(|_| ends.left_out > 0) {
            let event = Event::Lost(Lost { reason: Lost::LEFT_OUT.into(), count: ends.left_out });
            let Record { session, at, .. } = before.record;
            let entry = Entry { at, session, route: None, stream: None, event };
            told.push(Told { node: self.node.clone(), entry });
        }
        told.extend(last);
        told
    }

    /// Adds what the node told of itself in the time of a session.
    fn with_changes(&self, mut told: Vec<Told>) -> Vec<Told> {
        let from = told.iter().map(|told| told.entry.at).min();
        let to = told.iter().map(|told| told.entry.at).max();
        if let (Some(from), Some(to)) = (from, to) {
            let streams: HashSet<_> = told.iter().filter_map(|told| told.entry.stream.clone()).collect();
            let is_theirs = |entry: &&Entry| {
                let is_of_stream = entry.stream.as_ref().is_some_and(|stream| streams.contains(stream));
                is_of_stream || !matches!(entry.event, Event::Fetch(_))
            };
            let index = self.index.lock();
            let changes = index.changes(from.saturating_sub(AROUND_MS), to.saturating_add(AROUND_MS));
            let changes = changes.filter(is_theirs);
            told.extend(changes.map(|entry| Told { node: self.node.clone(), entry: entry.clone() }));
        }
        told
    }
}
