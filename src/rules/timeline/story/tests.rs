//! Small histories, each with the cause that it must be told with; and what holds for every history there can be.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::event::{
    Began, Ended, Entry, Event, Fetch, Kind as Asked, Lost, NodeChange, Path, Request, Served, Verdict,
};
use super::{Cause, Fault, Kind, Severity, Source, Story, Told, story};
use crate::rules::qoe::report::{Data, Mode, Numbers, ObjectType, Rated, Report, State};
use crate::rules::session::SessionId;

const ME: SessionId = SessionId([7; 12]);
const OTHER: SessionId = SessionId([8; 12]);
/// When histories begin: 20:30:00 of some day.
const EPOCH: u64 = 1_700_000_000_000 / 86_400_000 * 86_400_000 + 73_800_000;

/// A history that is written line by line; times in milliseconds since it began.
#[derive(Clone, Default)]
struct History {
    told: Vec<Told>,
    node: Option<Arc<str>>,
    number: u64,
}

fn history() -> History {
    History::default()
}

impl History {
    fn entry(mut self, at: u64, session: Option<SessionId>, event: Event) -> Self {
        let node = self.node.clone().unwrap_or_else(|| "edge-1".into());
        let stream = session.map(|_| "live/one".into());
        let route = session.map(|_| "live".into());
        let entry = Entry { at: EPOCH + at, session, route, stream, event };
        self.told.push(Told { node, entry });
        self
    }

    fn on(self, node: &str) -> Self {
        Self { node: Some(node.into()), ..self }
    }

    fn of_me(self, at: u64, event: Event) -> Self {
        self.entry(at, Some(ME), event)
    }

    fn comes(self, at: u64) -> Self {
        let began = Began { protocol: "h2".into(), tls: true, device: "browser".into(), ..Began::default() };
        self.of_me(at, Event::Began(began))
    }

    /// Every second from `from` to `to`, what a player asks for comes in time.
    fn served(mut self, from: u64, to: u64) -> Self {
        for at in (from..to).step_by(1_000) {
            let served = Served {
                protocol: "h2".into(),
                requests: 4,
                playlists: 2,
                media: 2,
                hits: 4,
                bytes: 700_000,
                first_byte_ms: 8,
                sending_ms: 60,
                hold_ms: 480,
                ..Served::default()
            };
            self = self.of_me(at, Event::Served(Box::new(served)));
        }
        self
    }

    fn request(self, at: u64, request: Request) -> Self {
        let request = Request { kind: Asked::Part, path: "v1/41.mp4".into(), protocol: "h2".into(), ..request };
        self.of_me(at, Event::Request(Box::new(request)))
    }

    /// Another request than for a part.
    fn asks(self, at: u64, kind: Asked, request: Request) -> Self {
        self.of_me(at, Event::Request(Box::new(Request { kind, protocol: "h2".into(), complete: true, ..request })))
    }

    /// What the playlist lists is not there at the origin.
    fn lacks(self, at: u64) -> Self {
        let fetch = Fetch { id: at, origin: "main".into(), status: Some(404), error: None, wait_ms: 12 };
        let request =
            Request { status: 404, cache: "miss".into(), cause: Some("uri-miss".into()), ..Request::default() };
        self.request(at, Request { origin: Some(fetch), complete: true, took_ms: 14, ..request })
    }

    /// An answer was broken off.
    fn drops(self, at: u64, by: &str) -> Self {
        let request = Request { status: 200, cache: "hit".into(), took_ms: 900, ..Request::default() };
        self.request(at, Request { broken: Some(by.into()), complete: false, ..request })
    }

    /// The node asked an origin for the stream, and nobody waited for it.
    fn fetched(mut self, at: u64, error: &str) -> Self {
        let fetch = Fetch { id: at, origin: "main".into(), status: None, error: Some(error.into()), wait_ms: 5_000 };
        self = self.entry(at, None, Event::Fetch(Box::new(fetch)));
        let told = self.told.last_mut().expect("it was just told");
        told.entry.stream = Some("live/one".into());
        self
    }

    /// Every second from `from` to `to`, what a player asks for comes in time, and the playlist with it is that old.
    fn aged(mut self, from: u64, to: u64, age: impl Fn(u64) -> Served) -> Self {
        let first = self.told.len();
        self = self.served(from, to);
        for told in &mut self.told[first..] {
            let at = told.entry.at - EPOCH;
            if let Event::Served(served) = &mut told.entry.event {
                (served.playlist_age_ms, served.playlist_target_ms) =
                    (age(at).playlist_age_ms, age(at).playlist_target_ms);
            }
        }
        self
    }

    /// All that was served so far was of this rendition.
    fn of_rendition(mut self, rendition: &str) -> Self {
        for told in &mut self.told {
            if let Event::Served(served) = &mut told.entry.event {
                served.rendition = Some(rendition.into());
            }
        }
        self
    }

