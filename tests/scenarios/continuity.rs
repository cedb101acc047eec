//! A stream as one viewer lives through it: numbers that never fall, trouble of other channels that is not noticed, the
//! time that a URL asks for, how long and how urgently each answer is wanted, and the way to the live edge.
//! Order is forced by an origin that publishes when told to, and by what the node asks and holds.

use std::collections::{HashMap, HashSet};

use http::Method;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use weir_loadtest::client::Response;

use crate::script::{Body, Script, Seen, reply};
use crate::stage::{PAUSE, Setup, Stage, WAYS, tell};

const LIST: (&str, &str) = ("content-type", "application/vnd.apple.mpegurl");
/// Parts last half a second.
const PARTS_PER_SECOND: u64 = 2;
/// No more than three seconds of parts may be asked for ahead, the first that is missing counted (§6.2.5.2).
const AHEAD: u64 = 3 * PARTS_PER_SECOND - 1;

/// How far a list goes: its first segment, the one behind its last complete one, and parts of that.
#[derive(Clone, Copy, Debug)]
struct Edge {
    target: u64,
    first: u64,
    end: u64,
    parts: u64,
    is_ended: bool,
}

const LIVE: Edge = Edge { target: 4, first: 100, end: 112, parts: 1, is_ended: false };

impl Edge {
    fn next(&self) -> (u64, u64) {
        (self.end, self.parts)
    }

    /// The list, as of an hour of the day.
    fn text(&self, hour: u64) -> String {
        let target = self.target;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-MAP:URI=\"init.mp4\"\n",
            self.first
        );
        for msn in self.first..self.end {
            let (minute, second) = (msn * target / 60, msn * target % 60);
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{hour:02}:{minute:02}:{second:02}Z\n");
            text += &format!("#EXTINF:{target}.0,\ns{msn}.m4s\n");
        }
        for part in 0..self.parts {
            text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"s{}.{part}.m4s\"\n", self.end);
        }
        match self.is_ended {
            true => text + "#EXT-X-ENDLIST\n",
            false => text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s{}.{}.m4s\"\n", self.end, self.parts),
        }
    }
}

/// What the origin has.
#[derive(Clone, Default)]
struct Shown {
    lists: HashMap<&'static str, Edge>,
    /// Lists that it fails to send.
    down: HashSet<&'static str>,
    /// How often it began anew: its media differ, whatever their names.
    generation: u64,
}

/// An origin that holds reloads, of several lists.
struct Channels {
    shown: watch::Sender<Shown>,
    origin: Script,
}

