//! What the tracks of one viewer share: requests with hls.js's patience, the playhead, and the notes of what happened.

use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::StatusCode;
use tokio::sync::watch;

use super::outcome::Outcome;
use super::playhead::{Playhead, Setup};
use super::playlist::{ByteRange, MediaPlaylist, Resource};
use super::time::{Micros, Wall, duration, micros};
use super::{Plan, multivariant};
use crate::client::{Client, ClientError};

const DEADLINE: Duration = Duration::from_secs(20);
const RETRY_DELAYS_S: [u64; 6] = [1, 2, 4, 8, 8, 8];
const MAX_PLAYLIST: u64 = 8 << 20;

/// The viewer stops: a resource could not be had with all patience. What it was is in the notes.
#[derive(Clone, Copy, Debug)]
pub(super) struct GaveUp;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Multivariant,
    Playlist,
    Init,
    Media,
}

impl Kind {
    /// Retries of hls.js: 2 for playlists (1 for the first), 6 for media.
    fn delays(self) -> &'static [u64] {
        match self {
            Self::Multivariant => &RETRY_DELAYS_S[..1],
            Self::Playlist => &RETRY_DELAYS_S[..2],
            Self::Init | Self::Media => &RETRY_DELAYS_S,
        }
    }
}

/// What is done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Whole,
    Nothing,
}

/// One thing to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) path: &'a str,
    pub(super) range: Option<ByteRange>,
    pub(super) kind: Kind,
    pub(super) keep: Keep,
    /// A field beside the usual ones.
    pub(super) field: Option<(&'static str, &'a str)>,
}

/// An answer that is good.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) body: Bytes,
    pub(super) age: Micros,
}

/// An answer that is not.
struct Fault {
    word: String,
    detail: String,
}

impl Fault {
    fn new(word: &str, detail: impl ToString) -> Self {
        Self { word: word.to_owned(), detail: detail.to_string() }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::new(error.word(), error)
    }
}

