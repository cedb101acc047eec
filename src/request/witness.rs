//! What the node itself knows of a viewer becomes entries of the timeline: who began, what was asked for, how it was
//! answered, and why not. Nothing of it waits, and no entry holds a token, a query or a whole address.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;

use crate::clock::Clock;
use crate::config::qoe::Addresses;
use crate::rules::fields::cache_status::Handling;
use crate::rules::session::{Device, Opener, SessionId, player, truncated};
use crate::rules::timeline::event::{Began, Entry, Event, Kind, Path, Request, Verdict};
use crate::rules::token::carrier;
use crate::sessions::Session;
use crate::stories::fold::{Line, One, Whose};
use crate::stories::open::{Entered, May, OpenSession};
use crate::stories::{Stories, day, millis};
use crate::telemetry::traffic::{Origination, Passage};

use super::answer::Provenance;
use super::edge::{Edge, RequestId};
use super::line::Line as Way;
use super::notes::{Noted, Wait};
use super::policies::{Policies, RoutePolicy};
use super::refusal::Fault;
use super::{Caller, Head, Proxy, Refusal, Sample, Scheme, admit};

/// A first octet that took so long, without the hold, is worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// The same, where what was asked for did not exist yet.
const SLOW_PROMISED: Duration = Duration::from_secs(2);

/// Whose story a request belongs to.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// The session.
    pub session: SessionId,
    /// The same, where the node opened it itself.
    pub open: Option<Arc<OpenSession>>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was sent.
    Whole,
    /// It came to no end: the viewer took no more of it.
    Cut,
    /// There was no more of it than a part.
    Short,
    /// The session was taken back meanwhile.
    Revoked,
}

impl Watcher {
    /// It plays a stream of this target duration.
    pub fn plays(&self, target: Duration) {
        if let Some(open) = &self.open {
            open.plays(target);
        }
    }

    /// Of a session that a token began.
    pub fn of(session: &Session) -> Self {
        Self { session: session.id(), open: None }
    }
}

/// Whether viewers' stories are told.
fn is_told(policies: &Policies, head: &Head) -> bool {
    policies.config.qoe.enabled && head.caller == Caller::Viewer
}

/// The session of a request on an open route: it may begin one where what it names is of a stream, or has turned out to
/// be.
pub fn enter(
    edge: &Edge,
    policies: &Policies,
    (head, route): (&Head, &RoutePolicy),
    kind: Option<Kind>,
) -> Option<Watcher> {
    if !is_told(policies, head) || route.gated.is_some() {
        return None;
    }
    let may = match kind.unwrap_or_else(|| named(&head.path)) {
        Kind::Plain => May::Join,
        Kind::Multivariant | Kind::Playlist => May::Begin,
        Kind::Part | Kind::Segment | Kind::Init | Kind::Key => May::Follow,
    };
    let (stream, opener) = (route.stream(&head.path), opener(head));
    let stories = &edge.stories;
    let now = edge.clock.now();
    let open = match stories.open.enter(
        (stories.key(), || day(edge.clock.wall())),
        (&route.name, stream),
        &opener,
        (may, now),
    ) {
        Entered::Known(open) => open,
        Entered::New(open) => {
            tell(edge, (head, route), open.id, Event::Began(began(edge, policies, head)));
            open
        }
        Entered::None => return None,
    };
    Some(Watcher { session: open.id, open: Some(open) })
}

/// A session of a gated route has begun on this node.
pub fn let_in(edge: &Edge, (head, route): (&Head, &RoutePolicy), session: &Session) {
    let policies = edge.policies();
    if !is_told(&policies, head) {
        return;
    }
    let access = session.access().clone();
    let subject = session.subject().map(|print| format!("{print:016x}").into());
    let began = Began { access: Some(access.clone()), subject, ..began(edge, &policies, head) };
    tell(edge, (head, route), session.id(), Event::Began(began));
    tell(edge, (head, route), session.id(), Event::Verdict(Verdict { access, reason: None }));
}

