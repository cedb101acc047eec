//! Names, prefetches and growing segments before an origin that does what the test says. The clock is moved by hand;
//! what takes sockets is waited for.

mod growing;
mod names;
mod prefetch;

use std::convert::Infallible;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::cache::{Bells, Cache, CacheConfig, FillAnswer, FillEnd, FillReader, Flight, Lookup, Object};
use crate::clock::WallTime;
use crate::config::{Config, Machine};
use crate::live::Rules;
use crate::origin::supply::Supply;
use crate::rules::caching::negative::Errors;
use crate::rules::hls::{Published, parse};

const TD: Duration = Duration::from_secs(2);

/// A request as the origin sees it; it is answered by whoever takes it.
pub(super) struct Request {
    pub target: String,
    pub headers: HeaderMap,
    /// When it came.
    pub at: Tick,
    answer: oneshot::Sender<Response<Script>>,
}

/// A body written by the test.
pub(super) struct Script(mpsc::UnboundedReceiver<Bytes>);

pub(super) type Pen = mpsc::UnboundedSender<Bytes>;

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }
}

impl Request {
    pub fn range(&self) -> Option<&str> {
        self.headers.get("range").map(|value| value.to_str().unwrap())
    }

    /// Answers with a head; the body is written by the pen.
    pub fn begin(self, status: u16, fields: &[(&str, &str)]) -> Pen {
        let (pen, body) = mpsc::unbounded_channel();
        let response = Response::builder().status(status);
        let response = fields.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        // Who asked may have gone.
        _ = self.answer.send(response.body(Script(body)).unwrap());
        pen
    }

    /// Answers whole.
    pub fn say(self, status: u16, fields: &[(&str, &str)], body: &'static str) {
        self.begin(status, fields).send(Bytes::from_static(body.as_bytes())).unwrap();
    }
}

/// A node's part that names media, and its origin.
pub(super) struct Stage {
    pub clock: Clock,
    pub cache: Arc<Cache>,
    pub media: Arc<Media>,
    pub asked: Asked,
    requests: Mutex<mpsc::UnboundedReceiver<Request>>,
    last: Mutex<Option<Published>>,
}

