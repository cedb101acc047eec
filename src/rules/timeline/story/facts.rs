//! What the nodes saw that may explain something: refusals, waits for origins, late playlists, changes of nodes, the path,
//! and what was delivered all the same. Each with the time that it covers.

use std::borrow::Cow;

use super::super::event::{Event, Fetch, Kind, Lost, Path, Request, Served};
use super::away::{Departure, departures};
use super::cause::{Cause, Fault};
use super::clocks::Moment;
use super::spells::{Sort, Spell, Spells};

/// Whoever waits longer than this for a first octet may be hurt by it.
pub(super) const SLOW_MS: u64 = 2_000;
/// A round trip that makes live playback hard, in microseconds.
pub(super) const RTT_BAD_US: u32 = 400_000;
/// A playlist may be asked for this much later than its rhythm says.
const LEAST_RHYTHM_MS: u64 = 1_000;
/// A viewer watches what they asked for so shortly before.
const WATCHED_MS: u64 = 30_000;
/// What was asked of an origin shortly before it went down is waited for while it is.
const BEFORE_DOWN_MS: u64 = 8_000;

/// A reload that was held in vain was held for at least so long.
const LEAST_HOLD_MS: u64 = 3_000;

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Window {
    pub(super) fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    pub(super) fn holds(&self, at: u64) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// The same, beginning this much earlier.
    pub(super) fn after(&self, lead: u64) -> Self {
        Self { from: self.from.saturating_sub(lead), to: self.to }
    }
}

/// What of `within` is covered by any of these times, in milliseconds.
pub(super) fn covered(within: &Window, times: impl Iterator<Item = Window>) -> u64 {
    let clipped = times.map(|time| (time.from.max(within.from), time.to.min(within.to)));
    let mut clipped: Vec<_> = clipped.filter(|(from, to)| from < to).collect();
    clipped.sort_unstable();
    let mut until = 0;
    let mut sum = 0;
    for (from, to) in clipped {
        sum += to.saturating_sub(from.max(until)); // disjoint times: the sum is no longer than all of them
        until = until.max(to);
    }
    sum
}

/// A refusal.
pub(super) struct Refused<'a> {
    pub(super) at: u64,
    pub(super) cause: Cause,
    /// The stable word of why; where there is none, the status.
    pub(super) word: Cow<'a, str>,
    pub(super) node: &'a str,
}

/// A wait for an origin that took too long or brought nothing.
pub(super) struct Wait<'a> {
    pub(super) time: Window,
    pub(super) cause: Cause,
    pub(super) origin: &'a str,
    /// What the viewer asked for; `None`: the node asked for it, and no viewer of this story waited.
    pub(super) path: Option<&'a str>,
    pub(super) wait_ms: u64,
    pub(super) status: Option<u16>,
}

impl Wait<'_> {
    /// Whether the viewer waited for it.
    pub(super) fn is_own(&self) -> bool {
        self.path.is_some()
    }
}

/// A time in which an origin was not well that the session's route may ask.
pub(super) struct Down<'a> {
    pub(super) time: Window,
    pub(super) origin: &'a str,
    only: Only,
}

/// Whether a route has other origins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    /// It has none.
    Origin,
    /// It has, or nothing is known of it.
    OneOfMany,
}

