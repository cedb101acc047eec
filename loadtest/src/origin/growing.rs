//! A segment of `/br/` that is still being made. Its bytes come part by part, each when it exists, never a part in pieces.
//!
//! | asked | answered |
//! |---|---|
//! | nothing, `0-`, `-n` | 200, from the start to the end of the segment, without a length |
//! | `s-9007199254740991` | 206, from s to the end of the segment (RFC 8673 section 2) |
//! | `s-` | 206, from s to the end of the newest part; held for the next one if s is where it begins |
//! | `s-e` | 206, held until e exists |

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};

use super::answer::{Answer, Asked, MEDIA_LIFE, range};
use super::body::{OriginBody, steps, whole};
use super::clip::{Clip, Track};
use super::clock::Clock;
use super::media::{part, part_len, segment};
use super::timeline::{Position, Timeline};

/// The last-byte-pos of a request for everything that will come (RFC 8673).
pub const FOR_EVER: u64 = 9_007_199_254_740_991;

/// The open segment `msn` of the track called `name`.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Tracks.
    pub clip: Arc<Clip>,
    /// Track.
    pub name: &'static str,
    /// Timeline.
    pub timeline: Timeline,
    /// Clock.
    pub clock: Clock,
    /// Segment.
    pub msn: u64,
    /// Its parts that exist.
    pub parts: u64,
}

impl Segment {
    /// Answers a request for it; waits for what must exist before the head can be sent.
    pub async fn answer(self, kind: &str, tag: &str, asked: &HeaderMap) -> Option<Answer> {
        let track = self.clip.track(self.name)?.clone();
        let ends = self.ends(&track);
        let there = usize::try_from(self.parts).ok()?;
        let start_of_next = there.checked_sub(1).map_or(0, |last| ends[last]);
        let size = ends[ends.len() - 1];
        let (from, to) = match range(asked, tag) {
            None | Some(Asked::From(0) | Asked::Last(_)) => (0, None),
            Some(Asked::Closed(from, FOR_EVER)) => (from, None),
            Some(Asked::From(from)) if from < start_of_next => (from, Some(start_of_next)),
            Some(Asked::From(from)) => (from, Some(*ends.get(there)?)),
            Some(Asked::Closed(from, last)) => (from, Some(last.saturating_add(1).min(size))),
        };
        if from >= to.unwrap_or(size) || matches!(range(asked, tag), Some(Asked::From(from)) if from > start_of_next) {
            return Some(Answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "no-store", "not yet, or never"));
        }
        let answer = match to {
            None => self.stream(track, from, range(asked, tag)).await,
            Some(to) => self.fixed(&track, &ends, (from, to)).await,
        };
        Some(
            answer
                .with(header::ETAG, tag)
                .with(header::ACCEPT_RANGES, "bytes")
                .with(header::CONTENT_TYPE, kind)
                .with(header::CACHE_CONTROL, MEDIA_LIFE),
        )
    }

    /// Where each part ends.
    fn ends(&self, track: &Track) -> Vec<u64> {
        let plan = &self.timeline.plan;
        let lens = (0..plan.parts(self.msn)).map(|part| part_len(track, plan, Position { msn: self.msn, part }));
        lens.scan(0, |sum, len| {
            *sum += len;
            Some(*sum)
        })
        .collect()
    }

    async fn wait_for_byte(&self, ends: &[u64], last: u64) {
        let part = ends.iter().take_while(|end| **end <= last).count() as u64;
        self.clock.sleep_until(self.timeline.due(Position { msn: self.msn, part })).await;
    }

    async fn fixed(&self, track: &Track, ends: &[u64], (from, to): (u64, u64)) -> Answer {
        self.wait_for_byte(ends, to - 1).await;
        let all = segment(track, &self.timeline.plan, self.msn);
        let index = |at: u64| usize::try_from(at).expect("within a segment");
        let body = whole(all.slice(index(from)..index(to)));
        Answer::new(StatusCode::PARTIAL_CONTENT, body, Some(to - from))
            .with(header::CONTENT_RANGE, &format!("bytes {from}-{}/*", to - 1))
    }

    async fn stream(self, track: Track, from: u64, asked: Option<Asked>) -> Answer {
        let ends = self.ends(&track);
        self.wait_for_byte(&ends, from).await;
        let first = ends.iter().take_while(|end| **end <= from).count();
        let skip = first.checked_sub(1).map_or(from, |before| from - ends[before]);
        let body = self.rest(Arc::new(track), first as u64, skip);
        if matches!(asked, Some(Asked::Closed(..))) {
            return Answer::new(StatusCode::PARTIAL_CONTENT, body, None)
                .with(header::CONTENT_RANGE, &format!("bytes {from}-{FOR_EVER}/*"));
        }
        Answer::new(StatusCode::OK, body, None)
    }

    /// Parts from `first` on, without the first `skip` bytes, each when it exists.
    fn rest(self, track: Arc<Track>, first: u64, skip: u64) -> OriginBody {
        let this = Arc::new(self);
        steps((first, skip), move |(number, skip)| {
            let (this, track) = (this.clone(), track.clone());
            async move {
                let at = Position { msn: this.msn, part: number };
                if number >= this.timeline.plan.parts(this.msn) {
                    return None;
                }
                this.clock.sleep_until(this.timeline.due(at)).await;
                let bytes: Bytes = part(&track, &this.timeline.plan, at);
                Some(Ok((bytes.slice(usize::try_from(skip).expect("within a part")..), (number + 1, 0))))
            }
        })
    }
}