    fn loses(self, at: u64, reason: &str) -> Self {
        self.entry(at, None, Event::Lost(Lost { reason: reason.into(), count: 7 }))
    }

    /// A miss that waited for the origin.
    fn miss(self, at: u64, wait_ms: u64) -> Self {
        let fetch = Fetch { id: at, origin: "main".into(), status: Some(200), error: None, wait_ms };
        let (took_ms, first_byte_ms) = (wait_ms + 20, wait_ms + 2);
        let request =
            Request { status: 200, cache: "miss".into(), complete: true, took_ms, first_byte_ms, ..Request::default() };
        self.request(at, Request { origin: Some(fetch), ..request })
    }

    /// A miss that the origin failed.
    fn failed(self, at: u64, error: &str, status: Option<u16>) -> Self {
        let reason = match error {
            "" => "origin-status".into(),
            "connect" => "origin-unreachable".into(),
            other => format!("origin-{other}").into(),
        };
        let error: Option<Box<str>> = (!error.is_empty()).then(|| error.into());
        let fetch = Fetch { id: at, origin: "main".into(), status, error, wait_ms: 40 };
        let request = Request { status: 502, reason: Some(reason), fault: Some("origin".into()), ..Request::default() };
        self.request(at, Request { origin: Some(fetch), complete: true, ..request })
    }

    fn refused(self, at: u64, status: u16, reason: &str) -> Self {
        let request = Request { status, reason: Some(reason.into()), cache: "refused".into(), ..Request::default() };
        self.request(at, Request { complete: true, ..request })
    }

    fn verdict(self, at: u64, reason: Option<&str>) -> Self {
        self.of_me(at, Event::Verdict(Verdict { access: "members".into(), reason: reason.map(Into::into) }))
    }

    fn says(mut self, at: u64, data: Data) -> Self {
        self.number += 1;
        let data = Data { ts: data.ts.or(Some(EPOCH + at)), sn: Some(self.number), ..data };
        let record = Some(format!("{:032x}", self.number).into());
        self.of_me(at, Event::Report(Box::new(Report { mode: Mode::Event, view: None, record, data })))
    }

    /// A request says so.
    fn asks_by(self, at: u64, data: Data) -> Self {
        self.of_me(at, Event::Report(Box::new(Report { mode: Mode::Request, view: None, record: None, data })))
    }

    fn state(self, at: u64, sta: State) -> Self {
        let data = Data { e: Some("ps".into()), sta: Some(sta), br: kbps(2_500), ..Data::default() };
        self.says(at, data)
    }

    /// A player starts and plays.
    fn plays(self, at: u64) -> Self {
        self.state(at, State::Starting).state(at + 700, State::Playing)
    }

    fn stalls(self, from: u64, to: u64) -> Self {
        self.state(from, State::Rebuffering).state(to, State::Playing)
    }

    fn path(self, at: u64, rtt_us: u32, (retransmits, throughput_kbps): (u64, Option<u64>)) -> Self {
        self.of_me(at, Event::Path(Path { rtt_us, retransmits, window: 100_000, throughput_kbps }))
    }

    fn change(self, at: u64, what: &str, of: &str) -> Self {
        let of = (!of.is_empty()).then(|| of.into());
        self.entry(at, None, Event::Node(NodeChange { what: what.into(), of, ..NodeChange::default() }))
    }

    fn playlist(mut self, at: u64, what: &str, of: &str) -> Self {
        self = self.change(at, what, of);
        self.told.last_mut().expect("it was just told").entry.stream = Some("live/one".into());
        self
    }

    /// An origin is not well, or is again, that these routes may ask; the first of them has no other.
    fn origin(self, at: u64, what: &str, (of, routes): (&str, &[&str])) -> Self {
        let routes: Vec<Arc<str>> = routes.iter().map(|route| Arc::from(*route)).collect();
        let only_for = routes.iter().take(1).cloned().collect();
        let change = NodeChange { what: what.into(), of: Some(of.into()), detail: None, routes, only_for };
        self.entry(at, None, Event::Node(change))
    }

    fn over(self, at: u64, reason: &str) -> Self {
        self.of_me(at, Event::Ended(Ended { reason: reason.into(), requests: 100, bytes: 1_000_000 }))
    }

    fn story(&self) -> Story {
        story(ME, &self.told).expect("something is of this session")
    }
}

fn kbps(value: u64) -> Numbers {
    Rated { value, of: None }.into()
}

/// A viewer who plays for a minute.
fn minute() -> History {
    history().comes(0).served(0, 60_000).plays(100)
}

