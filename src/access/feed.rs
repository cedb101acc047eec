//! What the backends of accesses take back, asked for again and again: signed batches from a cursor on, so that none is
//! missed, however long a node or a backend was away.
//!
//! A round asks for what is behind the cursor, and again at once while there is more. Without a cursor (at the start) the
//! backend sends all that counts. Trouble ends nobody's session: what is in force stays so, the feed is asked for more and
//! more seldom, and its age is a metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::{Clock, Tick};
use crate::config::access::Access;
use crate::config::feed::Feed;
use crate::outbound::dial::Dial;
use crate::outbound::endpoint::{Endpoint, Proofs};
use crate::outbound::exchange::{Bounds, ExchangeError, exchange};
use crate::outbound::link::Driver;
use crate::outbound::tls::TlsSetupError;
use crate::rules::session::Revocation;
use crate::rules::session::batch::{BadBatch, Batch, LARGEST};
use crate::sessions::{Prints, Sessions, Source, what};
use crate::tasks::Tasks;

/// For one batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches of one round.
const BATCHES: usize = 1_000;
/// The interval grows by trouble up to this many times.
const SELDOM: u32 = 16;
/// Rounds that fail behind each other before somebody must look.
const ALARM: u64 = 3;

/// The feeds of all accesses.
pub struct Feeds {
    sessions: Arc<Sessions>,
    prints: Arc<dyn Prints>,
    clock: Clock,
    tasks: Tasks,
    followers: ArcSwap<Vec<Arc<Follower>>>,
}

/// One feed.
struct Follower {
    access: Box<str>,
    feed: Feed,
    /// For how long what is taken back stays so, where an entry does not say.
    revoked_for: Duration,
    dial: Dial,
    ended: CancellationToken,
    state: Mutex<State>,
    batches: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    cursor: Option<String>,
    etag: Option<HeaderValue>,
    failed: u64,
    last_good: Option<Tick>,
}

/// How a feed is.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its access.
    pub access: Box<str>,
    /// Batches that were taken.
    pub batches: u64,
    /// Rounds that failed.
    pub failures: u64,
    /// Since it was last known to be up to date; `None`: it never was.
    pub age: Option<Duration>,
    /// Whether somebody has to look at it.
    pub alarm: bool,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("the backend answers {0}")]
    Status(StatusCode),
    #[error("the batch is not taken: {0}")]
    Batch(#[from] BadBatch),
    #[error("its keys cannot be read: {0}")]
    Keys(String),
    #[error("the access is being set up")]
    Access,
    #[error("the cursor cannot stand in a URL")]
    Cursor,
}

impl Feeds {
    /// No feed yet.
    pub fn new(sessions: Arc<Sessions>, prints: Arc<dyn Prints>, (clock, tasks): (Clock, Tasks)) -> Self {
        Self { sessions, prints, clock, tasks, followers: ArcSwap::default() }
    }

    /// From now on these are followed. One that stays as it was goes on from where it is.
    ///
    /// # Errors
    /// Where TLS towards one cannot be set up; nothing has changed then.
    pub fn follow(self: &Arc<Self>, accesses: &[Access], revoked_for: Duration) -> Result<(), TlsSetupError> {
        let before = self.followers.load_full();
        let (mut followers, mut begun) = (Vec::new(), Vec::new());
        for (access, feed) in accesses.iter().filter_map(|access| Some((access, access.feed.as_ref()?))) {
            let revoked_for = revoked_for.max(access.session_life);
            let is_same = |old: &&Arc<Follower>| {
                *old.access == *access.name && old.feed == *feed && old.revoked_for == revoked_for
            };
            if let Some(old) = before.iter().find(is_same) {
                followers.push(old.clone());
                continue;
            }
            let follower = Arc::new(Follower::new(&access.name, feed, revoked_for)?);
            followers.push(follower.clone());
            begun.push(follower);
        }
        for follower in begun {
            self.tasks.spawn("feed", self.clone().keep(follower));
        }
        for old in before.iter().filter(|old| !followers.iter().any(|follower| Arc::ptr_eq(follower, old))) {
            old.ended.cancel();
        }
        self.followers.store(Arc::new(followers));
        Ok(())
    }

    /// Nothing is asked for any more.
    pub fn close(&self) {
        self.followers.load().iter().for_each(|follower| follower.ended.cancel());
    }

    /// How they are.
    pub fn figures(&self) -> Vec<Figures> {
        let now = self.clock.now();
        self.followers.load().iter().map(|follower| follower.figures(now)).collect()
    }

    async fn keep(self: Arc<Self>, follower: Arc<Follower>) {
        loop {
            let round = follower.ended.run_until_cancelled(self.round(&follower)).await;
            let Some(outcome) = round else { return };
            let pause = follower.came(&outcome, self.clock.now());
            let sleep = self.clock.sleep_until(self.clock.now() + pause);
            if follower.ended.run_until_cancelled(sleep).await.is_none() {
                return;
            }
        }
    }

