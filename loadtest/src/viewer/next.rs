//! What hls.js would ask for next: which part or segment, and the playlist how and when. Pure.

use super::Latency;
use super::playlist::{MediaPlaylist, Resource};
use super::time::Micros;

/// The next thing to load: a segment and the first part of it that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Media sequence number.
    pub msn: u64,
    /// Index of the part, from 0.
    pub part: usize,
}

/// Something to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where it is.
    pub resource: Resource,
    /// What has to be loaded before it.
    pub map: Option<Resource>,
    /// Its first moment, and the one after its last.
    pub span: (Micros, Micros),
    /// What comes after it.
    pub then: Cursor,
}

/// What a playlist has at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This is next.
    Load(Load),
    /// It is not there yet.
    NotYet,
    /// The stream has ended before it.
    End,
    /// It has left the playlist.
    Gone,
}

/// Where a viewer begins who wants to begin at `position`: at the last independent part before it, or its segment.
pub fn begin(playlist: &MediaPlaylist, position: Micros, latency: Latency) -> Cursor {
    let within = playlist.segments.iter().rev().find(|each| each.start <= position);
    let Some(segment) = within.or(playlist.segments.first()) else {
        return Cursor::default();
    };
    let parts = match latency {
        Latency::Low => segment.parts.as_slice(),
        Latency::Plain => &[],
    };
    let part = (0..parts.len()).rev().find(|index| parts[*index].independent && segment.part_start(*index) <= position);
    Cursor { msn: segment.msn, part: part.unwrap_or(0) }
}

/// What to load at the cursor.
pub fn load(playlist: &MediaPlaylist, mut cursor: Cursor, latency: Latency) -> Found {
    let Some(first) = playlist.segments.first().map(|first| first.msn) else {
        return Found::NotYet;
    };
    if cursor.msn < first {
        return Found::Gone;
    }
    loop {
        let index = usize::try_from(cursor.msn - first).unwrap_or(usize::MAX);
        let Some(segment) = playlist.segments.get(index) else {
            return match playlist.ended {
                true => Found::End,
                false => Found::NotYet,
            };
        };
        let parts = match latency {
            Latency::Low => segment.parts.as_slice(),
            Latency::Plain => &[],
        };
        if let Some(part) = parts.get(cursor.part) {
            let start = segment.part_start(cursor.part);
            return Found::Load(Load {
                resource: part.resource.clone(),
                map: segment.map.clone(),
                span: (start, start + part.duration),
                then: Cursor { part: cursor.part + 1, ..cursor },
            });
        }
        match &segment.resource {
            None => return Found::NotYet,
            // All its parts are loaded.
            Some(_) if cursor.part > 0 && cursor.part == parts.len() => {}
            // No parts, or no longer: the whole segment, even where some of it is there already.
            Some(resource) => {
                return Found::Load(Load {
                    resource: resource.clone(),
                    map: segment.map.clone(),
                    span: (segment.start, segment.end()),
                    then: Cursor { msn: cursor.msn + 1, part: 0 },
                });
            }
        }
        cursor = Cursor { msn: cursor.msn + 1, part: 0 };
    }
}

/// What the last answer to a playlist request was like.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// It listed more than the one before.
    pub advanced: bool,
    /// Its `Age` field.
    pub age: Micros,
    /// The directives are for low latency.
    pub latency: Latency,
}

/// The query of the next playlist request, and whether to send it at once or after this time since the last was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Delivery directives, without a question mark; empty for none.
    pub query: String,
    /// Time since the last request was sent.
    pub after: Micros,
}

/// base-playlist-controller.ts of hls.js: a blocking request at once after each playlist that brought something, else half a
/// target duration of patience. Delta updates wherever they are offered.
pub fn reload(playlist: &MediaPlaylist, arrival: Arrival) -> Reload {
    let skip = playlist.control.can_skip_until.is_some();
    let blocking = playlist.control.can_block && arrival.advanced;
    let mut directives = Vec::new();
    if let Some((msn, part)) = playlist.newest().filter(|_| blocking) {
        let low = arrival.latency == Latency::Low && playlist.part_target.is_some();
        match tune_in(playlist, arrival) {
            None => {}
            Some((segments, parts)) if low => {
                directives.push(format!("_HLS_msn={}", msn + segments));
                directives.push(format!("_HLS_part={}", part as u64 + parts));
            }
            Some((segments, _)) => directives.push(format!("_HLS_msn={}", msn + segments)),
        }
    }
    if skip {
        directives.push("_HLS_skip=YES".to_owned());
    }
    let last = playlist.segments.iter().rev().find(|each| each.resource.is_some());
    let interval = match arrival.advanced {
        true => last.map_or(playlist.target_duration, |last| last.duration.min(playlist.target_duration)),
        false => playlist.target_duration / 2,
    };
    Reload { query: directives.join("&"), after: if blocking { 0 } else { interval } }
}