/// Tells of a session as of the moment in which the request came.
fn tell(edge: &Edge, (head, route): (&Head, &RoutePolicy), session: SessionId, event: Event) {
    let waited = edge.clock.now().since(head.received);
    let at = millis(edge.clock.wall()).saturating_sub(whole_ms(waited));
    let stream = Some(route.stream(&head.path)).filter(|stream| !stream.is_empty()).map(Into::into);
    edge.stories.tell(Entry { at, session: Some(session), route: Some(route.name.clone()), stream, event });
}

fn began(edge: &Edge, policies: &Policies, head: &Head) -> Began {
    let user_agent = head.headers.get(USER_AGENT);
    let said = user_agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let address = head.viewer.address.ip();
    let address = match policies.config.qoe.addresses {
        Addresses::Truncated => Some(truncated(address)),
        Addresses::Hashed => Some(edge.stories.key().address(address, day(edge.clock.wall())).to_string()),
        Addresses::None => None,
    };
    Began {
        access: None,
        subject: None,
        protocol: head.protocol.label().into(),
        tls: head.scheme == Scheme::Https,
        device: Device::of(user_agent.map(HeaderValue::as_bytes).unwrap_or_default()).word().into(),
        player: player(said).map(Into::into),
        address: address.map(Into::into),
        country: admit::country(&edge.countries, head).map(|country| country.code().into()),
    }
}

/// The device that asks, as far as it can be told from others.
pub fn opener(head: &Head) -> Opener<'_> {
    let user_agent = head.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    Opener { address: head.viewer.address.ip(), user_agent }
}

/// What a path names by its ending.
pub fn named(path: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is = |endings: &[&str]| endings.iter().any(|one| ending.eq_ignore_ascii_case(one));
    if is(&["m3u8", "m3u", "mpd"]) {
        return Kind::Playlist;
    }
    if is(&["ts", "m4s", "mp4", "m4v", "m4a", "m4f", "cmfv", "cmfa", "cmft", "aac", "ac3", "ec3", "mp3", "webm", "vtt"])
    {
        return if name.starts_with("init") { Kind::Init } else { Kind::Segment };
    }
    Kind::Plain
}

/// What is told of a request once its answer has ended.
pub struct Witness {
    stories: Arc<Stories>,
    watcher: Watcher,
    route: Arc<str>,
    kind: Kind,
    cause: Option<&'static str>,
    refused: Option<(&'static str, &'static str)>,
    hold: Duration,
    noted: Noted,
    line: Way,
    id: RequestId,
}

/// How an answer is dressed, as far as it is told.
pub struct Dressed<'a> {
    /// The route.
    pub route: &'a RoutePolicy,
    /// Why it is none.
    pub refusal: Option<&'a Refusal>,
    /// What was done with the origin's answer.
    pub provenance: Option<&'a Provenance>,
    /// The hold.
    pub held: Option<Duration>,
    /// The request's identifier.
    pub id: RequestId,
}

impl Witness {
    /// Of a request whose answer is about to be sent; `None`: it belongs to no story.
    pub fn of(
        edge: &Edge,
        policies: &Policies,
        (head, watcher): (&Head, Option<&Watcher>),
        dressed: &Dressed<'_>,
    ) -> Option<Self> {
        if !is_told(policies, head) {
            return None;
        }
        let Dressed { route, refusal, provenance, held, id } = *dressed;
        let noted = head.notes.all();
        let watcher = match watcher {
            Some(watcher) => watcher.clone(),
            None => match noted.kind.filter(|_| route.gated.is_none()) {
                Some(kind) => enter(edge, policies, (head, route), Some(kind))?,
                None => Watcher { session: shut_out(edge, (head, route), refusal, &noted)?, open: None },
            },
        };
        let cause = match provenance.map(|provenance| provenance.handling) {
            Some(Handling::Forwarded { why, .. }) => Some(why.as_str()),
            Some(Handling::Hit) | None => None,
        };
        let witness = Self {
            stories: edge.stories.clone(),
            watcher,
            route: route.name.clone(),
            kind: noted.kind.unwrap_or_else(|| named(&head.path)),
            cause,
            refused: refusal.map(|refusal| (refusal.word(), fault(refusal.fault()))),
            hold: held.unwrap_or_default(),
            noted,
            line: head.line.clone(),
            id,
        };
        witness.judged((head, route), refusal);
        witness.path((head, route));
        Some(witness)
    }

