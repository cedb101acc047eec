//! Requests that went as they should, added up by session and second: what would be a line each is one number in a map
//! of the worker's own.
//!
//! Once a second the control thread takes each worker's map as a whole and puts an empty one in its place: a worker never
//! waits for longer than that takes. A session that is known this second costs one look into the map, and allocates
//! nothing while its stream and its rendition stay what they were.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Entry, Event, Kind, Path, Served};
use crate::telemetry::counters::{Counter, Sharded};

/// Sessions that one worker adds up within one second.
const SESSIONS: usize = 32_768;

/// Lines of their own that the requests of one session get within one second, on one worker.
const LINES: u32 = 16;

/// Whose request it is, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The session.
    pub session: SessionId,
    /// The route.
    pub route: &'a Arc<str>,
    /// The stream; empty: none.
    pub stream: &'a str,
}

/// One answered request, as far as it is added up.
#[derive(Clone, Copy, Debug)]
pub struct One<'a> {
    /// `h1`, `h2` or `h3`.
    pub protocol: &'static str,
    /// What was asked for.
    pub kind: Kind,
    /// Answered from memory, or together with others: 1, else 0.
    pub hits: u32,
    /// Octets of body.
    pub bytes: u64,
    /// To the first octet, in milliseconds, without the hold.
    pub first_byte_ms: u64,
    /// From the first octet to the last, in milliseconds.
    pub sending_ms: u64,
    /// The hold, in milliseconds.
    pub hold_ms: u64,
    /// The rendition; empty: it says nothing of one.
    pub rendition: &'a str,
    /// How long ago the live media playlist was last said to be current, in milliseconds.
    pub playlist_age_ms: Option<u64>,
    /// Its target duration, in milliseconds.
    pub playlist_target_ms: Option<u64>,
    /// How long before the request the media began on its stream's calendar, in milliseconds.
    pub behind_ms: Option<i64>,
}

/// Whether a request gets a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It does.
    Own,
    /// Its session had as many as it gets: it is added up with those that went as they should.
    None,
}

/// What is added up of one session over one protocol.
struct Folded {
    route: Arc<str>,
    stream: Option<Arc<str>>,
    served: Served,
    lines: u32,
    path: Option<Path>,
    /// When it was last added to, in milliseconds since the epoch.
    at: u64,
    start: Start,
}

/// When things first happened that a view may begin with.
#[derive(Default)]
struct Start {
    /// Whether something was asked for that only who begins asks for.
    is_one: bool,
    playlist_at: Option<u64>,
    media_at: Option<u64>,
}