/// Segments and parts to skip because a cache says that the playlist is old; none: too old to say.
fn tune_in(playlist: &MediaPlaylist, arrival: Arrival) -> Option<(u64, u64)> {
    let target = playlist.target_duration;
    let part = playlist.part_target.unwrap_or(target);
    let goal = (arrival.age - part).min(target * 3 / 2);
    if goal <= 0 {
        return Some((0, 0));
    }
    if arrival.age > 3 * target {
        return None;
    }
    let parts = (goal % target + part / 2) / part;
    Some((u64::try_from(goal / target).unwrap_or_default(), u64::try_from(parts).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Micros = 1_000_000;

    /// Segment 7 without parts, 8 with four, 9 open with two; the clock is at 20 s where 7 begins.
    fn playlist() -> MediaPlaylist {
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n\
            #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.5\n\
            #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:7\n\
            #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:20Z\n#EXTINF:2.0,\nseg-7\n"
            .to_owned();
        for (msn, parts) in [(8, 4), (9, 2)] {
            for part in 0..parts {
                let independent = if part % 2 == 0 { ",INDEPENDENT=YES" } else { "" };
                text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"part-{msn}.{part}\"{independent}\n");
            }
            if parts == 4 {
                text += &format!("#EXTINF:2.0,\nseg-{msn}\n");
            }
        }
        MediaPlaylist::read(&text, None).unwrap()
    }

    fn uri(found: Found) -> String {
        match found {
            Found::Load(load) => load.resource.uri,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_viewer_begins_at_the_last_independent_part_before_the_start() {
        let playlist = playlist();
        for (position, latency, msn, part) in [
            (24 * S + 500_000, Latency::Low, 9, 0),
            (23 * S + 900_000, Latency::Low, 8, 2),
            (22 * S, Latency::Low, 8, 0),
            (21 * S, Latency::Low, 7, 0),
            (0, Latency::Low, 7, 0),
            (23 * S + 900_000, Latency::Plain, 8, 0),
        ] {
            assert_eq!(begin(&playlist, position, latency), Cursor { msn, part }, "{position}");
        }
    }

    #[test]
    fn parts_follow_each_other_to_the_edge_over_the_ends_of_segments() {
        let playlist = playlist();
        let mut cursor = Cursor { msn: 7, part: 0 };
        let mut loaded = Vec::new();
        while let Found::Load(load) = load(&playlist, cursor, Latency::Low) {
            loaded.push(load.resource.uri);
            cursor = load.then;
        }
        let parts = ["part-8.0", "part-8.1", "part-8.2", "part-8.3", "part-9.0", "part-9.1"];
        assert_eq!((loaded[0].as_str(), &loaded[1..]), ("seg-7", &parts.map(str::to_owned)[..]));
        assert_eq!(load(&playlist, cursor, Latency::Low), Found::NotYet);
        assert_eq!(load(&playlist, Cursor { msn: 6, part: 3 }, Latency::Low), Found::Gone);
        let lost = Cursor { msn: 7, part: 2 };
        assert_eq!(uri(load(&playlist, lost, Latency::Low)), "seg-7", "its parts are no longer listed");
        let open = Cursor { msn: 9, part: 0 };
        assert_eq!(load(&playlist, open, Latency::Plain), Found::NotYet);
        let ended = MediaPlaylist { ended: true, ..playlist };
        assert_eq!(load(&ended, Cursor { msn: 10, part: 0 }, Latency::Low), Found::End);
    }

    #[test]
    fn reloads_block_for_what_comes_next_and_wait_where_nothing_came() {
        let playlist = playlist();
        let next = |advanced, age, latency| {
            let Reload { query, after } = reload(&playlist, Arrival { advanced, age, latency });
            (query, after)
        };
        let blocking = |query: &str| (format!("{query}_HLS_skip=YES"), 0);
        assert_eq!(next(true, 0, Latency::Low), blocking("_HLS_msn=9&_HLS_part=2&"));
        assert_eq!(next(true, 0, Latency::Plain), blocking("_HLS_msn=9&"));
        assert_eq!(next(false, 0, Latency::Low), ("_HLS_skip=YES".to_owned(), S));
        // A second old: one part is in the answer, the other is tuned in to. Very old: no directives.
        assert_eq!(next(true, S, Latency::Low), blocking("_HLS_msn=9&_HLS_part=3&"));
        assert_eq!(next(true, 3 * S, Latency::Low), blocking("_HLS_msn=10&_HLS_part=3&"));
        assert_eq!(next(true, 7 * S, Latency::Low), blocking(""));
        let plain = MediaPlaylist { control: Default::default(), part_target: None, ..playlist.clone() };
        let arrival = Arrival { advanced: true, age: 0, latency: Latency::Low };
        assert_eq!(reload(&plain, arrival), Reload { query: String::new(), after: 2 * S });
    }
}
