//! What was asked of the origin: a count per URL and an ordered log, both bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// One request. Status and bytes are those sent so far; status 0 is a request not yet answered, or given up before it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Number of the request since the start of the origin, from 0.
    pub seq: u64,
    /// Unix milliseconds of arrival.
    pub time_ms: u64,
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Query without the question mark; empty if there is none.
    pub query: String,
    /// HTTP version, such as `HTTP/2.0`.
    pub version: String,
    /// Status sent.
    pub status: u16,
    /// Body bytes handed to the connection.
    pub bytes: u64,
    /// The body was handed over to its end.
    pub complete: bool,
    /// `User-Agent`.
    pub user_agent: String,
    /// `X-Forwarded-For`.
    pub x_forwarded_for: String,
}

/// Counts and log of an origin.
#[derive(Debug)]
pub struct Stats {
    inner: Mutex<Inner>,
    log_limit: usize,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    since_reset: u64,
    counts: HashMap<String, u64>,
    log: VecDeque<Entry>,
}

/// Where requests are counted once as many distinct URLs as the bound are known.
pub const OTHER: &str = "(other)";
const MAX_URLS: usize = 200_000;

impl Stats {
    /// Keeps at most `log_limit` log entries, the newest.
    pub fn new(log_limit: usize) -> Self {
        Self { inner: Mutex::default(), log_limit, changes: watch::Sender::new(()) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and logs it; `entry.seq` is given here and returned.
    pub fn arrived(&self, mut entry: Entry) -> u64 {
        let url = if entry.query.is_empty() { entry.path.clone() } else { format!("{}?{}", entry.path, entry.query) };
        let mut inner = self.inner();
        entry.seq = inner.next;
        inner.next += 1;
        inner.since_reset += 1;
        let known = inner.counts.contains_key(&url) || inner.counts.len() < MAX_URLS;
        *inner.counts.entry(if known { url } else { OTHER.to_owned() }).or_default() += 1;
        if inner.log.len() >= self.log_limit {
            inner.log.pop_front();
        }
        let seq = entry.seq;
        if self.log_limit > 0 {
            inner.log.push_back(entry);
        }
        drop(inner);
        self.changes.send_replace(());
        seq
    }

    /// Changes the log entry of request `seq`, if it is still kept.
    pub fn amend(&self, seq: u64, change: impl FnOnce(&mut Entry)) {
        let mut inner = self.inner();
        let Some(first) = inner.log.front().map(|entry| entry.seq) else {
            return;
        };
        let index = seq.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| inner.log.get_mut(index)) {
            change(entry);
        }
        drop(inner);
        self.changes.send_replace(());
    }

    /// Returns once `condition` holds: at once, or after the request or the end of a body that makes it so.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        // The sender is `self`, so that the wait ends by the condition being met.
        let _ = self.changes.subscribe().wait_for(|()| condition(self)).await;
    }

    /// Requests for `url` since the last reset: of exactly that path and query if it has a query, else of the path with any query.
    pub fn requests_for(&self, url: &str) -> u64 {
        let inner = self.inner();
        if url.contains('?') {
            return inner.counts.get(url).copied().unwrap_or(0);
        }
        inner.counts.iter().filter(|(key, _)| key.split('?').next() == Some(url)).map(|(_, count)| count).sum()
    }

    /// Requests since the last reset.
    pub fn total(&self) -> u64 {
        self.inner().since_reset
    }

    /// Requests per URL (path and query) since the last reset.
    pub fn counts(&self) -> HashMap<String, u64> {
        self.inner().counts.clone()
    }

    /// The log from request `since` on.
    pub fn log(&self, since: u64) -> Vec<Entry> {
        self.inner().log.iter().filter(|entry| entry.seq >= since).cloned().collect()
    }

    /// Forgets counts and log; requests keep being numbered on.
    pub fn reset(&self) {
        let mut inner = self.inner();
        inner.counts.clear();
        inner.log.clear();
        inner.since_reset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, query: &str) -> Entry {
        Entry { path: path.to_owned(), query: query.to_owned(), ..Entry::default() }
    }

    #[test]
    fn counts_are_per_url_and_the_log_forgets_the_oldest() {
        let stats = Stats::new(2);
        for query in ["a=1", "a=2", "a=2"] {
            stats.arrived(request("/x", query));
        }
        assert_eq!([stats.requests_for("/x"), stats.requests_for("/x?a=2"), stats.requests_for("/")], [3, 2, 0]);
        stats.amend(0, |_| panic!("forgotten"));
        stats.amend(2, |entry| entry.status = 200);
        assert_eq!(stats.log(0).iter().map(|entry| (entry.seq, entry.status)).collect::<Vec<_>>(), [(1, 0), (2, 200)]);
        stats.reset();
        assert_eq!((stats.total(), stats.log(0).len()), (0, 0));
        assert_eq!(stats.arrived(request("/x", "")), 3);
    }
}