/// What happened, why it is told to have happened, and a part of the headline.
#[expect(clippy::too_many_lines, reason = "a table")]
fn histories() -> Vec<(&'static str, History, Cause, &'static str)> {
    let slow = Request { status: 200, complete: true, cache: "hit".into(), first_byte_ms: 4_000, ..Request::default() };
    let cut = Request { status: 200, complete: false, cache: "hit".into(), ..Request::default() };
    let lost = Event::Lost(Lost { reason: "ring-full".into(), count: 7 });
    vec![
        ("all is well", minute(), Cause::NothingWrong, "Nothing went wrong: 58.2 s played"),
        ("nobody reports", history().comes(0).served(0, 60_000), Cause::NothingWrong, "says nothing of stalls"),
        (
            "the origin is slow for eight seconds",
            minute().stalls(24_000, 29_000).miss(22_000, 300).miss(29_000, 7_900),
            Cause::OriginSlow,
            "Playback stalled for 5.0 s at 20:30:24: origin main was slow, up to 7.9 s for v1/41.mp4 (fault: origin).",
        ),
        (
            "the same, and the player tells of nothing",
            history().comes(0).served(0, 20_000).miss(28_000, 7_900).served(29_000, 40_000),
            Cause::OriginSlow,
            "Delivery was held up for 7.9 s from 20:30:20: origin main was slow, up to 7.9 s",
        ),
        ("the origin is slow and nobody stalls", minute().miss(29_000, 2_500), Cause::NothingWrong, "no stall"),
        (
            "the origin does not answer in time",
            minute().stalls(24_000, 30_000).failed(28_000, "timeout", None).miss(29_500, 5_000),
            Cause::OriginSlow,
            "origin main was slow",
        ),
        (
            "the origin is down",
            minute().stalls(24_000, 29_000).failed(25_000, "connect", None).failed(26_000, "connect", None),
            Cause::OriginDown,
            "origin main could not be reached",
        ),
        (
            "the origin is known to be down",
            minute().stalls(24_000, 34_000).origin(23_000, "origin-down", ("main", &["live"])).change(
                33_000,
                "origin-up",
                "main",
            ),
            Cause::OriginDown,
            "Playback stalled for 10.0 s at 20:30:24: origin main was not well",
        ),
        (
            "the origin answers with errors",
            minute().stalls(24_000, 29_000).failed(23_000, "", Some(503)).failed(25_000, "", Some(503)),
            Cause::OriginError,
            "origin main answered twice with an error (503)",
        ),
        (
            "the playlist stops advancing",
            minute().stalls(24_000, 29_000).change(21_000, "playlist-late", "v1.m3u8").change(
                28_500,
                "playlist-again",
                "v1.m3u8",
            ),
            Cause::PlaylistLate,
            "the origin's playlist did not advance for 7.5 s",
        ),
        (
            "reloads are held in vain",
            history().comes(0).served(0, 20_000).refused(26_000, 503, "hold-timeout").refused(
                32_000,
                503,
                "hold-timeout",
            ),
            Cause::PlaylistLate,
            "New media was late",
        ),
        (
            "the token is taken back",
            minute().refused(60_500, 403, "revoked").refused(61_500, 403, "revoked").over(60_400, "revoked"),
            Cause::Revoked,
            "The viewer was shut out at 20:31:00 after 1 min 0 s: the issuer took the session back",
        ),
        (
            "the token is taken back during a stall of the origin's",
            minute().stalls(24_000, 32_000).miss(32_000, 7_900).verdict(60_500, Some("revoked")),
            Cause::Revoked,
            "The viewer was shut out",
        ),
        (
            "the token is an old one",
            history().comes(0).verdict(0, Some("token-expired")).refused(1, 401, "token-expired"),
            Cause::TokenExpired,
            "The viewer was not let in at 20:30:00: the viewer's token had expired (fault: viewer).",
        ),
        (
            "the token runs out while somebody watches",
            minute().verdict(61_000, Some("token-expired")),
            Cause::TokenExpired,
            "shut out at 20:31:01",
        ),
        ("there is no token", history().refused(0, 401, "token-missing"), Cause::TokenMissing, "sent no token"),
        (
            "the token is for something else",
            history().verdict(0, Some("uri-out-of-scope")),
            Cause::TokenRefused,
            "does not open what was asked for (uri-out-of-scope)",
        ),
        (
            "the issuer signs with a key that nobody knows",
            history().verdict(0, Some("key-unknown")),
            Cause::IssuerMismatch,
            "(fault: issuer)",
        ),
        ("no keys", history().refused(0, 503, "keys-unavailable"), Cause::KeysUnavailable, "keys could not be had"),
        ("paid for is over", minute().over(61_000, "entitlement-over"), Cause::EntitlementOver, "was over"),
        ("one too many", minute().refused(61_000, 403, "session-limit"), Cause::SessionLimit, "as many sessions"),
        ("abroad", history().verdict(0, Some("geo-refused")), Cause::PlaceRefused, "(fault: viewer)"),
        (
            "a token is renewed late",
            minute()
                .verdict(30_200, Some("token-expired"))
                .verdict(32_100, Some("token-expired"))
                .verdict(33_000, None),
            Cause::TokenExpired,
            "2 requests were refused between 20:30:30 and 20:30:32",
        ),
        (
            "the node is drained",
            history().comes(0).served(0, 30_000).plays(100).change(30_000, "draining", ""),
            Cause::NodeDrained,
            "The viewer was sent away at 20:30:30: node edge-1 was drained (fault: node).",
        ),
        (
            "the node is drained, and another takes over",
            history()
                .comes(0)
                .served(0, 30_000)
                .plays(100)
                .change(30_000, "draining", "")
                .on("edge-2")
                .comes(33_000)
                .served(33_000, 60_000)
                .stalls(31_000, 33_500),
            Cause::NodeDrained,
            "node edge-1 was drained",
        ),
        (
            "a drain is taken back",
            minute().change(30_000, "draining", "").change(31_000, "drain-cancelled", ""),
            Cause::NothingWrong,
            "Nothing went wrong",
        ),
        (
            "the node is started anew",
            history().comes(0).served(0, 30_000).change(32_000, "started", "").served(33_000, 60_000).plays(100),
            Cause::NodeRestarted,
            "node edge-1 was started anew",
        ),
        (
            "the node is full",
            history().refused(0, 503, "node-full"),
            Cause::NodeOverloaded,
            "node edge-1 had no room (node-full)",
        ),
        (
            "the node is slow itself",
            minute().stalls(24_000, 27_000).request(26_000, slow),
            Cause::NodeOverloaded,
            "took 4.0 s to answer from its memory",
        ),
        (
            "no route leads there",
            history().refused(0, 404, "no-route"),
            Cause::NodeConfiguration,
            "is not configured for what was asked (no-route)",
        ),
        (
            "the path carries too little",
            minute().stalls(24_000, 30_000).path(23_000, 90_000, (3, Some(900))).request(25_000, cut),
            Cause::NetworkSlow,
            "the network carried 900 kbit/s, and the stream takes 2.5 Mbit/s",
        ),
        (
            "the path loses packets",
            minute().stalls(24_000, 30_000).path(5_000, 60_000, (2, None)).path(26_000, 180_000, (900, None)),
            Cause::NetworkLossy,
            "898 were sent again",
        ),
        (
            "the path is gone for a while",
            history()
                .comes(0)
                .plays(100)
                .served(0, 20_000)
                .says(33_000, Data { ts: Some(EPOCH + 22_000), sta: Some(State::Rebuffering), ..Data::default() })
                .state(33_500, State::Playing)
                .served(33_000, 60_000),
            Cause::NetworkDown,
            "reports came 11.0 s late",
        ),
        (
            "the player stalls though all is there",
            minute().stalls(24_000, 29_000),
            Cause::PlayerStalled,
            "the player stalled by itself, 28 objects of media came in time (fault: player).",
        ),
        (
            "the player gives up though all is there",
            minute()
                .says(30_000, Data { sta: Some(State::Failed), ec: vec!["bufferAppend".into()], ..Data::default() }),
            Cause::PlayerFailed,
            "The player gave up at 20:30:30 (bufferAppend)",
        ),
        (
            "the player gives up because the origin is down",
            minute()
                .failed(25_000, "reset", None)
                .failed(27_000, "connect", None)
                .failed(29_000, "connect", None)
                .says(30_000, Data { sta: Some(State::Failed), ..Data::default() }),
            Cause::OriginDown,
            "The player gave up at 20:30:30: origin main could not be reached",
        ),
        (
            "it takes long to start",
            history()
                .comes(0)
                .state(0, State::Starting)
                .miss(8_500, 8_400)
                .state(9_000, State::Playing)
                .served(9_000, 30_000),
            Cause::OriginSlow,
            "Playback took 9.0 s to start",
        ),
        (
            "it never starts",
            history().comes(0).state(0, State::Starting).failed(3_000, "", Some(500)).failed(9_000, "", Some(500)),
            Cause::OriginError,
            "Playback did not start within 9.0 s",
        ),
        (
            "nothing was kept of it",
            history().plays(0).stalls(5_000, 9_000).entry(6_000, None, lost.clone()),
            Cause::Unexplained,
            "and nothing that was kept says why",
        ),
        (
            "an old player says only that it starved",
            history()
                .comes(0)
                .served(0, 60_000)
                .miss(29_000, 7_900)
                .asks_by(29_500, Data { bs: Some(true), br: kbps(2_500), ..Data::default() }),
            Cause::OriginSlow,
            "Playback stalled at 20:30:29",
        ),
        (
            "an old player says what it is in need of, and how much it had",
            history()
                .comes(0)
                .served(0, 60_000)
                .asks_by(100, Data { su: Some(true), ..part() })
                .asks_by(600, part())
                .asks_by(21_000, Data { bl: kbps(1_500), ..part() })
                .miss(29_000, 7_900)
                .asks_by(29_500, Data { su: Some(true), bs: Some(true), ..part() })
                .asks_by(29_700, part()),
            Cause::OriginSlow,
            "Playback stalled for 6.7 s at 20:30:22",
        ),
    ]
}

