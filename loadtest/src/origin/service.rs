//! One request: counted, judged by the fault desk, answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;

use super::answer::{self, Answer, BLOCKING_LIFE, NO_STORE, PLAYLIST_LIFE, STEADY_LIFE};
use super::blob;
use super::body::{OriginBody, Tallied, broken, drip};
use super::clip::{Clip, LOOP_SEGMENTS, SEGMENT_MS, Track};
use super::clock::Clock;
use super::desk::Desk;
use super::directives::{Directives, MAX_HOLD_MS, Reload, decide};
use super::dvr;
use super::fault::{Instead, Lens, Verdict};
use super::growing;
use super::media;
use super::modes::{Mode, Target, target};
use super::multivariant::{self, ADS, BREAK_LEN};
use super::playlist::{self, Form, View};
use super::server::Line;
use super::stats::{Entry, Stats};
use super::timeline::{Edge, Position, Timeline};
use super::ts::Muxer;

/// Segments stay available for so many windows.
const KEPT_WINDOWS: u64 = 3;
/// Part files stay available for so many segments behind the newest.
const KEPT_PART_SEGMENTS: u64 = 12;
const SOON: &str = "public, max-age=1";

/// The origin behind its listeners.
#[derive(Debug)]
pub struct Origin {
    pub(super) clip: Arc<Clip>,
    pub(super) muxers: Vec<Muxer>,
    pub(super) clock: Clock,
    pub(super) window: u64,
    pub(super) desk: Arc<Desk>,
    pub(super) stats: Arc<Stats>,
    pub(super) viewers: AtomicU64,
}

/// What of a request the answer depends on.
struct Ask<'a> {
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    lens: &'a Lens,
}

