//! How the streams fare that are followed at one origin: which are, and which stall. One that stalls alone is its own
//! trouble; where most do, it is the origin's.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Tick;
use crate::origin::course::StreamId;
use crate::rules::upstream::health::most_stall;

/// Streams that are known of one origin, at most; others are not judged by.
const STREAMS: usize = 16_384;
/// A stream that nobody has spoken of for this long is no longer followed here.
const SILENCE: Duration = Duration::from_mins(2);
/// A stall is held against an origin for this long after the stream has moved on.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Stalled streams that are named in a status.
const NAMED: usize = 100;

/// How a stream fares at its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaHealth {
    /// Its playlists advance.
    Advances,
    /// One of them does not, although it should.
    Stalls,
    /// It is followed here no longer.
    Left,
}

/// The streams of one origin.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<StreamId, Stream, foldhash::fast::RandomState>>);

#[derive(Debug)]
struct Stream {
    label: Box<str>,
    heard: Tick,
    stalled: Option<Tick>,
}

impl Stream {
    fn is_over(&self, now: Tick) -> bool {
        let kept = if self.stalled.is_some() { REMEMBERED } else { SILENCE };
        now >= self.heard + kept
    }
}

impl Streams {
    /// Takes on how a stream fares. Whether most of them stall now.
    pub fn tell(&self, (stream, label): (StreamId, &str), health: MediaHealth, now: Tick) -> bool {
        let mut streams = self.0.lock();
        if health == MediaHealth::Left {
            // What stalled here stays known for a while.
            if streams.get(&stream).is_some_and(|known| known.stalled.is_none()) {
                streams.remove(&stream);
            }
            return false;
        }
        if streams.len() >= STREAMS && !streams.contains_key(&stream) {
            streams.retain(|_, known| !known.is_over(now));
            if streams.len() >= STREAMS {
                return false;
            }
        }
        let known = streams.entry(stream).or_insert_with(|| Stream { label: label.into(), heard: now, stalled: None });
        known.heard = now;
        if health == MediaHealth::Advances {
            known.stalled = None;
            return false;
        }
        known.stalled.get_or_insert(now);
        streams.retain(|_, known| !known.is_over(now));
        let stalled = streams.values().filter(|known| known.stalled.is_some()).count();
        most_stall(stalled, streams.len())
    }

    /// No stall is held against the origin any more.
    pub fn forgive(&self) {
        self.0.lock().retain(|_, known| known.stalled.is_none());
    }

    /// How many are followed here, and the names of those that stall or stalled.
    pub fn count(&self, now: Tick) -> (usize, Vec<String>) {
        let mut streams = self.0.lock();
        streams.retain(|_, known| !known.is_over(now));
        let stalled = streams.values().filter(|known| known.stalled.is_some());
        let mut stalled: Vec<_> = stalled.take(NAMED).map(|known| known.label.to_string()).collect();
        stalled.sort_unstable();
        (streams.len(), stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick::at(Duration::from_secs(100));

    fn tell(streams: &Streams, stream: u64, health: MediaHealth, now: Tick) -> bool {
        streams.tell((StreamId(stream), &format!("s{stream}")), health, now)
    }

    #[test]
    fn one_stalled_stream_is_an_exception_and_most_of_them_are_the_origins_fault() {
        let streams = Streams::default();
        assert!((0..5).all(|stream| !tell(&streams, stream, MediaHealth::Advances, START)));
        assert!(!tell(&streams, 0, MediaHealth::Stalls, START));
        assert_eq!(streams.count(START), (5, vec!["s0".to_owned()]));
        assert!(!tell(&streams, 0, MediaHealth::Left, START) && !tell(&streams, 1, MediaHealth::Stalls, START));
        assert!(tell(&streams, 2, MediaHealth::Stalls, START), "three of five");
    }

    #[test]
    fn stalls_are_forgotten() {
        let streams = Streams::default();
        tell(&streams, 0, MediaHealth::Stalls, START);
        assert!(!tell(&streams, 1, MediaHealth::Stalls, START + REMEMBERED), "the first is over");
        tell(&streams, 1, MediaHealth::Advances, START + REMEMBERED);
        assert_eq!(streams.count(START + REMEMBERED), (1, Vec::new()));
        assert_eq!(streams.count(START + REMEMBERED + SILENCE), (0, Vec::new()));
    }

    #[test]
    fn the_table_is_bounded() {
        let streams = Streams::default();
        for stream in 0..STREAMS as u64 + 10 {
            tell(&streams, stream, MediaHealth::Advances, START);
        }
        assert_eq!(streams.count(START).0, STREAMS);
        tell(&streams, u64::MAX, MediaHealth::Advances, START + SILENCE);
        assert_eq!(streams.count(START + SILENCE).0, 1);
    }
}