    /// Whose story it belongs to.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// What was asked for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How the way to the viewer is, where its transport has said something new, and no proxy stands in between.
    fn path(&self, (head, route): (&Head, &RoutePolicy)) {
        if head.viewer.proxy == Proxy::Trusted || head.viewer.address != head.viewer.peer {
            return;
        }
        let Some(Sample { sending, retransmits }) = head.line.news() else { return };
        let whose = Whose { session: self.watcher.session, route: &self.route, stream: route.stream(&head.path) };
        let path = Path {
            rtt_us: u32::try_from(sending.round_trip_us).unwrap_or(u32::MAX),
            retransmits,
            window: sending.congestion_window,
            throughput_kbps: sending.throughput_kbps(),
        };
        let at = millis(self.stories.clock().wall());
        self.stories.folds.path(&whose, head.protocol.label(), (path, at));
    }

    /// A token was refused.
    fn judged(&self, (head, route): (&Head, &RoutePolicy), refusal: Option<&Refusal>) {
        let (Some(Refusal::Token(why) | Refusal::TokenAnswer(why, _)), Some(gated)) = (refusal, &route.gated) else {
            return;
        };
        let (at, stream) = (millis(self.stories.clock().wall()), route.stream(&head.path));
        let whose = Whose { session: self.watcher.session, route: &self.route, stream };
        if self.stories.folds.line(&whose, head.protocol.label(), at) == Line::None {
            return;
        }
        let event =
            Event::Verdict(Verdict { access: gated.terms.access.clone(), reason: Some(why.reason.word().into()) });
        let stream = Some(stream).filter(|stream| !stream.is_empty()).map(Into::into);
        let (session, route) = (Some(self.watcher.session), Some(self.route.clone()));
        self.stories.tell(Entry { at, session, route, stream, event });
    }

    /// The answer has ended. `path` is what was asked for, with the stream's name in it.
    pub fn ended(&self, (path, stream): (&str, Range<usize>), passage: &Passage, end: Sent, clock: &Clock) {
        if let Some(open) = &self.watcher.open {
            open.sent(passage.octets, clock.now());
        }
        let at = millis(clock.wall());
        let (folder, rest) = below(path, stream.clone());
        let stream = path.get(stream).unwrap_or_default();
        let whose = Whose { session: self.watcher.session, route: &self.route, stream };
        let worth = self.is_worth_a_line(passage, end);
        if worth && self.stories.folds.line(&whose, passage.protocol, at) == Line::Own {
            let event = Event::Request(Box::new(self.line(path, passage, end)));
            let stream = Some(stream).filter(|stream| !stream.is_empty()).map(Into::into);
            let (session, route) = (Some(whose.session), Some(self.route.clone()));
            self.stories.tell(Entry { at, session, route, stream, event });
            return;
        }
        let one = One {
            protocol: passage.protocol,
            kind: self.kind,
            hits: u32::from(matches!(passage.origination, Origination::Hit | Origination::Joined)),
            bytes: passage.octets,
            first_byte_ms: whole_ms(passage.first_byte.saturating_sub(self.hold)),
            sending_ms: whole_ms(passage.whole.saturating_sub(passage.first_byte)),
            hold_ms: whole_ms(self.hold),
            rendition: self.rendition(folder, rest),
            playlist_age_ms: self.noted.current.map(|current| whole_ms(current.age)),
            playlist_target_ms: self.noted.current.map(|current| whole_ms(current.target_duration)),
            behind_ms: self.noted.behind_ms,
        };
        self.stories.folds.add(&whose, &one, at);
    }