impl Origin {
    /// Answers a request that came over `line`. Never fails: errors are answers, resets end the connection.
    pub async fn serve<B>(self: Arc<Self>, line: Arc<Line>, request: Request<B>) -> Response<OriginBody> {
        let (head, _) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or("").to_owned());
        let seq = self.stats.arrived(self.entry(&head));
        let url = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let verdict = self.desk.judge(&url);
        for barrier in &verdict.holds {
            barrier.pass().await;
        }
        if verdict.delay_ms > 0 {
            self.clock.sleep(verdict.delay_ms).await;
        }
        let answer = match &verdict.instead {
            Some(Instead::Reset) => line.reset().await,
            Some(instead) => Answer::instead(instead),
            None => {
                let ask = Ask { path: &path, query: &query, headers: &head.headers, lens: &verdict.lens };
                self.answer(&head.method, &ask).await
            }
        };
        let answer = self.with_faults(answer::finish(answer, &head.method), &verdict, line);
        let status = answer.response.status().as_u16();
        self.stats.amend(seq, |entry| entry.status = status);
        let length = answer.length;
        answer.response.map(|body| Tallied::new(body, self.stats.clone(), seq, length).boxed_unsync())
    }

    fn entry(&self, head: &http::request::Parts) -> Entry {
        let field = |name: &str| {
            let values = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.collect::<Vec<_>>().join(", ")
        };
        Entry {
            time_ms: self.clock.now(),
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or("").to_owned(),
            version: format!("{:?}", head.version),
            user_agent: field("user-agent"),
            x_forwarded_for: field("x-forwarded-for"),
            ..Entry::default()
        }
    }

    fn with_faults(&self, answer: Answer, verdict: &Verdict, line: Arc<Line>) -> Answer {
        let length = answer.length;
        let response = answer.response.map(|mut body| {
            if let Some(rate) = verdict.drip {
                body = drip(body, rate, self.clock.clone());
            }
            if let Some((after, how)) = &verdict.broken {
                body = broken(body, *after, how.clone(), line);
            }
            body
        });
        Answer { response, length }
    }

    async fn answer(&self, method: &Method, ask: &Ask<'_>) -> Answer {
        if method == Method::OPTIONS {
            return answer::preflight();
        }
        if method != Method::GET && method != Method::HEAD {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, NO_STORE, "GET and HEAD only")
                .with(header::ALLOW, "GET, HEAD, OPTIONS");
        }
        let found = match target(ask.path) {
            Some(Target::Blob(name)) => Some(self.blob(name, ask).await),
            Some(Target::Dvr(channel, leaf)) => self.dvr(channel, leaf, ask).await,
            Some(target) => self.stream(target, ask).await,
            None => None,
        };
        found.unwrap_or_else(|| {
            let text = "there is nothing here, or not yet, or no longer";
            Answer::text(StatusCode::NOT_FOUND, SOON, text)
        })
    }

    async fn dvr(&self, channel: u64, leaf: dvr::Leaf, ask: &Ask<'_>) -> Option<Answer> {
        let now = seen(ask.lens, self.clock.now());
        match leaf {
            dvr::Leaf::Master => Some(answer::playlist(dvr::master(), STEADY_LIFE, ask.headers)),
            dvr::Leaf::Playlist(_) => Some(answer::playlist(dvr::media(channel, now), PLAYLIST_LIFE, ask.headers)),
            dvr::Leaf::Segment(rendition, msn) => {
                let (name, size) = dvr::segment(channel, (rendition, msn), self.clock.now())?;
                let ask = Ask { query: &format!("size={size}"), ..*ask };
                Some(self.blob(&name, &ask).await)
            }
        }
    }

    async fn blob(&self, name: &str, ask: &Ask<'_>) -> Answer {
        let made = blob::answer(&self.clock, name, ask.query, ask.headers).await;
        made.unwrap_or_else(|| {
            let text = "size, delay_ms, over_ms are numbers";
            Answer::text(StatusCode::BAD_REQUEST, NO_STORE, text)
        })
    }

    /// Playlists and media; `None` is what does not exist.
    async fn stream(&self, target: Target<'_>, ask: &Ask<'_>) -> Option<Answer> {
        match target {
            Target::Master(mode) => Some(self.master(mode, ask)),
            Target::Playlist(mode, rendition) => {
                let track = self.track(mode, rendition)?;
                Some(self.playlist(mode, track, ask).await)
            }
            Target::OwnPlaylist { viewer, rendition } => {
                let track = self.clip.track(rendition)?;
                Some(self.own_playlist(viewer, track, ask))
            }
            Target::Init(rendition) => {
                let track = self.clip.track(rendition)?;
                let tag = tag(track, "init");
                Some(answer::media(&track.init, mime(track), &tag, ask.headers))
            }
            Target::Segment(mode, rendition, msn) => {
                let track = self.track(mode, rendition)?;
                self.segment(mode, track, msn, ask).await
            }
            Target::Part(rendition, at) => self.part(self.clip.track(rendition)?, at, ask).await,
            Target::Ad { ad, rendition, index } if ad < ADS && index < BREAK_LEN => {
                let track = self.clip.track(rendition)?;
                let tag = tag(track, &format!("ad-{ad}-{index}"));
                let bytes = media::ad_segment(track, ad, index);
                Some(answer::media(&bytes, mime(track), &tag, ask.headers))
            }
            Target::Ad { .. } | Target::Blob(_) | Target::Dvr(..) => None,
        }
    }

    /// A transport stream has its sound inside, so `/ts/` has no audio rendition.
    fn track(&self, mode: Mode, rendition: &str) -> Option<&Track> {
        self.clip.track(rendition).filter(|track| mode != Mode::Ts || track.is_video())
    }

    fn master(&self, mode: Mode, ask: &Ask<'_>) -> Answer {
        let plan = self.desk.timeline().plan;
        if mode == Mode::Ssai {
            let viewer = self.viewers.fetch_add(1, Ordering::Relaxed);
            return answer::playlist(
                multivariant::master(&self.clip, &plan, mode, &format!("{viewer}/")),
                NO_STORE,
                ask.headers,
            );
        }
        answer::playlist(multivariant::master(&self.clip, &plan, mode, ""), STEADY_LIFE, ask.headers)
    }

    fn timeline(&self, lens: &Lens) -> Timeline {
        lens.timeline(self.desk.timeline(), self.clock.now())
    }

    fn own_playlist(&self, viewer: u64, track: &Track, ask: &Ask<'_>) -> Answer {
        let timeline = self.timeline(ask.lens);
        let edge = timeline.edge(seen(ask.lens, self.clock.now()));
        let view = View { clip: &self.clip, timeline: &timeline, edge, window: self.window };
        answer::playlist(multivariant::own(&view, viewer, track), NO_STORE, ask.headers)
    }

    async fn playlist(&self, mode: Mode, track: &Track, ask: &Ask<'_>) -> Answer {
        let asked = match Directives::parse(if mode.low_latency() { ask.query } else { "" }) {
            Ok(asked) => asked,
            Err(malformed) => {
                return Answer::text(StatusCode::BAD_REQUEST, NO_STORE, &malformed.to_string());
            }
        };
        let deadline = self.clock.now().saturating_add(MAX_HOLD_MS);
        loop {
            let now = self.clock.now();
            let timeline = self.timeline(ask.lens);
            let edge = timeline.edge(seen(ask.lens, now));
            let due = match decide(asked, &timeline, edge, timeline.plan.target(track, edge.open)) {
                Reload::At(due) if !answers_at_once(ask.lens) => due.saturating_add(ask.lens.rewind * SEGMENT_MS),
                Reload::TooFar if !ask.lens.at_once => {
                    return Answer::text(StatusCode::BAD_REQUEST, NO_STORE, "that is too far ahead");
                }
                _ => {
                    let view = View { clip: &self.clip, timeline: &timeline, edge, window: self.window };
                    let form = if asked.skip { Form::Delta } else { Form::Full };
                    return answer::playlist(playlist::media(&view, mode, track, form), life(mode, asked), ask.headers);
                }
            };
            if now >= deadline {
                return Answer::text(StatusCode::SERVICE_UNAVAILABLE, NO_STORE, "the stream stands still")
                    .with(header::RETRY_AFTER, "1");
            }
            let never = ask.lens.frozen.is_some();
            self.clock.sleep_until(if never { deadline } else { due.min(deadline) }).await;
        }
    }

    async fn segment(&self, mode: Mode, track: &Track, msn: u64, ask: &Ask<'_>) -> Option<Answer> {
        let timeline = self.timeline(ask.lens);
        let Edge { open, parts } = timeline.edge(self.clock.now());
        if mode == Mode::Br && msn == open {
            let growing = growing::Segment {
                clip: self.clip.clone(),
                name: track.name,
                timeline,
                clock: self.clock.clone(),
                msn,
                parts,
            };
            return growing.answer(mime(track), &tag(track, &format!("seg-{msn}")), ask.headers).await;
        }
        let there = match mode {
            Mode::Vod => msn < LOOP_SEGMENTS,
            _ => msn < open && open - msn <= KEPT_WINDOWS * self.window,
        };
        if !there {
            return None;
        }
        if mode == Mode::Ts {
            let index = self.clip.video.iter().position(|video| video.name == track.name)?;
            let bytes = self.muxers[index].segment(track, &self.clip.audio, msn);
            return Some(answer::media(&bytes, "video/mp2t", &tag(track, &format!("ts-{msn}")), ask.headers));
        }
        let bytes = media::segment(track, &timeline.plan, msn);
        Some(answer::media(&bytes, mime(track), &tag(track, &format!("seg-{msn}")), ask.headers))
    }

    /// A part that exists; or, held, the one that the playlist hints at.
    async fn part(&self, track: &Track, at: Position, ask: &Ask<'_>) -> Option<Answer> {
        let timeline = self.timeline(ask.lens);
        let edge = timeline.edge(self.clock.now());
        if at.part >= timeline.plan.parts(at.msn) || edge.open.saturating_sub(at.msn) > KEPT_PART_SEGMENTS {
            return None;
        }
        if !edge.has(at) {
            if at != edge.next() {
                return None;
            }
            self.clock.sleep_until(timeline.due(at)).await;
        }
        let bytes: Bytes = media::part(track, &timeline.plan, at);
        Some(answer::media(&bytes, mime(track), &tag(track, &format!("part-{}.{}", at.msn, at.part)), ask.headers))
    }
}

/// The moment that playlists show.
fn seen(lens: &Lens, now: u64) -> u64 {
    let now = lens.frozen.map_or(now, |(at, _)| at);
    now.saturating_sub(lens.rewind * SEGMENT_MS)
}

fn answers_at_once(lens: &Lens) -> bool {
    lens.at_once || lens.frozen.is_some_and(|(_, hold)| !hold)
}

fn life(mode: Mode, asked: Directives) -> &'static str {
    match (mode, asked.msn) {
        (Mode::Vod, _) => STEADY_LIFE,
        (_, Some(_)) => BLOCKING_LIFE,
        (_, None) => PLAYLIST_LIFE,
    }
}

fn mime(track: &Track) -> &'static str {
    if track.is_video() { "video/mp4" } else { "audio/mp4" }
}

fn tag(track: &Track, name: &str) -> String {
    format!("\"{}-{name}\"", track.name)
}