/// What a request for a part says of it.
fn part() -> Data {
    Data { ot: Some(ObjectType::Video), d: Some(333), ..Data::default() }
}

/// Histories in which the one who is easily blamed had no part in it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn innocents() -> Vec<(&'static str, History, Cause, &'static str)> {
    let old = Request { status: 200, cache: "hit".into(), playlist_age_ms: Some(40_000), ..Request::default() };
    let lacking = (0..10).fold(history().comes(0).served(0, 20_000), |told, number| told.lacks(20_000 + 700 * number));
    let moved = || {
        let told = history().comes(0).served(0, 30_000).plays(100).change(30_000, "draining", "");
        told.on("edge-2").comes(33_000).served(33_000, 60_000)
    };
    vec![
        (
            "a multivariant playlist is as old as it may be",
            history()
                .comes(0)
                .state(0, State::Starting)
                .asks(900, Asked::Multivariant, old)
                .served(1_000, 60_000)
                .says(6_000, Data { sta: Some(State::Playing), msd: Some(6_000), ..Data::default() }),
            Cause::PlayerStalled,
            "Playback took 6.0 s to start at 20:30:00: the player stalled by itself",
        ),
        (
            "an origin that never served them is down",
            minute().stalls(24_000, 29_000).change(20_000, "origin-down", "elsewhere"),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "an origin of another route is down",
            minute().stalls(24_000, 29_000).origin(20_000, "origin-down", ("main", &["news"])),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "one of several origins is down, and the stream comes from another",
            minute().stalls(24_000, 29_000).miss(18_000, 40).origin(
                20_000,
                "origin-down",
                ("backup", &["news", "live"]),
            ),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "the origin that the stream came from is down, and another takes over",
            minute().stalls(24_000, 29_000).miss(18_000, 40).origin(20_000, "origin-down", ("main", &["news", "live"])),
            Cause::OriginDown,
            "origin main was not well",
        ),
        (
            "an origin is down at a node that the viewer has left",
            minute().on("edge-2").served(10_000, 60_000).on("edge-1").origin(
                40_000,
                "origin-down",
                ("main", &["live"]),
            ),
            Cause::NothingWrong,
            "no stall",
        ),
        (
            "an origin went down with a process, and nobody told that it is up again",
            minute()
                .stalls(24_000, 29_000)
                .origin(2_000, "origin-down", ("main", &["live"]))
                .change(4_000, "started", ""),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "the origin lacks what its playlist lists",
            lacking.served(28_000, 40_000),
            Cause::OriginError,
            "origin main answered 10 times with an error (404) for v1/41.mp4 (fault: origin).",
        ),
        (
            "the player stalls for want of what the origin lacks",
            minute().stalls(24_000, 29_000).lacks(22_000).lacks(23_000).lacks(25_000),
            Cause::OriginError,
            "Playback stalled for 5.0 s at 20:30:24: origin main answered 3 times with an error (404)",
        ),
        (
            "the player drops what it had begun, and stalls",
            minute().stalls(24_000, 29_000).drops(22_000, "viewer").drops(23_000, "viewer").drops(24_500, "viewer"),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "the way to the viewer breaks down",
            minute().stalls(24_000, 29_000).drops(24_500, "network").drops(24_500, "network"),
            Cause::NetworkSlow,
            "the network did not carry 2 bodies to its end",
        ),
        (
            "the origin breaks off",
            minute().stalls(24_000, 29_000).drops(23_000, "origin").drops(25_000, "origin"),
            Cause::OriginError,
            "origin of the stream answered twice with an error",
        ),
        (
            "old records make room for new ones",
            minute().stalls(24_000, 29_000).loses(26_000, "log-full-intervals").loses(27_000, "log-full"),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "more questions to origins failed than are told",
            minute().stalls(24_000, 29_000).loses(26_000, "fetches"),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "one question to the origin failed for which nobody waited",
            history().comes(0).served(0, 60_000).fetched(30_000, "timeout"),
            Cause::NothingWrong,
            "says nothing of stalls",
        ),
        (
            "a drained node starts anew when its viewers are elsewhere",
            moved().on("edge-1").change(50_000, "stopping", "").change(55_000, "started", ""),
            Cause::NodeDrained,
            "The viewer was sent away at 20:30:30 and went on at node edge-2: node edge-1 was drained",
        ),
        (
            "the drain of another node is taken back",
            moved().change(40_000, "draining", "").change(41_000, "drain-cancelled", ""),
            Cause::NodeDrained,
            "The viewer was sent away at 20:30:30 and went on at node edge-2: node edge-1 was drained",
        ),
        (
            "another playlist is late for long, and the watched one for a while",
            minute()
                .of_rendition("v1")
                .stalls(24_000, 29_000)
                .playlist(5_000, "playlist-late", "/live/one/v2.m3u8")
                .playlist(21_000, "playlist-late", "/live/one/v1.m3u8")
                .playlist(28_500, "playlist-again", "/live/one/v1.m3u8"),
            Cause::PlaylistLate,
            "the origin's playlist did not advance for 7.5 s",
        ),
        (
            "another playlist than the watched one is late",
            minute().of_rendition("v1").stalls(24_000, 29_000).playlist(20_000, "playlist-late", "/live/one/v2.m3u8"),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
        (
            "a process ended while a playlist was late, and nobody told that it advances again",
            minute().stalls(24_000, 29_000).change(2_000, "playlist-late", "v1.m3u8").change(4_000, "started", ""),
            Cause::PlayerStalled,
            "the player stalled by itself",
        ),
    ]
}