    fn is_worth_a_line(&self, passage: &Passage, end: Sent) -> bool {
        let slow = if self.noted.wait == Wait::Promised { SLOW_PROMISED } else { SLOW };
        let asks_origin =
            matches!(passage.origination, Origination::Miss | Origination::Revalidated | Origination::Stale);
        self.refused.is_some()
            || passage.status >= 400
            || end != Sent::Whole
            || asks_origin
            || self.noted.wait == Wait::Late
            || passage.first_byte.saturating_sub(self.hold) >= slow
    }

    fn line(&self, path: &str, passage: &Passage, end: Sent) -> Request {
        Request {
            kind: self.kind,
            path: carrier::loggable_path(path).into(),
            protocol: passage.protocol.into(),
            status: passage.status,
            cache: passage.origination.label().into(),
            cause: self.cause.map(Into::into),
            reason: self.refused.map(|(reason, _)| reason.into()),
            fault: self.refused.map(|(_, fault)| fault.into()),
            bytes: passage.octets,
            first_byte_ms: whole_ms(passage.first_byte.saturating_sub(self.hold)),
            took_ms: whole_ms(passage.whole),
            hold_ms: whole_ms(self.hold),
            complete: end == Sent::Whole,
            broken: self.broken(end).map(Into::into),
            playlist_age_ms: self.noted.current.map(|current| whole_ms(current.age)),
            playlist_target_ms: self.noted.current.map(|current| whole_ms(current.target_duration)),
            behind_ms: self.noted.behind_ms,
            origin: self.noted.fetch.as_deref().cloned(),
            id: self.id.to_string().into(),
        }
    }

    /// Who broke an answer off: a viewer who wants no more of it says so, and the connection goes on or is closed.
    fn broken(&self, end: Sent) -> Option<&'static str> {
        match end {
            Sent::Whole => None,
            Sent::Cut if self.line.is_dead() => Some("network"),
            Sent::Cut => Some("viewer"),
            Sent::Short => Some("origin"),
            Sent::Revoked => Some("issuer"),
        }
    }

    /// The folder below the stream; a media playlist beside the others of its stream is told by its name.
    fn rendition<'p>(&self, folder: &'p str, name: &'p str) -> &'p str {
        match self.kind {
            Kind::Playlist | Kind::Part | Kind::Segment | Kind::Init if !folder.is_empty() => folder,
            Kind::Playlist => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
            _ => "",
        }
    }
}

/// The folder of what lies below a stream, and its name.
fn below(path: &str, stream: Range<usize>) -> (&str, &str) {
    let rest = path.get(stream.end..).unwrap_or_default().trim_start_matches('/');
    rest.rsplit_once('/').unwrap_or(("", rest))
}

/// Who is refused although nobody let them in has a story all the same: that of the device that asks.
fn shut_out(
    edge: &Edge,
    (head, route): (&Head, &RoutePolicy),
    refusal: Option<&Refusal>,
    noted: &Noted,
) -> Option<SessionId> {
    refusal?;
    route.gated.as_ref()?;
    let by_device = || {
        let place = (&*route.name, route.stream(&head.path));
        edge.stories.key().open_session(place, &opener(head), day(edge.clock.wall()))
    };
    Some(noted.shut_out.unwrap_or_else(by_device))
}

const fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Viewer => "viewer",
        Fault::Origin => "origin",
        Fault::Node => "node",
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_names_is_told_by_its_ending() {
        for (path, kind) in [
            ("/live/a/main.m3u8", Kind::Playlist),
            ("/live/a/high/7.M4S", Kind::Segment),
            ("/live/a/init-1.mp4", Kind::Init),
            ("/live/a/poster.jpg", Kind::Plain),
            ("/", Kind::Plain),
        ] {
            assert_eq!(named(path), kind, "{path}");
        }
    }

    #[test]
    fn what_lies_below_a_stream_has_a_folder_and_a_name() {
        let path = "/live/a/high/7.m4s";
        assert_eq!(below(path, 6..7), ("high", "7.m4s"));
        assert_eq!(below("/a/high.m3u8", 1..2), ("", "high.m3u8"));
        assert_eq!(below("/favicon.ico", 0..0), ("", "favicon.ico"));
        assert_eq!(below("/", 9..9), ("", ""));
    }
}