/// One viewer's play.
pub(super) struct Session<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    wall: Wall,
    arrived: Instant,
    notes: Mutex<Outcome>,
    playhead: Mutex<Option<Playhead>>,
    start: watch::Sender<Option<Micros>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(client: &'a Client, plan: &'a Plan, arrived: Instant) -> Self {
        Self {
            client,
            plan,
            wall: Wall::read(),
            arrived,
            notes: Mutex::default(),
            playhead: Mutex::default(),
            start: watch::Sender::new(None),
        }
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Outcome> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn playhead(&self) -> MutexGuard<'_, Option<Playhead>> {
        self.playhead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error that is not followed by a retry here.
    pub(super) fn fault(&self, word: &str, path: &str, detail: impl std::fmt::Display) {
        let example = format!("{path}: {detail}");
        self.notes().errors.note(word, example);
    }

    /// The path of a resource that a playlist at `base` names.
    pub(super) fn path(&self, base: &str, uri: &str) -> Result<String, GaveUp> {
        let found = multivariant::resolve(base, uri, &self.client.server().authority);
        found.ok_or_else(|| {
            self.fault("foreign", uri, "it is on another server");
            GaveUp
        })
    }

    /// Asks for a resource of a playlist.
    pub(super) async fn resource(
        &self,
        base: &str,
        resource: &Resource,
        (kind, keep): (Kind, Keep),
    ) -> Result<Loaded, GaveUp> {
        let path = &self.path(base, &resource.uri)?;
        let range = resource.range;
        self.fetch(Ask { path, range, kind, keep, field: None }).await
    }

    /// Asks, and asks again as often and as late as hls.js does. A 4xx is tried again like any other error; hls.js would
    /// change to another rendition.
    pub(super) async fn fetch(&self, ask: Ask<'_>) -> Result<Loaded, GaveUp> {
        let mut delays = ask.kind.delays().iter();
        loop {
            let fault = match self.attempt(ask).await {
                Ok(loaded) => return Ok(loaded),
                Err(fault) => fault,
            };
            self.fault(&fault.word, ask.path, fault.detail);
            let Some(delay) = delays.next() else {
                return Err(GaveUp);
            };
            tokio::time::sleep(Duration::from_secs(*delay)).await;
        }
    }

    async fn attempt(&self, ask: Ask<'_>) -> Result<Loaded, Fault> {
        self.count(ask.kind);
        let asked = Instant::now();
        let range = ask.range.map(ByteRange::header);
        let mut fields = vec![("accept", "*/*"), ("accept-encoding", "gzip")];
        fields.extend(range.as_deref().map(|range| ("range", range)));
        fields.extend(ask.field);
        let client = self.client.with_deadline(DEADLINE);
        let mut answer = client.get(ask.path, &fields).await?;
        let due = match ask.range {
            Some(_) => StatusCode::PARTIAL_CONTENT,
            None => StatusCode::OK,
        };
        if answer.status != due {
            let status = answer.status;
            // The body of an error is read as browsers read it, so that the connection stays; how it ends does not matter.
            let _ = answer.drain().await;
            return Err(match status {
                StatusCode::OK => Fault::new("range", "the range was ignored"),
                status => Fault::new(&format!("status-{}", status.as_u16()), status),
            });
        }
        let mut body = BytesMut::new();
        let mut first = None;
        while let Some(chunk) = answer.chunk().await? {
            first.get_or_insert(chunk.at);
            self.notes().bytes += chunk.bytes.len() as u64;
            if ask.keep == Keep::Whole {
                body.extend_from_slice(&chunk.bytes);
            }
        }
        let wanted = ask.range.and_then(|range| range.len);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != answer.got()) {
            let detail = format!("{} bytes instead of {wanted}", answer.got());
            return Err(Fault::new("length", detail));
        }
        if ask.kind == Kind::Media {
            let mut notes = self.notes();
            notes.whole.record(micros(asked.elapsed()));
            let first = first.map(|first| micros(first - asked));
            notes.first_byte.record(first.unwrap_or_default());
        }
        let body = match answer.header("content-encoding") {
            "gzip" => gunzip(&body)?,
            _ => body.freeze(),
        };
        let age: Micros = answer.header("age").parse().unwrap_or(0);
        Ok(Loaded { body, age: age.saturating_mul(1_000_000) })
    }

    fn count(&self, kind: Kind) {
        let requests = &mut self.notes().requests;
        *match kind {
            Kind::Multivariant => &mut requests.multivariant,
            Kind::Playlist => &mut requests.playlists,
            Kind::Init => &mut requests.inits,
            Kind::Media => &mut requests.media,
        } += 1;
    }

    /// Sets the playhead to where the main track's first playlist says.
    pub(super) fn set_start(&self, tracks: usize, first: &MediaPlaylist) {
        let start = self.own_start(first);
        let live = first.dated && !first.ended;
        *self.playhead() = Some(Playhead::new(Setup {
            tracks,
            start,
            target_latency: live.then(|| first.hold_back(self.plan.latency)),
            max_rate: self.plan.max_rate,
        }));
        self.start.send_replace(Some(start));
    }

    /// Where a viewer of this playlist alone would begin.
    pub(super) fn own_start(&self, playlist: &MediaPlaylist) -> Micros {
        let first = playlist.segments.first().map_or(0, |first| first.start);
        if playlist.ended {
            return first;
        }
        first.max(playlist.edge() - playlist.hold_back(self.plan.latency))
    }

    /// Where the main track began, once it has.
    pub(super) async fn start(&self) -> Micros {
        let mut start = self.start.subscribe();
        let start = start.wait_for(Option::is_some).await;
        start.ok().and_then(|start| *start).expect("the sender lives in self and sends a start")
    }

    /// A new playlist came by a blocking request.
    pub(super) fn advanced(&self, playlist: &MediaPlaylist) {
        if playlist.dated {
            let behind = self.wall.at(Instant::now()) - playlist.edge();
            self.notes().edge.record(behind);
        }
    }

    /// Media came. `calendar`: its times are the calendar's, and it is live.
    pub(super) fn append(&self, track: usize, span: (Micros, Micros), calendar: Calendar) {
        let now = Instant::now();
        let live = (calendar == Calendar::Live).then(|| self.wall.at(now));
        let mut guard = self.playhead();
        let Some(playhead) = guard.as_mut() else {
            return;
        };
        playhead.append(track, span, (now, live));
        let position = playhead.position(now);
        let playing = playhead.is_playing();
        drop(guard);
        let mut notes = self.notes();
        notes.appended += span.1 - span.0;
        if position.is_some() {
            notes.startup.get_or_insert(now - self.arrived);
        }
        if let (Some(position), Some(live), true) = (position, live, playing) {
            notes.latency.record(live - position);
        }
    }

    /// The track has lost its place and goes on at `target`.
    pub(super) fn jump(&self, track: usize, target: Micros) {
        if let Some(playhead) = self.playhead().as_mut() {
            playhead.jump(track, target, Instant::now());
        }
        self.notes().jumps += 1;
    }

    /// The track has come to its end.
    pub(super) fn end(&self, track: usize) {
        if let Some(playhead) = self.playhead().as_mut() {
            playhead.end(track);
        }
    }

    /// Where what is buffered of the track ends.
    pub(super) fn buffered(&self, track: usize) -> Option<Micros> {
        self.playhead().as_ref().and_then(|head| head.buffered(track))
    }

    /// How much of the track lies ahead.
    pub(super) fn ahead(&self, track: usize) -> Duration {
        let playhead = self.playhead();
        let ahead = playhead.as_ref().map_or(0, |head| head.ahead(track, Instant::now()));
        duration(ahead)
    }

    /// The notes, closed.
    pub(super) fn outcome(self) -> Outcome {
        let playhead = self.playhead().take();
        let stalls = playhead.map(|playhead| playhead.finish(Instant::now()));
        let mut notes = std::mem::take(&mut *self.notes());
        notes.stalls = stalls.unwrap_or_default();
        notes.connections = self.client.connections();
        notes
    }
}

/// What the times of a playlist are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calendar {
    Live,
    None,
}

fn gunzip(body: &[u8]) -> Result<Bytes, Fault> {
    let mut text = Vec::new();
    let read = GzDecoder::new(body).take(MAX_PLAYLIST).read_to_end(&mut text);
    read.map_err(|error| Fault::new("encoding", error))?;
    Ok(text.into())
}