#[test]
fn a_playlist_that_is_as_old_as_its_target_duration_allows_is_not_late() {
    let told = |age: fn(u64) -> u64| {
        let target = Some(12_000);
        let aged = |at| Served { playlist_age_ms: Some(age(at)), playlist_target_ms: target, ..Served::default() };
        history().comes(0).aged(0, 120_000, aged).story()
    };
    let polled = told(|at| at % 12_000);
    assert_eq!(polled.cause, Cause::NothingWrong, "{}", polled.headline);
    let silent = told(|at| if at < 60_000 { at % 12_000 } else { at - 60_000 });
    assert_eq!(silent.cause, Cause::PlaylistLate, "{}", silent.headline);
    assert!(silent.headline.contains("the origin's playlist did not advance for 59.0 s"), "{}", silent.headline);
}

#[test]
fn a_hold_that_no_target_duration_explains_is_a_late_playlist() {
    let held = |hold_ms| {
        let late = Request {
            status: 200,
            cache: "hit".into(),
            hold_ms,
            playlist_target_ms: Some(4_000),
            ..Request::default()
        };
        minute().stalls(24_000, 29_000).asks(28_500, Asked::Playlist, late).story()
    };
    assert_eq!((held(5_000).cause, held(8_000).cause), (Cause::PlayerStalled, Cause::PlaylistLate));
}