async fn serve(listener: TcpListener, clock: Clock, requests: mpsc::UnboundedSender<Request>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (requests, clock) = (requests.clone(), clock.clone());
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let (answer, answered) = oneshot::channel();
            let target = request.uri().to_string();
            let headers = request.into_parts().0.headers;
            _ = requests.send(Request { target, headers, at: clock.now(), answer });
            async move { Ok::<_, Infallible>(answered.await.expect("the test answers")) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        Tasks::current().spawn("connection", connection);
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::with_names(1_000).await
    }

    pub async fn with_names(names: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!(
            "[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:{port}\"\n[[route]]\nname = \"r\"\n\
             path = \"/live/\"\norigins = [\"o\"]\n"
        );
        let machine = Machine { name: "edge".into(), cores: 1, memory: 1 << 30 };
        let (config, _) = Config::parse_on(&machine, &text, Path::new("")).unwrap();
        let clock = Clock::manual(WallTime::default());
        let bounds = CacheConfig {
            memory: 64 << 20,
            max_object: 8 << 20,
            fills_per_group: 64,
            fill_readers: 64,
            live_reserve: Duration::from_secs(60),
            apart: Duration::from_secs(10),
        };
        let cache = Arc::new(Cache::new(bounds, Bells::new(1), clock.clone()));
        let origins = Arc::new(Origins::new(&config.origins, &config.limits, clock.clone()).unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        Tasks::current().spawn("origin", serve(listener, clock.clone(), sender));
        let supply = Arc::new(Supply::new(&config.routes[0], &[&config.origins[0]]));
        let located = supply.locate("/live/v/media.m3u8", None).unwrap();
        let rules = Rules {
            route: "r".into(),
            supply,
            playlists: crate::config::Playlists::Auto,
            keys: crate::config::Keys::NoStore,
            references: Default::default(),
            query_keep: Vec::new(),
            stale_playlist_for: 3,
            failover_after: 1,
            failback: crate::config::Failback::Auto,
            errors: Errors::default(),
        };
        let asked = Asked {
            key: located.key,
            target: "/live/v/media.m3u8".into(),
            upstream: located.upstream,
            fields: HeaderMap::new(),
            viewer_authority: None,
            rules: Arc::new(rules),
        };
        let media = Media::new(names, cache.clone(), origins, (clock.clone(), vec![Tasks::current()]));
        Self { clock, cache, media, asked, requests: requests.into(), last: Mutex::default() }
    }

    /// The next request that the origin gets.
    pub async fn request(&self) -> Request {
        poll_fn(|cx| self.requests.lock().poll_recv(cx)).await.unwrap()
    }

    /// The same, while time goes on.
    pub async fn request_later(&self) -> Request {
        for _ in 0..100_000 {
            if let Ok(request) = self.requests.lock().try_recv() {
                return request;
            }
            self.clock.advance(Duration::from_millis(1));
            settle().await;
        }
        panic!("the origin is not asked");
    }

    /// Whether the origin has got no request that was not taken.
    pub fn is_quiet(&self) -> bool {
        self.requests.lock().try_recv().is_err()
    }

    /// The playlist has this to say from now on.
    pub fn publish(&self, text: &str, watched: Watched) {
        self.publish_in(0, text, watched);
    }

    pub fn publish_in(&self, generation: u32, text: &str, watched: Watched) {
        let mut last = self.last.lock();
        let playlist = parse::parse(text, last.as_ref().map(|last| &last.playlist)).unwrap();
        let published = Published { playlist, generation, ..Published::default() };
        self.media.published(&self.asked, (last.as_ref(), &published), watched, None);
        *last = Some(published);
    }

    pub fn retire(&self, margin: Duration) {
        let last = self.last.lock().take().unwrap();
        self.media.retired(&self.asked, &last, margin);
    }

    pub fn key(&self, leaf: &str) -> Key {
        self.asked.rules.supply.locate(&format!("/live/v/{leaf}"), None).unwrap().key
    }

    pub fn find(&self, leaf: &str) -> Option<Named> {
        self.media.find(&self.key(leaf))
    }

    /// A viewer's way: found, joined or led.
    pub fn ask(&self, leaf: &str) -> Got {
        let named = self.find(leaf).expect("it is named");
        self.media.asked_for(&named);
        let now = self.clock.now();
        match self.cache.lookup(&named.key, &HeaderMap::new(), |stored| named.freshness(stored, now)) {
            Lookup::Hit(object, _) => Got::Hit(object),
            Lookup::Join(reader) => Got::Join(reader),
            Lookup::Stale { flight: Flight::Join(reader), .. } => Got::Join(reader),
            Lookup::Lead(lead) => Got::Lead(self.media.fetch(lead, &named, self.source(leaf), None)),
            Lookup::Stale { flight: Flight::Lead(lead), object, .. } => {
                Got::Lead(self.media.fetch(lead, &named, self.source(leaf), Some(object)))
            }
            Lookup::Stale { .. } | Lookup::Apart | Lookup::Refused(_) => panic!("refused"),
        }
    }

    fn source(&self, leaf: &str) -> Source {
        Source {
            places: vec!["o".into()],
            group: self.asked.rules.supply.origins.clone(),
            target: format!("/live/v/{leaf}").parse().unwrap(),
            fields: HeaderMap::new(),
            viewer_authority: None,
            errors: Errors::default(),
            shared: None,
            concern: None,
        }
    }

    /// Completes once the name is stored whole.
    pub async fn stored(&self, leaf: &str) -> Arc<Object> {
        loop {
            let named = self.find(leaf).unwrap();
            match self.cache.peek(&named.key, &HeaderMap::new()) {
                Some(object) => return object,
                None => tokio::task::yield_now().await,
            }
        }
    }

    pub fn figure(&self, name: &str) -> u64 {
        let families = self.media.families();
        let family = families.iter().find(|family| family.name == name).unwrap();
        match &family.samples[0].value {
            crate::telemetry::metrics::Value::Counter(value) => *value,
            crate::telemetry::metrics::Value::Gauge(value) => *value as u64,
            _ => unreachable!("none of these counts durations"),
        }
    }
}

pub(super) enum Got {
    Hit(Arc<Object>),
    Join(FillReader),
    Lead(FillReader),
}

impl Got {
    fn reader(self) -> FillReader {
        match self {
            Self::Join(reader) | Self::Lead(reader) => reader,
            Self::Hit(_) => panic!("it was there already"),
        }
    }
}

/// The whole body, once all of it is there.
pub(super) async fn whole(mut reader: FillReader) -> Result<String, FillEnd> {
    match poll_fn(|cx| reader.poll_whole(cx)).await? {
        FillAnswer::Complete(object) => Ok(text(&object)),
        FillAnswer::Arriving(..) => panic!("it is not kept"),
    }
}

pub(super) fn text(object: &Arc<Object>) -> String {
    let octets: Vec<u8> = object.reader(0..u64::MAX).flatten().collect();
    String::from_utf8(octets).unwrap()
}

/// Lets everything that can go on go on.
pub(super) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A low-latency playlist of 2 s segments: `msn` is open and has `parts` parts of half a second.
pub(super) fn low_latency(first: u64, msn: u64, parts: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for number in first..msn {
        if number + 2 >= msn {
            (0..4).for_each(|part| {
                text.push_str(&format!("#EXT-X-PART:DURATION=0.5,URI=\"part-{number}.{part}.m4s\"\n"))
            });
        }
        text.push_str(&format!("#EXTINF:2,\nseg-{number}.m4s\n"));
    }
    (0..parts).for_each(|part| text.push_str(&format!("#EXT-X-PART:DURATION=0.5,URI=\"part-{msn}.{part}.m4s\"\n")));
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-{msn}.{parts}.m4s\"\n")
}