type Map = HashMap<(SessionId, &'static str), Folded, foldhash::fast::RandomState>;

/// What each worker adds up.
pub struct Folds {
    maps: Sharded<Mutex<Map>>,
    full: Counter,
}

impl Folds {
    /// Of so many workers.
    pub fn new(workers: usize) -> Self {
        Self { maps: Sharded::new(workers), full: Counter::default() }
    }

    /// Adds a request, at this many milliseconds since the epoch.
    pub fn add(&self, whose: &Whose<'_>, one: &One<'_>, at: u64) {
        self.with(whose, one.protocol, at, |folded| folded.add(one, at));
    }

    /// Whether a request gets a line of its own.
    pub fn line(&self, whose: &Whose<'_>, protocol: &'static str, at: u64) -> Line {
        let mut line = Line::None;
        self.with(whose, protocol, at, |folded| {
            folded.lines = folded.lines.saturating_add(1);
            line = if folded.lines <= LINES { Line::Own } else { Line::None };
        });
        line
    }

    /// How the path to a session is by now.
    pub fn path(&self, whose: &Whose<'_>, protocol: &'static str, (path, at): (Path, u64)) {
        self.with(whose, protocol, at, |folded| folded.path = Some(path));
    }

    /// Requests that found no room to be added up.
    pub fn full(&self) -> u64 {
        self.full.value()
    }

    fn with(&self, whose: &Whose<'_>, protocol: &'static str, at: u64, what: impl FnOnce(&mut Folded)) {
        let mut map = self.maps.mine().lock();
        let key = (whose.session, protocol);
        if let Some(folded) = map.get_mut(&key) {
            folded.is_of(whose);
            folded.at = folded.at.max(at);
            return what(folded);
        }
        if map.len() >= SESSIONS {
            self.full.add(1);
            return;
        }
        what(map.entry(key).or_insert_with(|| Folded::new(whose, protocol, at)));
    }

    /// What was added up since it was last taken, as entries.
    pub fn take(&self) -> Vec<Entry> {
        // Each worker's lock is held for one swap; the rest is the caller's own time.
        let maps: Vec<Map> = self
            .maps
            .all()
            .map(|map| {
                let empty = Map::default();
                std::mem::replace(&mut *map.lock(), empty)
            })
            .collect();
        maps.into_iter().flatten().flat_map(|((session, _), folded)| folded.entries(session)).collect()
    }
}

impl Folded {
    fn new(whose: &Whose<'_>, protocol: &'static str, at: u64) -> Self {
        Self {
            route: whose.route.clone(),
            stream: stream(whose),
            served: Served { protocol: protocol.into(), ..Served::default() },
            lines: 0,
            path: None,
            at,
            start: Start::default(),
        }
    }

    /// A session of several streams is told of under the last.
    fn is_of(&mut self, whose: &Whose<'_>) {
        if self.stream.as_deref().unwrap_or_default() != whose.stream {
            self.stream = stream(whose);
        }
        if !Arc::ptr_eq(&self.route, whose.route) {
            self.route.clone_from(whose.route);
        }
    }

    fn add(&mut self, one: &One<'_>, at: u64) {
        let (served, start) = (&mut self.served, &mut self.start);
        served.requests += 1;
        start.is_one |= matches!(one.kind, Kind::Multivariant | Kind::Init);
        match one.kind {
            Kind::Multivariant | Kind::Playlist => {
                served.playlists += 1;
                let asked = at.saturating_sub(one.hold_ms + one.first_byte_ms + one.sending_ms);
                start.playlist_at = start.playlist_at.into_iter().chain([asked]).min();
            }
            Kind::Part | Kind::Segment => {
                served.media += 1;
                start.media_at = start.media_at.into_iter().chain([at]).min();
            }
            Kind::Init | Kind::Key | Kind::Plain => {}
        }
        served.hits += one.hits;
        served.bytes += one.bytes;
        served.first_byte_ms = served.first_byte_ms.max(one.first_byte_ms);
        served.sending_ms += one.sending_ms;
        served.hold_ms = served.hold_ms.max(one.hold_ms);
        if one.playlist_age_ms.is_some() {
            served.playlist_age_ms = one.playlist_age_ms;
            served.playlist_target_ms = one.playlist_target_ms;
        }
        served.behind_ms = one.behind_ms.or(served.behind_ms);
        if !one.rendition.is_empty() && served.rendition.as_deref() != Some(one.rendition) {
            served.rendition = Some(one.rendition.into());
        }
    }

    fn entries(self, session: SessionId) -> impl Iterator<Item = Entry> {
        let Self { route, stream, mut served, path, at, start, .. } = self;
        if start.is_one {
            (served.playlist_at, served.media_at) = (start.playlist_at, start.media_at);
        }
        let entry = move |event| Entry {
            at,
            session: Some(session),
            route: Some(route.clone()),
            stream: stream.clone(),
            event,
        };
        let served = Some(served).filter(|served| served.requests > 0).map(|served| Event::Served(Box::new(served)));
        served.into_iter().chain(path.map(Event::Path)).map(entry)
    }
}

fn stream(whose: &Whose<'_>) -> Option<Arc<str>> {
    (!whose.stream.is_empty()).then(|| whose.stream.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: One<'_> = One {
        protocol: "h2",
        kind: Kind::Part,
        hits: 1,
        bytes: 1_000,
        first_byte_ms: 3,
        sending_ms: 2,
        hold_ms: 0,
        rendition: "high",
        playlist_age_ms: None,
        playlist_target_ms: None,
        behind_ms: None,
    };

    fn whose(route: &Arc<str>) -> Whose<'_> {
        Whose { session: SessionId([1; 12]), route, stream: "live" }
    }

    #[test]
    fn requests_of_a_second_are_one_line_of_their_session() {
        let folds = Folds::new(2);
        let route: Arc<str> = "all".into();
        let whose = whose(&route);
        folds.add(&whose, &PART, 5);
        folds.add(&whose, &One { kind: Kind::Playlist, hold_ms: 300, playlist_age_ms: Some(12), ..PART }, 7);
        folds.add(&Whose { session: SessionId([2; 12]), ..whose }, &PART, 6);
        let mut entries = folds.take();
        entries.sort_by_key(|entry| entry.at);
        let [other, both] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((other.at, both.at), (6, 7));
        let Event::Served(served) = &both.event else { panic!("{both:?}") };
        assert_eq!((served.requests, served.playlists, served.media, served.hits), (2, 1, 1, 2));
        assert_eq!((served.bytes, served.hold_ms, served.playlist_age_ms), (2_000, 300, Some(12)));
        assert_eq!(served.rendition.as_deref(), Some("high"));
        assert!(folds.take().is_empty());
    }

    #[test]
    fn a_second_in_which_a_view_may_begin_says_when_its_first_requests_were() {
        let route: Arc<str> = "all".into();
        let told = |first: Kind| {
            let folds = Folds::new(1);
            for (kind, at) in [(first, 1_100), (Kind::Playlist, 1_200), (Kind::Part, 1_300), (Kind::Part, 1_400)] {
                folds.add(&whose(&route), &One { kind, hold_ms: 10, ..PART }, at);
            }
            let Event::Served(served) = folds.take().remove(0).event else { unreachable!("it was added up") };
            (served.playlist_at, served.media_at)
        };
        // It took 10 + 3 + 2 ms.
        assert_eq!(told(Kind::Multivariant), (Some(1_085), Some(1_300)));
        assert_eq!(told(Kind::Init), (Some(1_185), Some(1_300)));
        assert_eq!(told(Kind::Part), (None, None));
    }

    #[test]
    fn a_session_gets_so_many_lines_a_second_and_no_more() {
        let folds = Folds::new(1);
        let route: Arc<str> = "all".into();
        let whose = whose(&route);
        let own = (0..LINES + 5).filter(|_| folds.line(&whose, "h1", 1) == Line::Own).count();
        assert_eq!(own, LINES as usize);
        assert!(folds.take().is_empty(), "lines alone are nothing that was added up");
        assert_eq!(folds.line(&whose, "h1", 2), Line::Own);
    }

    #[test]
    fn a_worker_adds_up_so_many_sessions_and_counts_the_rest() {
        let folds = Folds::new(1);
        let route: Arc<str> = "all".into();
        for number in 0..SESSIONS + 3 {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            folds.add(&Whose { session: SessionId(id), ..whose(&route) }, &PART, 1);
        }
        assert_eq!((folds.full(), folds.take().len()), (3, SESSIONS));
    }
}