    /// Takes what is behind the cursor, until there is no more.
    async fn round(&self, follower: &Follower) -> Result<(), Trouble> {
        for _ in 0..BATCHES {
            let (url, etag) = follower.next()?;
            let bounds = Bounds { deadline: self.clock.now() + PATIENCE, answer: LARGEST };
            let driver = Driver { clock: &self.clock, tasks: &self.tasks };
            let answered = exchange(&follower.dial, driver, request(url, etag), bounds).await?;
            match answered.status {
                StatusCode::OK => {}
                StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT => return Ok(()),
                other => return Err(Trouble::Status(other)),
            }
            let etag = answered.headers.get(ETAG).cloned();
            let batch = self.read(follower, answered.body).await?;
            self.take(follower, &batch)?;
            let has_moved = follower.go_on(&batch, etag);
            if !batch.has_more || !has_moved {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Verifies a batch where it holds nobody up: it may be large, and its keys are in a file.
    async fn read(&self, follower: &Follower, octets: Bytes) -> Result<Batch, Trouble> {
        let (keys, access) = (follower.feed.keys.clone(), follower.access.clone());
        let reading = self.tasks.spawn_blocking("feed", move || {
            let keys = keys.read(&[]).map_err(|(_, why)| Trouble::Keys(why.to_string()))?;
            Ok(Batch::read(&octets, &access, &keys)?)
        });
        reading.await.unwrap_or_else(|_| Err(Trouble::Keys("reading them panicked".to_owned())))
    }

    /// From here on all of it is in force. It is kept whether or not anybody waits for that; were it not, the next
    /// process asks from the beginning.
    fn take(&self, follower: &Follower, batch: &Batch) -> Result<(), Trouble> {
        let wall = self.clock.wall();
        let at = wall.since_epoch().as_secs();
        let default = at.saturating_add(follower.revoked_for.as_secs());
        let mut all = Vec::with_capacity(batch.entries.len());
        for (meant, until) in &batch.entries {
            let what = what(meant, &follower.access, &*self.prints).ok_or(Trouble::Access)?;
            all.push(Revocation { access: follower.access.clone(), what, at, until: until.unwrap_or(default) });
        }
        all.retain(|revocation| revocation.until > at);
        let revoked = self.sessions.revoke(&all, Source::Feed, wall);
        if revoked.known < all.len() {
            info!(access = %follower.access, entries = all.len(), ended = revoked.ended, "the feed took back");
        }
        Ok(())
    }
}

impl Follower {
    fn new(access: &str, feed: &Feed, revoked_for: Duration) -> Result<Self, TlsSetupError> {
        let tls = &feed.tls;
        let proofs = Proofs { ca: tls.ca.as_deref(), client: tls.client_files(), name: tls.sni.as_deref() };
        let Endpoint { dial, .. } = Endpoint::new(&feed.url, proofs)?;
        Ok(Self {
            access: access.into(),
            feed: feed.clone(),
            revoked_for,
            dial,
            ended: CancellationToken::new(),
            state: Mutex::default(),
            batches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// What is asked for next.
    fn next(&self) -> Result<(Uri, Option<HeaderValue>), Trouble> {
        let state = self.state.lock();
        let Some(cursor) = &state.cursor else { return Ok((self.feed.url.clone(), state.etag.clone())) };
        let mut parts = self.feed.url.clone().into_parts();
        let target = parts.path_and_query.as_ref().map_or("/", |target| target.as_str());
        let joint = if target.contains('?') { '&' } else { '?' };
        let cursor = percent_encoding::utf8_percent_encode(cursor, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("{target}{joint}cursor={cursor}");
        parts.path_and_query = Some(target.parse().map_err(|_| Trouble::Cursor)?);
        let url = Uri::from_parts(parts).map_err(|_| Trouble::Cursor)?;
        Ok((url, state.etag.clone()))
    }

    /// A batch was taken; whether the cursor has moved.
    fn go_on(&self, batch: &Batch, etag: Option<HeaderValue>) -> bool {
        self.batches.fetch_add(1, Relaxed);
        let mut state = self.state.lock();
        let has_moved = batch.cursor.is_some() && batch.cursor != state.cursor;
        if has_moved {
            state.cursor.clone_from(&batch.cursor);
        }
        // It tells an answer from another one to the same question alone.
        state.etag = etag.filter(|_| !has_moved);
        has_moved
    }

    /// A round has come to its end; how long until the next.
    fn came(&self, outcome: &Result<(), Trouble>, now: Tick) -> Duration {
        let mut state = self.state.lock();
        match outcome {
            Ok(()) => {
                if state.failed >= ALARM {
                    info!(access = %self.access, "the feed of revocations is up to date again");
                }
                state.failed = 0;
                state.last_good = Some(now);
                self.feed.interval
            }
            Err(why) => {
                self.failures.fetch_add(1, Relaxed);
                state.failed += 1;
                match state.failed {
                    1 => warn!(access = %self.access, %why, "the feed of revocations cannot be taken"),
                    ALARM => error!(access = %self.access, %why, "the feed of revocations is behind"),
                    _ => {}
                }
                let factor = u32::try_from(state.failed).map_or(SELDOM, |failed| 1 << failed.min(4));
                self.feed.interval * factor.min(SELDOM)
            }
        }
    }

    fn figures(&self, now: Tick) -> Figures {
        let state = self.state.lock();
        Figures {
            access: self.access.clone(),
            batches: self.batches.load(Relaxed),
            failures: self.failures.load(Relaxed),
            age: state.last_good.map(|at| now.since(at)),
            alarm: state.failed >= ALARM,
        }
    }
}

fn request(url: Uri, etag: Option<HeaderValue>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jose"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
    if let Some(etag) = etag {
        headers.insert(IF_NONE_MATCH, etag);
    }
    request
}