#[test]
fn what_was_thinned_long_ago_does_not_make_a_story_incomplete() {
    let told = minute().loses(30_000, "log-full-responses").loses(31_000, "fetches").story();
    assert!(told.evidence.iter().all(|sentence| !sentence.contains("missing")), "{:?}", told.evidence);
    assert!(told.lines.iter().all(|line| line.kind != Kind::Lost));
    let told = minute().loses(30_000, "log-disk-late").story();
    assert!(told.evidence.iter().any(|sentence| sentence.contains("missing")), "{:?}", told.evidence);
}

#[test]
fn questions_to_origins_that_nobody_waited_for_are_lines_of_the_stream() {
    let told = history().comes(0).served(0, 60_000).fetched(30_000, "timeout").story();
    let fetches: Vec<_> = told.lines.iter().filter(|line| line.kind == Kind::Fetch).collect();
    assert_eq!(fetches.len(), 1);
    assert_eq!(fetches[0].source, Source::Origin);
}

#[test]
fn every_history_is_told_with_its_cause() {
    let histories = [histories(), innocents()].concat();
    assert!(histories.len() >= 25);
    let mut wrong = Vec::new();
    for (name, history, cause, part) in histories {
        let story = history.story();
        if story.cause != cause || !story.headline.contains(part) {
            wrong.push(format!("{name}: {:?}, not {cause:?} with `{part}`: {}", story.cause, story.headline));
        }
        assert_eq!(story.fault, story.cause.fault());
        assert!(story.headline.ends_with('.') && !story.headline.contains('\n'), "{}", story.headline);
        let sentences = [vec![story.headline.clone()], story.evidence.clone()].concat();
        if sentences.iter().any(|sentence| sentence.contains("()")) {
            wrong.push(format!("{name}: empty brackets: {sentences:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_cause_leaves_its_mark() {
    for (name, history, cause, _) in [histories(), innocents()].concat() {
        let own = history.told.iter().filter(|told| told.entry.session == Some(ME));
        let marks = own.fold(super::Marks::default(), |marks, told| marks.and(super::Marks::of(&told.entry)));
        assert!(marks.may_be(cause), "{name}: {cause:?}");
    }
    assert!(super::Marks::default().may_be(Cause::PlaylistLate), "told by a node alone where its player says nothing");
    assert!(!super::Marks::default().may_be(Cause::Revoked));
}

#[test]
fn every_party_is_at_fault_in_one_of_the_histories() {
    let faults: std::collections::BTreeSet<_> =
        histories().iter().map(|(_, history, _, _)| format!("{:?}", history.story().fault)).collect();
    assert_eq!(faults.len(), 7, "{faults:?}");
}

#[test]
fn a_players_clock_is_set_right_by_the_report_that_was_fastest() {
    // The clock is an hour ahead, and the second report waited for nine seconds on its way.
    let ahead = |at: u64, sta| Data { ts: Some(EPOCH + 3_600_000 + at), sta: Some(sta), ..Data::default() };
    let told = history()
        .comes(0)
        .says(1_050, ahead(1_000, State::Starting))
        .says(11_000, ahead(2_000, State::Playing))
        .says(12_040, ahead(12_000, State::Paused));
    let story = told.story();
    let states: Vec<_> =
        story.lines.iter().filter(|line| line.kind == Kind::State).map(|line| line.at - EPOCH).collect();
    assert_eq!(states, [1_040, 2_040, 12_040]);
    assert_eq!((story.figures.startup_ms, story.figures.played_ms), (Some(1_000), Some(10_000)));
}

#[test]
fn reports_that_came_twice_or_from_another_age_are_counted_and_not_told() {
    let mut told = minute().says(30_000, Data { ts: Some(EPOCH - 90_000_000), ..Data::default() });
    told.told.push(told.told[61].clone());
    told = told.says(31_000, Data::default());
    let mut gap = told.clone();
    gap.number += 4;
    let gap = gap.says(32_000, Data::default()).story();
    assert_eq!(gap.figures.reports_missing, 4);
    let story = told.story();
    assert_eq!((story.figures.reports_dropped, story.figures.reports_missing, story.figures.reports), (2, 0, 3));
}

#[test]
fn a_story_holds_nothing_of_others_and_of_nodes_only_what_concerns_it() {
    let theirs = Event::Verdict(Verdict { access: "members".into(), reason: Some("revoked".into()) });
    let told = minute()
        .entry(20_000, Some(OTHER), theirs)
        .change(20_000, "reloaded", "")
        .change(200_000, "draining", "")
        .change(25_000, "sink-down", "main")
        .on("edge-9")
        .change(30_000, "draining", "");
    let story = told.story();
    let changes: Vec<_> = story.lines.iter().filter(|line| line.kind == Kind::Change).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((changes[0].source, changes[0].severity), (Source::Node, Severity::Info));
    assert_eq!(story.fault, Fault::None);
    assert!(super::story(SessionId([9; 12]), &told.told).is_none());
}

#[test]
fn seconds_that_went_as_they_should_are_one_line() {
    let story = minute().story();
    let served: Vec<_> = story.lines.iter().filter(|line| line.kind == Kind::Served).map(|line| &*line.text).collect();
    assert_eq!(served.len(), 2, "{served:#?}");
    assert_eq!(
        served[1],
        "118 playlists, 118 media objects in 59 s: 39.3 MiB, 236 from memory, first octet within 8 ms, held up to 480 ms"
    );
    assert_eq!((story.figures.requests, story.figures.hits, story.figures.media), (240, 240, 120));
}

#[test]
fn a_long_story_keeps_what_hurt() {
    let mut told = history().comes(0);
    for number in 0..3_000 {
        told = told.miss(number * 1_000, 10);
    }
    let story = told.refused(3_000_500, 403, "revoked").story();
    assert_eq!((story.lines.len(), story.omitted), (1_000, 2_002));
    assert_eq!(story.lines.last().map(|line| line.severity), Some(Severity::Error));
}

#[test]
fn a_players_words_are_plain_and_short() {
    let ec = vec!["\u{1b}[2J".repeat(200).into()];
    let story = minute().says(30_000, Data { e: Some("e".into()), ec, ..Data::default() }).story();
    let line = story.lines.iter().find(|line| line.kind == Kind::Report).unwrap();
    assert!(line.text.len() < 320 && !line.text.chars().any(char::is_control), "{line:?}");
}

#[test]
fn a_story_is_read_as_it_was_written() {
    let story = minute().stalls(24_000, 29_000).story();
    let text = serde_json::to_string(&story).unwrap();
    assert_eq!(serde_json::from_str::<Story>(&text).unwrap(), story);
}

fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => EPOCH..EPOCH + 100_000, 1 => any::<u64>()]
}

fn any_word() -> impl Strategy<Value = Box<str>> {
    let words =
        ["revoked", "token-expired", "node-full", "origin-timeout", "hold-timeout", "idle", "draining", "started"];
    let more = ["playlist-late", "playlist-again", "origin-down", "origin-up", "no-such-word", ""];
    proptest::sample::select([words.as_slice(), &more].concat()).prop_map(Into::into)
}

fn any_fetch() -> impl Strategy<Value = Fetch> {
    (any::<u64>(), proptest::option::of(100_u16..600), proptest::option::of(any_word()), any::<u64>())
        .prop_map(|(id, status, error, wait_ms)| Fetch { id, origin: "main".into(), status, error, wait_ms })
}

fn any_request() -> impl Strategy<Value = Request> {
    let numbers = (100_u16..600, any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
    let rest =
        (proptest::option::of(any_word()), proptest::option::of(any_fetch()), proptest::option::of(any::<u64>()));
    (numbers, rest).prop_map(|((status, bytes, first_byte_ms, took_ms, hold_ms, complete), (reason, origin, age))| {
        Request {
            status,
            bytes,
            first_byte_ms,
            took_ms,
            hold_ms,
            complete,
            reason,
            origin,
            playlist_age_ms: age,
            playlist_target_ms: age.map(|age| age / 3),
            ..Request::default()
        }
    })
}

fn any_report() -> impl Strategy<Value = Report> {
    use State::{Ended, Failed, Paused, Playing, Quit, Rebuffering, Seeking, Starting};
    let states = [Starting, Playing, Rebuffering, Seeking, Paused, Ended, Failed, Quit];
    let number = || proptest::option::of(any::<u64>());
    let numbers = (proptest::option::of(any_time()), number(), number(), number(), number());
    let rest =
        (proptest::option::of(proptest::sample::select(states.to_vec())), any::<bool>(), any::<bool>(), any::<u8>());
    (numbers, rest).prop_map(|((ts, sn, br, bsd, dfa), (sta, bs, by_event, view))| {
        let list = |value: Option<u64>| value.into_iter().map(|value| Rated { value, of: None }).collect();
        let data = Data { ts, sn, br: list(br), bsd: list(bsd), dfa, sta, bs: Some(bs), ..Data::default() };
        let mode = if by_event { Mode::Event } else { Mode::Request };
        Report { mode, view: Some(SessionId([view % 2; 12])), record: None, data }
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any_word().prop_map(|word| Event::Verdict(Verdict { access: "a".into(), reason: Some(word) })),
        any_request().prop_map(|request| Event::Request(Box::new(request))),
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(requests, bytes, first_byte_ms, age)| {
            let numbers = (requests, bytes, first_byte_ms);
            let (requests, bytes, first_byte_ms) = numbers;
            let served =
                Served { requests, media: requests, bytes, first_byte_ms, sending_ms: age, ..Served::default() };
            Event::Served(Box::new(Served { playlist_age_ms: Some(age), playlist_target_ms: Some(age / 3), ..served }))
        }),
        any_fetch().prop_map(|fetch| Event::Fetch(Box::new(fetch))),
        any_report().prop_map(|report| Event::Report(Box::new(report))),
        (any::<u32>(), any::<u64>(), proptest::option::of(any::<u64>())).prop_map(
            |(rtt_us, retransmits, throughput_kbps)| {
                Event::Path(Path { rtt_us, retransmits, window: 0, throughput_kbps })
            }
        ),
        any_word().prop_map(|reason| Event::Ended(Ended { reason, requests: 1, bytes: 1 })),
        any_word().prop_map(|what| Event::Node(NodeChange { what, ..NodeChange::default() })),
        any::<u64>().prop_map(|count| Event::Lost(Lost { reason: "ring-full".into(), count })),
    ]
}

fn any_told() -> impl Strategy<Value = Vec<Told>> {
    let one = (any_time(), proptest::sample::select(vec![Some(ME), Some(ME), Some(OTHER), None]), any_event(), 0..2_u8);
    let told = one.prop_map(|(at, session, event, node)| {
        let entry = Entry { at, session, route: None, stream: None, event };
        Told { node: if node == 0 { "edge-1".into() } else { "edge-2".into() }, entry }
    });
    proptest::collection::vec(told, 0..40)
}

proptest! {
    #[test]
    fn any_entries_make_one_story_in_order(told in any_told()) {
        let has_own = told.iter().any(|told| told.entry.session == Some(ME));
        let first = story(ME, &told);
        prop_assert_eq!(first.is_some(), has_own);
        if let Some(first) = first {
            prop_assert!(first.lines.is_sorted_by_key(|line| line.at));
            prop_assert!(!first.headline.is_empty() && !first.headline.contains("()"));
            prop_assert_eq!(story(ME, &told), Some(first));
        }
    }

    #[test]
    fn the_order_in_which_nodes_answer_changes_nothing(told in any_told()) {
        // What bears one time stays as it came, so every time is there once; and reports bear two.
        let is_report = |told: &Told| matches!(told.entry.event, Event::Report(_));
        let told: Vec<_> = (0..).zip(told.into_iter().filter(|told| !is_report(told))).map(|(number, mut told)| {
            told.entry.at = (told.entry.at / 1_000).min(u64::MAX / 1_000 - 1) * 1_000 + number;
            told
        }).collect();
        let other_way: Vec<_> = told.iter().rev().cloned().collect();
        prop_assert_eq!(story(ME, &other_way), story(ME, &told));
    }
}