/// What the nodes saw.
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub(super) refusals: Vec<Refused<'a>>,
    pub(super) waits: Vec<Wait<'a>>,
    pub(super) late: Vec<Window>,
    /// When which origin was known not to be well, where the viewer was.
    down: Vec<Down<'a>>,
    /// Which origin was asked for the session's stream, and when it was known.
    named: Vec<(u64, &'a str)>,
    /// Which rendition was asked for.
    watched: Vec<(u64, &'a str)>,
    /// Nodes that let go of the viewer.
    pub(super) departures: Vec<Departure<'a>>,
    /// Answers from memory that came late: when, where, by how much.
    pub(super) slow: Vec<(u64, &'a str, u64)>,
    pub(super) paths: Vec<(u64, &'a Path)>,
    /// Bodies that the network did not carry to their end, or of which nobody said why they ended.
    pub(super) cut: Vec<u64>,
    pub(super) served: Vec<(u64, &'a Served)>,
    /// When a token first opened what was asked for.
    pub(super) let_in: Option<u64>,
    /// When something was answered as it should be; and whether more than one thing was.
    pub(super) good: Vec<(u64, u32)>,
    /// When each node was asked for something.
    pub(super) asked: Vec<(u64, &'a str)>,
    /// When entries of that moment were lost.
    pub(super) lost: Vec<u64>,
    /// Entries that are there, and that the story is not told from.
    pub(super) left_out: u64,
}

/// What went wrong with a question to an origin.
pub(super) fn has_trouble(fetch: &Fetch) -> Option<Cause> {
    match (&fetch.error, fetch.status) {
        (Some(word), _) => Some(match &**word {
            "connect" | "tls" | "reset" | "resting" => Cause::OriginDown,
            "timeout" | "queue-full" => Cause::OriginSlow,
            _ => Cause::OriginError,
        }),
        (None, None) => Some(Cause::OriginSlow),
        (None, Some(status)) if status >= 500 => Some(Cause::OriginError),
        (None, Some(_)) if fetch.wait_ms >= SLOW_MS => Some(Cause::OriginSlow),
        (None, Some(_)) => None,
    }
}

/// For how long a live playlist of this target duration may stay as it is: it must have a new segment after one and a half
/// target durations (RFC 8216 §6.2.1). In milliseconds.
fn longest(target_ms: u64) -> u64 {
    (target_ms / 2).saturating_mul(3).saturating_add(LEAST_RHYTHM_MS)
}

/// Why a request was not answered as it should be; `None`: that hurts nobody's play.
fn why_not(request: &Request) -> Option<Cause> {
    let word = request.reason.as_deref().unwrap_or_default();
    let own = match request.fault.as_deref() {
        Some("origin") => Cause::OriginError,
        Some("node") => Cause::NodeConfiguration,
        _ if !word.is_empty() => Cause::BadRequest,
        // Whoever refuses says why: this is the origin's own answer, passed on.
        _ if request.kind == Kind::Plain => return None,
        _ if is_of_origin(request) => Cause::OriginError,
        _ => Cause::BadRequest,
    };
    Some(Cause::of_refusal(word).unwrap_or(own))
}

/// Whether an error is the origin's word on what a playlist lists: it was asked just now, or said so before.
fn is_of_origin(request: &Request) -> bool {
    const RANGE_NOT_SATISFIABLE: u16 = 416;
    let is_word = |status: u16| (400..500).contains(&status) && status != RANGE_NOT_SATISFIABLE;
    match &request.origin {
        Some(fetch) => fetch.status.is_some_and(is_word),
        None => matches!(&*request.cache, "hit" | "stale" | "joined") && matches!(request.status, 404 | 410),
    }
}

/// The folder of what lies below a stream; what has none is told by its name without the ending.
fn rendition<'p>(path: &'p str, stream: Option<&str>) -> &'p str {
    let stream = stream.filter(|stream| !stream.is_empty());
    let below = stream.and_then(|stream| {
        let after = |(at, _): (usize, &str)| path[..at].ends_with('/').then(|| &path[at + stream.len()..]);
        path.match_indices(stream).filter_map(after).find(|below| below.starts_with('/'))
    });
    let below = below.unwrap_or(path).trim_start_matches('/');
    match below.rsplit_once('/') {
        Some((folder, _)) => folder,
        None => below.rsplit_once('.').map_or(below, |(stem, _)| stem),
    }
}

impl<'a> Facts<'a> {
    /// What is seen in these moments, the last of them at `end`, by a viewer of `route`.
    pub(super) fn of(moments: &[Moment<'a>], end: u64, route: Option<&str>) -> Self {
        let mut facts = Self::default();
        let (mut spells, mut changes) = (Spells::default(), Vec::new());
        for moment in moments {
            let (at, node) = (moment.at, &*moment.told.node);
            match &moment.told.entry.event {
                Event::Verdict(verdict) => {
                    let Some(word) = verdict.reason.as_deref() else {
                        facts.let_in.get_or_insert(at);
                        continue;
                    };
                    let cause = Cause::of_refusal(word).unwrap_or(Cause::TokenRefused);
                    facts.refusals.push(Refused { at, cause, word: word.into(), node });
                }
                Event::Ended(ended) => {
                    if let Some(cause) = Cause::of_refusal(&ended.reason) {
                        facts.refusals.push(Refused { at, cause, word: (&*ended.reason).into(), node });
                    }
                }
                Event::Request(request) => {
                    if !matches!(request.kind, Kind::Multivariant | Kind::Plain | Kind::Key) {
                        facts.watched.push((at, rendition(&request.path, moment.told.entry.stream.as_deref())));
                    }
                    facts.of_request(at, node, request);
                }
                Event::Served(served) => facts.of_served(at, node, served),
                Event::Fetch(fetch) => facts.of_fetch(at, fetch, None),
                Event::Path(path) => facts.paths.push((at, path)),
                Event::Node(change) => {
                    spells.take(moment);
                    changes.push((at, node, change));
                }
                Event::Lost(lost) if &*lost.reason == Lost::LEFT_OUT => facts.left_out += lost.count,
                Event::Lost(_) => facts.lost.push(at),
                Event::Began(_) | Event::Report(_) => {}
            }
        }
        facts.departures = departures(&changes, &facts.asked);
        for spell in spells.until(end) {
            facts.of_spell(&spell, route);
        }
        facts
    }

    fn of_spell(&mut self, spell: &Spell<'a>, route: Option<&str>) {
        let times = self.there(spell);
        match spell.sort {
            Sort::Playlist if self.is_watched(spell) => self.late.extend(times),
            Sort::Playlist => {}
            Sort::Origin => {
                let is_only = spell.change.only_for.iter().any(|only| Some(&**only) == route);
                let only = if is_only { Only::Origin } else { Only::OneOfMany };
                let origin = spell.change.of.as_deref().unwrap_or("of the stream");
                self.down.extend(times.into_iter().map(|time| Down { time, origin, only }));
            }
        }
    }

    /// The parts of a spell in which the viewer was at its node: until they asked another one.
    fn there(&self, spell: &Spell<'a>) -> Vec<Window> {
        if self.asked.is_empty() {
            return vec![spell.time];
        }
        let mut times = Vec::new();
        let mut from = 0;
        for stay in self.asked.chunk_by(|(_, one), (_, other)| one == other) {
            let (_, node) = stay[0];
            let next = self.asked[self.asked.partition_point(|(at, _)| *at <= stay[stay.len() - 1].0)..].first();
            let to = next.map_or(u64::MAX, |(at, _)| *at);
            if node == spell.node && from.max(spell.time.from) < to.min(spell.time.to) {
                times.push(Window { from: from.max(spell.time.from), to: to.min(spell.time.to) });
            }
            from = to;
        }
        times
    }

    /// Whether the playlist of a spell is one that the viewer asked for then, as far as is known.
    fn is_watched(&self, spell: &Spell<'a>) -> bool {
        let Some(of) = spell.change.of.as_deref() else { return true };
        let of = rendition(of, spell.stream);
        let then = spell.time.after(WATCHED_MS);
        let mut watched = self.watched.iter().filter(|(at, _)| then.holds(*at)).peekable();
        watched.peek().is_none() || watched.any(|(_, rendition)| *rendition == of)
    }

    /// When which origin was not well that the viewer had to do with until the end of `window`: their route has no other,
    /// or it was the last that their stream was asked of.
    pub(super) fn down(&self, window: &Window) -> impl Iterator<Item = &Down<'a>> {
        self.down.iter().filter(|down| {
            let until = window.to.min(down.time.to);
            let last = self.named.iter().rfind(|(at, _)| *at <= until);
            let since = down.time.from.saturating_sub(BEFORE_DOWN_MS);
            down.only == Only::Origin || last.is_some_and(|(at, origin)| *origin == down.origin && *at >= since)
        })
    }

    fn of_request(&mut self, at: u64, node: &'a str, request: &'a Request) {
        self.asked.push((at, node));
        if let Some(fetch) = &request.origin {
            self.of_fetch(at, fetch, Some(&request.path));
        }
        match request.broken.as_deref() {
            _ if request.complete => {}
            // A player that goes to another place or another bit rate drops what it had begun.
            Some("viewer" | "issuer") => {}
            Some("origin") => {
                let time = Window { from: at.saturating_sub(request.took_ms.max(1)), to: at };
                let origin = request.origin.as_ref().map_or("of the stream", |fetch| &*fetch.origin);
                let (cause, path, wait_ms) = (Cause::OriginError, Some(&*request.path), request.took_ms);
                self.waits.push(Wait { time, cause, origin, path, wait_ms, status: None });
            }
            _ => self.cut.push(at),
        }
        self.of_age(at, request.playlist_age_ms, request.playlist_target_ms);
        if request.playlist_target_ms.is_some_and(|target| request.hold_ms > longest(target)) {
            self.late.push(Window { from: at.saturating_sub(request.hold_ms), to: at });
        }
        if request.status < 400 {
            self.good.push((at, 1));
            if request.origin.is_none() && request.first_byte_ms >= SLOW_MS {
                self.slow.push((at, node, request.first_byte_ms));
            }
            return;
        }
        match why_not(request) {
            None => {}
            Some(Cause::PlaylistLate) => {
                self.late.push(Window { from: at.saturating_sub(request.hold_ms.max(LEAST_HOLD_MS)), to: at })
            }
            Some(cause) if cause.fault() == Fault::Origin => {
                // The wait itself says more, where it is told and went wrong.
                if request.origin.as_ref().is_some_and(|fetch| has_trouble(fetch).is_some()) {
                    return;
                }
                let time = Window { from: at.saturating_sub(request.took_ms.max(1)), to: at };
                let (path, status) = (Some(&*request.path), Some(request.status));
                let wait_ms = request.took_ms;
                let origin = request.origin.as_ref().map_or("of the stream", |fetch| &*fetch.origin);
                self.waits.push(Wait { time, cause, origin, path, wait_ms, status });
            }
            Some(cause) => {
                let word = request.reason.as_deref().filter(|word| !word.is_empty());
                let word = word.map_or_else(|| request.status.to_string().into(), Cow::Borrowed);
                self.refusals.push(Refused { at, cause, word, node });
            }
        }
    }

    fn of_served(&mut self, at: u64, node: &'a str, served: &'a Served) {
        self.asked.push((at, node));
        self.good.push((at, served.requests));
        self.served.push((at, served));
        self.watched.extend(served.rendition.as_deref().map(|rendition| (at, rendition)));
        if served.first_byte_ms >= SLOW_MS {
            self.slow.push((at, node, served.first_byte_ms));
        }
        self.of_age(at, served.playlist_age_ms, served.playlist_target_ms);
    }

    fn of_fetch(&mut self, at: u64, fetch: &'a Fetch, path: Option<&'a str>) {
        self.named.push((at, &fetch.origin));
        let Some(cause) = has_trouble(fetch) else { return };
        let time = Window { from: at.saturating_sub(fetch.wait_ms.max(1)), to: at };
        let Fetch { origin, wait_ms, status, .. } = fetch;
        self.waits.push(Wait { time, cause, origin, path, wait_ms: *wait_ms, status: *status });
    }

    /// A playlist that nobody has said to be current for longer than it may stay the same.
    fn of_age(&mut self, at: u64, age: Option<u64>, target: Option<u64>) {
        if let (Some(age), Some(target)) = (age, target)
            && age > longest(target)
        {
            self.late.push(Window { from: at.saturating_sub(age), to: at });
        }
    }

    /// Whether something was answered as it should be after this moment. One answer within a second may have been on its
    /// way already.
    pub(super) fn is_good_after(&self, at: u64) -> bool {
        self.good.iter().any(|(good, number)| *good > at && (*number > 1 || *good - at > 1_000))
    }
}
