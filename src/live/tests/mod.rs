//! Followers against an origin that answers when the test says so. The clock is moved by hand: while the test waits for
//! the origin to be asked, in small steps.

mod failures;
mod following;
mod kinds;
mod streams;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cache::{Bells, Cache, CacheConfig};
use crate::clock::{Clock, Tick, WallTime};
use crate::config::{self, HostHeader, Keys, Limits, LiveMode, OriginScheme, OriginTls, Playlists, Route};
use crate::origin::Origins;
use crate::origin::supply::Supply;
use crate::rules::caching::negative::Errors;
use crate::rules::hls::reload::{Reload, Wanted};
use crate::rules::hls::{Position, Published};
use crate::tasks::Tasks;

use super::figures::{Notice, Why};
use super::parking::Want;
use super::playlist::Playlist;
use super::state::{Failure, State};
use super::{Asked, Live, LiveConfig, Refused, Rules};

const SECOND: Duration = Duration::from_secs(1);

/// A live edge, its origin, and the clock of both.
struct Stage {
    live: Arc<Live>,
    clock: Clock,
    rules: Rules,
    requests: mpsc::UnboundedReceiver<Got>,
    /// Requests that came, and the most at once.
    count: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// A request that the origin got.
struct Got {
    target: String,
    headers: HeaderMap,
    /// When it came.
    at: Tick,
    reply: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Got {
    fn say(self, status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) {
        let response = Response::builder().status(status);
        let response = fields.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        // A follower that has ended does not listen.
        _ = self.reply.send(response.body(Full::new(body.into())).unwrap());
    }

    fn playlist(self, text: impl Into<Bytes>) {
        self.say(200, &[], text);
    }
}

impl Stage {
    async fn new() -> Self {
        Self::with(LiveConfig { followers: 10, held: 1_000, grace: 30 * SECOND, names: 1_000 }).await
    }

    async fn with(config: LiveConfig) -> Self {
        let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000_000)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = origin_at(listener.local_addr().unwrap().port());
        let (give, requests) = mpsc::unbounded_channel();
        let (count, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = Tasks::current();
        tasks.spawn("origin", accept(listener, (clock.clone(), give), (count.clone(), most.clone())));
        let origins = Origins::new(std::slice::from_ref(&origin), &Limits::default(), clock.clone()).unwrap();
        let bells = Bells::new(1);
        let bounds = CacheConfig {
            memory: 1 << 24,
            max_object: 1 << 20,
            fills_per_group: 100,
            fill_readers: 100,
            live_reserve: SECOND,
            apart: Duration::from_secs(10),
        };
        let cache = Arc::new(Cache::new(bounds, bells.clone(), clock.clone()));
        let live = Live::new(config, cache, Arc::new(origins), bells, (clock.clone(), vec![tasks]));
        let rules = Rules {
            route: "live".into(),
            supply: Arc::new(Supply::new(&route(), &[&origin])),
            playlists: Playlists::Auto,
            keys: Keys::NoStore,
            references: Default::default(),
            query_keep: Vec::new(),
            stale_playlist_for: 3,
            failover_after: 1,
            failback: config::Failback::Auto,
            errors: Errors::default(),
        };
        Self { live, clock, rules, requests, count, most }
    }

    fn asked(&self, target: &str) -> Asked {
        let located = self.rules.supply.locate(target, None).unwrap();
        Asked {
            key: located.key,
            target: target.into(),
            upstream: located.upstream,
            fields: HeaderMap::new(),
            viewer_authority: None,
            rules: Arc::new(self.rules.clone()),
        }
    }

    fn open(&self, target: &str) -> Arc<Playlist> {
        self.live.open(&self.asked(target)).unwrap()
    }

    /// The next request; meanwhile time passes.
    async fn got(&mut self) -> Got {
        for _ in 0..200_000 {
            if let Ok(got) = self.requests.try_recv() {
                return got;
            }
            self.pass(Duration::from_millis(1)).await;
        }
        panic!("the origin is not asked");
    }

    /// Lets time pass, and whoever waited for it act.
    async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        // More than a runtime runs tasks for before it looks at its sockets.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass until something is true.
    async fn until(&self, is_true: impl Fn() -> bool) {
        for _ in 0..200_000 {
            if is_true() {
                return;
            }
            self.pass(Duration::from_millis(1)).await;
        }
        panic!("it does not come true");
    }

    /// Opens a playlist and answers the request for it.
    async fn begin(&mut self, target: &str, text: impl Into<Bytes>) -> Arc<Playlist> {
        let playlist = self.open(target);
        let first = waiting(&playlist, Want::First);
        self.got().await.playlist(text);
        first.await.unwrap();
        playlist
    }

    fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn noticed(&self, notice: Notice) -> u64 {
        self.live.figures.tally.noticed(notice)
    }
}

/// A viewer who waits, as viewers do: it takes a place, and looks once more.
fn waiting(playlist: &Arc<Playlist>, want: Want) -> JoinHandle<Arc<State>> {
    let parked = playlist.parking.park(want).unwrap();
    let state = playlist.state();
    let is_there = match (&*state, want) {
        (State::Asked, _) => false,
        (State::Media(edition), Want::Reload(wanted)) => {
            edition.published.frontier.judge_waiting(wanted) == Reload::Now
        }
        _ => true,
    };
    Tasks::current().spawn("viewer", async move { if is_there { state } else { parked.released().await } })
}

fn part(msn: u64, part: u64) -> Want {
    Want::Reload(Wanted::Part(Position::new(msn, part)))
}

fn published(state: &State) -> Arc<Published> {
    match state {
        State::Media(edition) => edition.published.clone(),
        State::Asked | State::Multivariant(_) | State::PerViewer | State::Failed(_) => panic!("no media playlist"),
    }
}

fn next(playlist: &Playlist) -> Position {
    published(&playlist.state()).frontier.next
}

async fn accept(
    listener: TcpListener,
    (clock, give): (Clock, mpsc::UnboundedSender<Got>),
    counters: (Arc<AtomicUsize>, Arc<AtomicUsize>),
) {
    let now = Arc::new(AtomicUsize::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        let (clock, give, counters, now) = (clock.clone(), give.clone(), counters.clone(), now.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (reply, replied) = oneshot::channel();
            let mut outstanding = None;
            // There are no media: what is hinted never comes.
            if request.uri().path().ends_with(".m3u8") {
                counters.0.fetch_add(1, Relaxed);
                counters.1.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                outstanding = Some(Outstanding(now.clone()));
                let target = request.uri().path_and_query().unwrap().to_string();
                // A test that has ended does not listen.
                _ = give.send(Got { target, headers: request.headers().clone(), at: clock.now(), reply });
            }
            async move {
                let missing = |_| Response::builder().status(404).body(Full::default()).unwrap();
                let response = replied.await.unwrap_or_else(missing);
                drop(outstanding);
                Ok::<_, Infallible>(response)
            }
        });
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        Tasks::current().spawn("connection", async move { _ = serving.await });
    }
}

struct Outstanding(Arc<AtomicUsize>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn origin_at(port: u16) -> config::Origin {
    config::Origin {
        name: "primary".into(),
        scheme: OriginScheme::Http,
        host: "127.0.0.1".into(),
        port,
        base_path: String::new(),
        host_header: HostHeader::Origin,
        set_headers: Vec::new(),
        remove_headers: Vec::new(),
        tls: OriginTls::default(),
        connect: 2 * SECOND,
        first_byte: 5 * SECOND,
        idle: 10 * SECOND,
        connections: 64,
        requests: 512,
        health: None,
        proof: None,
        aws: None,
        missing: Vec::new(),
        redirects: 0,
        cookies: false,
    }
}

fn route() -> Route {
    Route {
        reporting: crate::config::reports::Reporting::default(),
        name: "live".into(),
        hosts: Vec::new(),
        path: "/".into(),
        origins: vec!["primary".into()],
        strip: String::new(),
        cors: config::Cors::Origin,
        https_only: false,
        access: None,
        strict_paths: crate::rules::uri::Strictness::Lenient,
        max_body: 0,
        live: LiveMode::Auto,
        playlists: Playlists::Auto,
        keys: Keys::NoStore,
        query_keep: Vec::new(),
        warm: Vec::new(),
        stale_playlist_for: 3,
        weights: vec![None],
        failover_after: 1,
        failback: config::Failback::Auto,
        sharing: crate::config::Sharing::default(),
        errors: Errors::default(),
        set_headers: Vec::new(),
        remove_headers: Vec::new(),
        countries: crate::config::Countries::default(),
        promise: crate::config::Promise::default(),
        retention: None,
    }
}

/// A low-latency playlist: six segments of two seconds before `open`, and so many parts of half a second of it.
fn low_latency(open: u64, parts: u64) -> String {
    with_control("CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5", open, parts)
}

fn with_control(control: &str, open: u64, parts: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:{control}\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        open - 6
    );
    for msn in open - 6..open {
        text.push_str(&format!("#EXTINF:2.0,\ns{msn}.mp4\n"));
    }
    for part in 0..parts {
        text.push_str(&format!("#EXT-X-PART:DURATION=0.5,URI=\"s{open}.{part}.mp4\"\n"));
    }
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s{open}.{parts}.mp4\"\n")
}

/// A playlist without anything of low latency: six segments of two seconds before `open`.
fn plain(open: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", open - 6);
    for msn in open - 6..open {
        text.push_str(&format!("#EXTINF:2.0,\ns{msn}.ts\n"));
    }
    text
}
