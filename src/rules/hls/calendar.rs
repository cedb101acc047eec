//! When what a playlist lists begins on the calendar (EXT-X-PROGRAM-DATE-TIME, RFC 8216bis §4.4.4.6).

use std::time::Duration;

use super::playlist::{MediaPlaylist, PartialSegment};

impl MediaPlaylist {
    /// When each segment begins, and the one that is still open, in milliseconds since 1970: as its tag says, else where
    /// the one before ends. `None`: nothing before it says.
    pub fn dates(&self) -> impl Iterator<Item = Option<i64>> {
        let mut next = None;
        let closed = self.segments.iter().map(|segment| (segment.program_date_time, segment.duration));
        closed.chain([(None, Duration::ZERO)]).map(move |(said, duration)| {
            let date = said.or(next);
            next = date.map(|date| later(date, duration));
            date
        })
    }
}

/// How far behind the first of them each of these parts begins, and what follows the last.
pub fn offsets<'p>(parts: impl Iterator<Item = &'p PartialSegment>) -> impl Iterator<Item = Duration> {
    let mut next = Duration::ZERO;
    parts.map(|part| part.duration).chain([Duration::ZERO]).map(move |duration| {
        let offset = next;
        next = next.saturating_add(duration);
        offset
    })
}

/// A date so much later.
pub fn later(date: i64, by: Duration) -> i64 {
    date.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::playlist::Segment;
    use super::*;

    #[test]
    fn what_has_no_date_begins_where_the_one_before_ends() {
        let segment = |date, seconds| {
            let duration = Duration::from_secs(seconds);
            Arc::new(Segment { program_date_time: date, duration, ..Segment::default() })
        };
        let segments = vec![segment(None, 4), segment(Some(1_000), 4), segment(None, 2), segment(Some(9_000), 1)];
        let playlist = MediaPlaylist { segments, ..MediaPlaylist::default() };
        let dates: Vec<_> = playlist.dates().collect();
        assert_eq!(dates, [None, Some(1_000), Some(5_000), Some(9_000), Some(10_000)]);
        let part = |ms| PartialSegment {
            uri: "part".into(),
            duration: Duration::from_millis(ms),
            byte_range: None,
            is_independent: false,
            is_gap: false,
        };
        let offsets: Vec<_> = offsets([part(300), part(200)].iter()).map(|offset| offset.as_millis()).collect();
        assert_eq!(offsets, [0, 300, 500]);
        assert_eq!(later(i64::MAX - 1, Duration::MAX), i64::MAX);
    }
}