impl Channels {
    async fn start(lists: &[(&'static str, Edge)]) -> Self {
        let (shown, seen) = watch::channel(Shown { lists: lists.iter().copied().collect(), ..Shown::default() });
        let origin = Script::start_with(move |request| Box::pin(answer(request, seen.clone()))).await;
        Self { shown, origin }
    }

    fn publish(&self, list: &str, change: impl FnOnce(&mut Edge)) {
        self.shown.send_modify(|shown| change(shown.lists.get_mut(list).unwrap()));
    }

    fn setup(&self) -> Setup {
        Setup { upstream: Some(self.origin.addr), ..Setup::default() }
    }

    /// Requests that end so.
    fn asked_for(&self, end: &str) -> usize {
        self.origin.seen().iter().filter(|seen| seen.target.ends_with(end)).count()
    }

    /// The node has taken what there was before this position: it asks for it.
    async fn is_asked_for(&self, stage: &Stage, (msn, part): (u64, u64)) {
        let end = format!("_HLS_msn={msn}&_HLS_part={part}");
        stage.until(&end, |_| self.asked_for(&end) > 0).await;
    }
}

async fn answer(seen: Seen, mut shown: watch::Receiver<Shown>) -> http::Response<Body> {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    if path == "/main.m3u8" {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"sound/list.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nlive/list.m3u8\n";
        return reply(200, &[LIST, ("cache-control", "max-age=60")], text);
    }
    let generation = shown.borrow().generation;
    let Some((path, _)) = shown.borrow().lists.get_key_value(path).map(|(path, edge)| (*path, *edge)) else {
        return reply(200, &[("cache-control", "no-cache")], format!("{path} of generation {generation}"));
    };
    let number = |name: &str| -> Option<u64> {
        query.split('&').find_map(|parameter| parameter.strip_prefix(name))?.strip_prefix('=')?.parse().ok()
    };
    let wanted = number("_HLS_msn").map(|msn| (msn, number("_HLS_part").unwrap_or(u64::MAX)));
    let is_there = |shown: &Shown| {
        let has_come = wanted.is_none_or(|wanted| shown.lists[path].next() > wanted);
        has_come || shown.generation != generation || shown.down.contains(path)
    };
    let shown = shown.wait_for(is_there).await.unwrap().clone();
    match shown.down.contains(path) {
        true => reply(500, &[], "off the air"),
        false => reply(200, &[LIST, ("cache-control", "no-cache")], shown.lists[path].text(shown.generation)),
    }
}

async fn body(answer: &mut Response) -> String {
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

/// The number that a tag says.
fn said(text: &str, tag: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(tag)).unwrap_or("0").parse().unwrap()
}

/// The first position that a list does not have.
fn next(text: &str) -> (u64, u64) {
    let segments = text.matches("#EXTINF:").count() as u64;
    let open = text.rsplit("#EXTINF:").next().unwrap().matches("#EXT-X-PART:").count() as u64;
    (said(text, "#EXT-X-MEDIA-SEQUENCE:") + segments, open)
}

/// Completes when so many requests are held.
async fn held(stage: &Stage, count: f64) {
    stage.until_metric("weir_held_requests", |held| held == count).await;
}

/// A viewer who waits for a position of a list.
async fn wait_for(stage: &Stage, list: &str, (msn, part): (u64, u64)) -> JoinHandle<Response> {
    let (viewer, path) = (stage.viewer().await, format!("{list}?_HLS_msn={msn}&_HLS_part={part}"));
    tokio::spawn(async move { viewer.get(&path, &[]).await.unwrap() })
}

fn seconds(answer: &Response, name: &str) -> u64 {
    answer.header(name).trim_start_matches("max-age=").parse().unwrap_or_else(|_| panic!("{name}: {answer:?}"))
}

#[tokio::test]
async fn a_stream_that_restarts_never_goes_back_for_its_viewers() {
    const PATH: &str = "/live/list.m3u8";
    let before = Edge { first: 5, end: 11, ..LIVE };
    for way in WAYS {
        let origin = Channels::start(&[(PATH, before)]).await;
        tell(way, origin.setup(), async |stage: &Stage| {
            let old = body(&mut stage.get(PATH).await).await;
            assert_eq!(next(&old), (11, 1));
            for name in ["s5.m4s", "s10.m4s", "init.mp4"] {
                let octets = body(&mut stage.get(&format!("/live/{name}")).await).await;
                assert_eq!(octets, format!("/live/{name} of generation 0"));
            }
            stage.settled().await;
            let waiting = [wait_for(stage, PATH, (11, 1)).await, wait_for(stage, PATH, (11, 3)).await];
            held(stage, 2.0).await;
            // The origin holds the node's reload: one that came later, in old numbers, it would hold until given up.
            origin.is_asked_for(stage, (11, 1)).await;

            // Smaller numbers, and a name that stood for something else.
            origin.shown.send_modify(|shown| {
                shown.generation = 1;
                shown.lists.insert(PATH, Edge { first: 3, end: 6, parts: 1, ..LIVE });
            });
            let mut last = next(&old);
            for waiting in waiting {
                let mut answer = waiting.await.unwrap();
                assert_eq!(answer.status, 200);
                let text = body(&mut answer).await;
                assert!(next(&text) > (11, 3), "{text}");
                assert!(said(&text, "#EXT-X-MEDIA-SEQUENCE:") >= 5, "{text}");
                let bridge = text.find("#EXT-X-DISCONTINUITY\n");
                let is_told = bridge.is_some_and(|at| at < text.find("s5.m4s").unwrap());
                assert!(is_told || said(&text, "#EXT-X-DISCONTINUITY-SEQUENCE:") > 0, "{text}");
                assert!(!text.contains("s10.m4s"), "nothing stands beside what uses names again: {text}");
                last = next(&text);
            }
            held(stage, 0.0).await;
            for (name, generation) in [("s5.m4s", 1), ("init.mp4", 1), ("s10.m4s", 0)] {
                let octets = body(&mut stage.get(&format!("/live/{name}")).await).await;
                assert_eq!(octets, format!("/live/{name} of generation {generation}"));
            }

            // It goes on in the viewers' numbers.
            let waiting = wait_for(stage, PATH, last).await;
            held(stage, 1.0).await;
            origin.publish(PATH, |edge| edge.parts = 2);
            let text = body(&mut waiting.await.unwrap()).await;
            assert_eq!(next(&text), (last.0, last.1 + 1));
            assert!(text.contains("URI=\"s6.1.m4s\""), "{text}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_channel_that_stands_still_touches_no_other() {
    const ON: &str = "/on/list.m3u8";
    const STILL: &str = "/still/list.m3u8";
    const DOWN: &str = "/down/list.m3u8";
    let edge = Edge { target: 1, ..LIVE };
    let mut stories = JoinSet::new();
    for way in WAYS {
        stories.spawn(async move {
            let origin = Channels::start(&[(ON, edge), (STILL, edge), (DOWN, edge)]).await;
            tell(way, origin.setup(), async |stage: &Stage| {
                for list in [ON, STILL, DOWN] {
                    assert_eq!(next(&body(&mut stage.get(list).await).await), (112, 1));
                }
                origin.shown.send_modify(|shown| _ = shown.down.insert(DOWN));
                let waiting = [wait_for(stage, STILL, (112, 1)).await, wait_for(stage, DOWN, (112, 1)).await];
                for parts in 2..8 {
                    let waiting = wait_for(stage, ON, (112, parts - 1)).await;
                    origin.publish(ON, |edge| edge.parts = parts);
                    let mut answer = waiting.await.unwrap();
                    assert_eq!(answer.status.as_u16(), 200);
                    assert!(["0", "1"].contains(&answer.header("age")), "{}", answer.header("age"));
                    assert_eq!(next(&body(&mut answer).await), (112, parts));
                }
                // Whoever waited is told, where a list failed perhaps with what its origin says.
                for (waiting, statuses) in waiting.into_iter().zip([&[503][..], &[500, 503]]) {
                    let answer = waiting.await.unwrap();
                    assert!(statuses.contains(&answer.status.as_u16()), "{}", answer.status);
                    assert_eq!(answer.header("cache-control"), "no-store");
                }
                // One list is repeated; the other has gone in the end.
                let mut repeated = stage.get(STILL).await;
                assert_eq!(repeated.status, 200);
                assert_eq!(next(&body(&mut repeated).await), (112, 1));
                while stage.get(DOWN).await.status == 200 {
                    tokio::time::sleep(PAUSE).await;
                }
                let mut answer = stage.get(DOWN).await;
                assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (500, "no-store"));
                assert!(body(&mut answer).await.contains("origin-status"));

                assert_eq!(stage.admin(Method::GET, "/readyz", "").await.0, 200);
                let waiting = wait_for(stage, ON, (112, 7)).await;
                origin.publish(ON, |edge| (edge.end, edge.parts) = (113, 0));
                // The part never came: its place is taken by the first one of the next segment.
                origin.publish(ON, |edge| edge.parts = 1);
                assert_eq!(next(&body(&mut waiting.await.unwrap()).await), (113, 1));
                // What was off the air comes back where it was.
                origin.shown.send_modify(|shown| _ = shown.down.remove(DOWN));
                while stage.get(DOWN).await.status != 200 {
                    tokio::time::sleep(PAUSE).await;
                }
                assert_eq!(next(&body(&mut stage.get(DOWN).await).await), (112, 1));
            })
            .await;
        });
    }
    stories.join_all().await;
}

#[tokio::test]
async fn catch_up_parameters_make_another_playlist() {
    const PATH: &str = "/live/list.m3u8";
    for way in WAYS {
        let origin = Script::start(|seen| {
            let edge = match seen.target.contains("start=") {
                true => Edge { first: 1, end: 3, is_ended: true, ..LIVE },
                false => Edge { is_ended: true, ..LIVE },
            };
            reply(200, &[LIST], edge.text(0))
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let live = body(&mut stage.get(PATH).await).await;
            let past = body(&mut stage.get(&format!("{PATH}?start=1&end=2")).await).await;
            assert_eq!((next(&live).0, next(&past).0), (112, 3));
            assert_eq!(stage.metric("weir_dropped_query_parameters_total", &["route=\"all\""]).await, Some(0.0));
            for (query, expected) in [("utm=1", &live), ("end=2&utm=1&start=1", &past), ("_HLS_skip=YES&utm=2", &live)]
            {
                let mut answer = stage.get(&format!("{PATH}?{query}")).await;
                assert_eq!(answer.header("cache-status"), "edge-test;hit", "{query}");
                assert_eq!(body(&mut answer).await, *expected, "{query}");
            }
            assert_eq!(stage.metric("weir_dropped_query_parameters_total", &["route=\"all\""]).await, Some(3.0));
            let asked: Vec<_> =
                origin.seen().into_iter().map(|seen| seen.target).filter(|target| target.starts_with(PATH)).collect();
            assert_eq!(asked, [PATH.to_owned(), format!("{PATH}?end=2&start=1")]);
        })
        .await;
    }
}

#[tokio::test]
async fn every_answer_of_a_stream_tells_its_urgency_and_its_remaining_life() {
    const PICTURE: &str = "/live/list.m3u8";
    const SOUND: &str = "/sound/list.m3u8";
    for way in WAYS {
        let origin = Channels::start(&[(PICTURE, LIVE), (SOUND, LIVE)]).await;
        tell(way, origin.setup(), async |stage: &Stage| {
            for (path, life) in [("/main.m3u8", None), (PICTURE, Some("max-age=2")), (SOUND, Some("max-age=2"))] {
                let answer = stage.get(path).await;
                assert_eq!((answer.status.as_u16(), answer.header("priority")), (200, "u=1"), "{path}");
                life.into_iter().for_each(|life| assert_eq!(answer.header("cache-control"), life, "{path}"));
            }
            // Twelve segments of four seconds, and the segment itself; a part for three target durations at least.
            let lives = [
                ("/live/init.mp4", "u=2", 48..=52),
                ("/live/s100.m4s", "u=4", 52..=52),
                ("/live/s111.m4s", "u=4", 52..=52),
                ("/live/s112.0.m4s", "u=3", 12..=28),
                ("/sound/init.mp4", "u=2", 48..=52),
                ("/sound/s111.m4s", "u=2", 52..=52),
                ("/sound/s112.0.m4s", "u=2", 12..=28),
            ];
            for (path, urgency, life) in lives {
                for _ in 0..2 {
                    let mut answer = stage.get(path).await;
                    assert_eq!((answer.status.as_u16(), answer.header("priority")), (200, urgency), "{path}");
                    let left = seconds(&answer, "cache-control") - answer.header("age").parse().unwrap_or(0);
                    assert!(life.contains(&left), "{path}: {left}");
                    // To its end: what its only viewer leaves may never be stored.
                    body(&mut answer).await;
                    stage.settled().await;
                }
            }
            let waiting = wait_for(stage, PICTURE, (112, 1)).await;
            held(stage, 1.0).await;
            // A segment leaves the list with it.
            origin.publish(PICTURE, |edge| (edge.first, edge.end, edge.parts) = (101, 113, 1));
            let answer = waiting.await.unwrap();
            assert_eq!((answer.header("priority"), answer.header("cache-control")), ("u=1", "max-age=24"));
            let past = stage.get(&format!("{PICTURE}?_HLS_msn=90")).await;
            assert_eq!(past.header("cache-control"), "max-age=24");
            origin.is_asked_for(stage, (113, 1)).await;
            let answer = stage.get("/live/s100.m4s").await;
            assert_eq!((answer.header("priority"), answer.header("cache-status").contains("hit")), ("u=4", true));
            let left = seconds(&answer, "cache-control") - seconds(&answer, "age");
            assert!((1..=52).contains(&left), "{left}");
        })
        .await;
    }
}

/// A player that looks for the live edge (Appendix C).
struct Player {
    text: String,
    age: u64,
}

impl Player {
    /// What it learns from its first list, asked for without directives.
    async fn join(stage: &Stage, path: &str) -> Self {
        let mut answer = stage.get(path).await;
        let age = answer.header("age").parse().expect("what has been stored has an age");
        Self { text: body(&mut answer).await, age }
    }

    /// Where the edge should be: by the age of the list, and a second since ages are whole seconds and parts shorter.
    fn goal(&self) -> (u64, u64) {
        let (msn, part) = next(&self.text);
        (msn, part + ((self.age + 1) * PARTS_PER_SECOND - 1).min(AHEAD))
    }
}

#[tokio::test]
async fn a_player_tunes_in_within_two_requests() {
    const PATH: &str = "/live/list.m3u8";
    for way in WAYS {
        let origin = Channels::start(&[(PATH, LIVE)]).await;
        tell(way, origin.setup(), async |stage: &Stage| {
            let edge = || origin.shown.borrow().lists[PATH].next();
            // The first viewer of all, and others who come while it is followed.
            for _ in 0..3 {
                let mut player = Player::join(stage, PATH).await;
                while player.age > 0 {
                    // The machine is busy, and the last part was long ago: there is another one.
                    origin.publish(PATH, |edge| edge.parts += 1);
                    origin.is_asked_for(stage, edge()).await;
                    player = Player::join(stage, PATH).await;
                }
                assert_eq!(next(&player.text), edge());
                let goal = player.goal();
                let waiting = wait_for(stage, PATH, goal).await;
                held(stage, 1.0).await;
                while edge() <= goal {
                    origin.publish(PATH, |edge| edge.parts += 1);
                    if edge() <= goal {
                        origin.is_asked_for(stage, edge()).await;
                        held(stage, 1.0).await;
                    }
                }
                let mut answer = waiting.await.unwrap();
                assert_eq!((answer.status.as_u16(), answer.header("age")), (200, "0"));
                assert_eq!(next(&body(&mut answer).await), edge());
                origin.is_asked_for(stage, edge()).await;
            }
            // Its origin fails, and comes back further on: who came meanwhile knows how old the list was.
            origin.shown.send_modify(|shown| _ = shown.down.insert(PATH));
            let mut player = Player::join(stage, PATH).await;
            while player.age == 0 {
                tokio::time::sleep(PAUSE).await;
                player = Player::join(stage, PATH).await;
            }
            let waiting = wait_for(stage, PATH, player.goal()).await;
            held(stage, 1.0).await;
            origin.shown.send_modify(|shown| {
                shown.down.clear();
                shown.lists.get_mut(PATH).unwrap().parts = player.goal().1 + 1;
            });
            let mut answer = waiting.await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(next(&body(&mut answer).await), edge());
        })
        .await;
    }
}
