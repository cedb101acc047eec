//! A reader of media playlists (draft-pantos-hls-rfc8216bis, section 4.4), written for viewers alone, so that a mistake in
//! another model of playlists cannot hide behind itself.
//!
//! It reads what a player needs to play and ignores the rest. Delta updates are completed from the playlist before.

use super::time::{self, Micros};

/// Why a playlist could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// The first line is not `#EXTM3U`.
    #[error("not a playlist")]
    NotAPlaylist,
    /// A tag that must be there, or is there, cannot be read.
    #[error("line {line}: {problem}")]
    Line {
        /// Line, from 1; 0 for the playlist as a whole.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The segments that a delta update skips are not known.
    #[error("the delta update skips segments that are not known")]
    Skipped,
}

/// Bytes of a resource: how many, from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes; none: to the end.
    pub len: Option<u64>,
}

impl ByteRange {
    /// The value of the `Range` field that asks for it.
    pub fn header(self) -> String {
        match self.len {
            Some(len) => format!("bytes={}-{}", self.start, self.start + len.saturating_sub(1)),
            None => format!("bytes={}-", self.start),
        }
    }
}

/// A resource, or a range of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// URI as written.
    pub uri: String,
    /// The range, where only one is meant.
    pub range: Option<ByteRange>,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub resource: Resource,
    /// How long it is.
    pub duration: Micros,
    /// `INDEPENDENT=YES`: decoding can begin here.
    pub independent: bool,
}

/// A segment, complete or, as the last one, only its parts so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// Where it is; none while it is not complete.
    pub resource: Option<Resource>,
    /// How long it is, or its parts so far.
    pub duration: Micros,
    /// When its first sample is on the time line of the playlist.
    pub start: Micros,
    /// Initialization section.
    pub map: Option<Resource>,
    /// Parts listed; none on segments far from the live edge.
    pub parts: Vec<Part>,
}

impl Segment {
    /// When part `index` begins.
    pub fn part_start(&self, index: usize) -> Micros {
        let before = self.parts.iter().take(index);
        self.start + before.map(|part| part.duration).sum::<Micros>()
    }

    /// The moment after its last sample.
    pub fn end(&self) -> Micros {
        self.start + self.duration
    }
}

/// What `EXT-X-SERVER-CONTROL` offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// `CAN-BLOCK-RELOAD=YES`.
    pub can_block: bool,
    /// `CAN-SKIP-UNTIL`.
    pub can_skip_until: Option<Micros>,
    /// `PART-HOLD-BACK`.
    pub part_hold_back: Option<Micros>,
    /// `HOLD-BACK`.
    pub hold_back: Option<Micros>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// `EXT-X-TARGETDURATION`.
    pub target_duration: Micros,
    /// `PART-TARGET`.
    pub part_target: Option<Micros>,
    /// What the server offers.
    pub control: ServerControl,
    /// Segments, oldest first; the last may be incomplete.
    pub segments: Vec<Segment>,
    /// The part that comes next.
    pub hint: Option<Resource>,
    /// Whether the time line is the calendar's.
    pub dated: bool,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
}

impl MediaPlaylist {
    /// The moment after the last sample listed.
    pub fn edge(&self) -> Micros {
        self.segments.last().map_or(0, Segment::end)
    }

    /// What the newest thing listed is: its segment, and the parts of it that are listed if it is not complete. It only grows.
    pub fn newest(&self) -> Option<(u64, usize)> {
        let last = self.segments.last()?;
        Some(match last.resource {
            Some(_) => (last.msn + 1, 0),
            None => (last.msn, last.parts.len()),
        })
    }

    /// The distance from the live edge at which a player plays: `low_latency` parts, or whole segments.
    pub fn hold_back(&self, latency: super::Latency) -> Micros {
        let parts = self.part_target.and(self.control.part_hold_back);
        match (latency, parts) {
            (super::Latency::Low, Some(hold_back)) => hold_back,
            _ => self.control.hold_back.unwrap_or(3 * self.target_duration),
        }
    }

    /// Reads a playlist; `before` is the one read last, for delta updates and for the time line of streams without dates.
    ///
    /// # Errors
    /// [`PlaylistError`] if it is not a playlist, or a line that matters cannot be read.
    pub fn read(text: &str, before: Option<&Self>) -> Result<Self, PlaylistError> {
        let mut lines = text.lines().zip(1..);
        if lines.next().map(|(line, _)| line.trim_end()) != Some("#EXTM3U") {
            return Err(PlaylistError::NotAPlaylist);
        }
        let mut reader = Reader::new(before);
        for (line, number) in lines {
            reader.line(line.trim_end()).map_err(|fault| match fault {
                Fault::Text(problem) => PlaylistError::Line { line: number, problem },
                Fault::Skipped => PlaylistError::Skipped,
            })?;
        }
        reader.finish()
    }
}

enum Fault {
    Text(&'static str),
    Skipped,
}

impl From<&'static str> for Fault {
    fn from(problem: &'static str) -> Self {
        Self::Text(problem)
    }
}

struct Reader<'a> {
    before: Option<&'a MediaPlaylist>,
    out: MediaPlaylist,
    msn: u64,
    open: Open,
    map: Option<Resource>,
    /// Where the last byte range ended, for ranges without an offset.
    last: Option<(String, u64)>,
}

/// What is known of the segment that is being read.
#[derive(Default)]
struct Open {
    duration: Option<Micros>,
    range: Option<(u64, Option<u64>)>,
    date: Option<Micros>,
    parts: Vec<Part>,
}

impl<'a> Reader<'a> {
    fn new(before: Option<&'a MediaPlaylist>) -> Self {
        Self { before, out: MediaPlaylist::default(), msn: 0, open: Open::default(), map: None, last: None }
    }

    fn line(&mut self, line: &str) -> Result<(), Fault> {
        let Some(tag) = line.strip_prefix("#EXT") else {
            if line.is_empty() || line.starts_with('#') {
                return Ok(());
            }
            return Ok(self.segment(line)?);
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "-X-TARGETDURATION" => {
                self.out.target_duration = time::seconds(value).ok_or("target duration")?;
            }
            "-X-MEDIA-SEQUENCE" => self.msn = value.parse().map_err(|_| "media sequence")?,
            "-X-SERVER-CONTROL" => self.control(value),
            "-X-PART-INF" => {
                let target = attribute(value, "PART-TARGET").and_then(time::seconds);
                self.out.part_target = Some(target.ok_or("part target")?);
            }
            "-X-SKIP" => self.skip(value)?,
            "-X-MAP" => self.map = Some(self.resource(value, "BYTERANGE")?),
            "-X-PROGRAM-DATE-TIME" => {
                self.open.date = Some(time::date(value).ok_or("program date time")?);
            }
            "INF" => {
                let seconds = value.split(',').next().and_then(time::seconds);
                self.open.duration = Some(seconds.ok_or("duration of a segment")?);
            }
            "-X-BYTERANGE" => self.open.range = Some(range(value).ok_or("byte range")?),
            "-X-PART" => self.part(value)?,
            "-X-PRELOAD-HINT" if attribute(value, "TYPE") == Some("PART") => self.hint(value)?,
            "-X-ENDLIST" => self.out.ended = true,
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, value: &str) {
        let seconds = |name| attribute(value, name).and_then(time::seconds);
        self.out.control = ServerControl {
            can_block: attribute(value, "CAN-BLOCK-RELOAD") == Some("YES"),
            can_skip_until: seconds("CAN-SKIP-UNTIL"),
            part_hold_back: seconds("PART-HOLD-BACK"),
            hold_back: seconds("HOLD-BACK"),
        };
    }

    fn skip(&mut self, value: &str) -> Result<(), Fault> {
        let count = attribute(value, "SKIPPED-SEGMENTS").and_then(|count| count.parse().ok());
        let count: u64 = count.ok_or("skipped segments")?;
        let before = self.before.ok_or(Fault::Skipped)?;
        let end = self.msn.checked_add(count).ok_or("skipped segments")?;
        let known =
            before.segments.iter().filter(|each| each.resource.is_some() && (self.msn..end).contains(&each.msn));
        // Segments so far from the edge have no parts any more.
        self.out.segments = known.cloned().map(|each| Segment { parts: Vec::new(), ..each }).collect();
        if self.out.segments.len() as u64 != count {
            return Err(Fault::Skipped);
        }
        self.out.dated = before.dated;
        self.map = self.out.segments.last().and_then(|last| last.map.clone());
        self.msn = end;
        Ok(())
    }

    fn resource(&mut self, value: &str, name: &str) -> Result<Resource, &'static str> {
        let uri = attribute(value, "URI").ok_or("URI")?.to_owned();
        let range = match attribute(value, name) {
            Some(text) => Some(self.place(&uri, range(text).ok_or("byte range")?)),
            None => None,
        };
        Ok(Resource { uri, range })
    }

    /// Gives a range without an offset the one after the last range of the same resource.
    fn place(&mut self, uri: &str, (len, start): (u64, Option<u64>)) -> ByteRange {
        let after = self.last.as_ref().filter(|(last, _)| last == uri);
        let start = start.unwrap_or_else(|| after.map_or(0, |(_, end)| *end));
        self.last = Some((uri.to_owned(), start.saturating_add(len)));
        ByteRange { start, len: Some(len) }
    }

    fn part(&mut self, value: &str) -> Result<(), &'static str> {
        let duration = attribute(value, "DURATION").and_then(time::seconds);
        let part = Part {
            resource: self.resource(value, "BYTERANGE")?,
            duration: duration.ok_or("duration of a part")?,
            independent: attribute(value, "INDEPENDENT") == Some("YES"),
        };
        self.open.parts.push(part);
        Ok(())
    }

    fn hint(&mut self, value: &str) -> Result<(), &'static str> {
        let uri = attribute(value, "URI").ok_or("URI")?.to_owned();
        let number = |name| attribute(value, name).and_then(|text: &str| text.parse().ok());
        let range = number("BYTERANGE-START").map(|start| ByteRange { start, len: number("BYTERANGE-LENGTH") });
        self.out.hint = Some(Resource { uri, range });
        Ok(())
    }

    fn segment(&mut self, uri: &str) -> Result<(), &'static str> {
        let duration = self.open.duration.take().ok_or("a segment without a duration")?;
        let range = self.open.range.take();
        let resource = Resource { uri: uri.to_owned(), range: range.map(|range| self.place(uri, range)) };
        self.push(Some(resource), duration);
        Ok(())
    }

    fn push(&mut self, resource: Option<Resource>, duration: Micros) {
        let open = std::mem::take(&mut self.open);
        self.out.dated |= open.date.is_some();
        // Without a date, a segment begins where the one before ends, or where it began when it was seen first.
        let known = self.before.and_then(|before| before.segments.iter().find(|each| each.msn == self.msn));
        let after = self.out.segments.last().map(Segment::end);
        let start = open.date.or(after).or(known.map(|known| known.start));
        self.out.segments.push(Segment {
            msn: self.msn,
            resource,
            duration,
            start: start.unwrap_or(0),
            map: self.map.clone(),
            parts: open.parts,
        });
        self.msn += 1;
    }

    fn finish(mut self) -> Result<MediaPlaylist, PlaylistError> {
        if !self.open.parts.is_empty() {
            let duration = self.open.parts.iter().map(|part| part.duration).sum();
            self.push(None, duration);
        }
        if self.out.target_duration == 0 {
            return Err(PlaylistError::Line { line: 0, problem: "no target duration" });
        }
        Ok(self.out)
    }
}

/// `LEN@START` or `LEN`, in quotes or not.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        Some((len, start)) => Some((len.parse().ok()?, Some(start.parse().ok()?))),
        None => Some((text.parse().ok()?, None)),
    }
}

/// The value of an attribute (section 4.2), quotes removed.
pub(super) fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(""))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Latency;
    use super::*;
    use crate::client::tests::get;
    use crate::origin::{Clock, Origin, OriginConfig};

    const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.002,HOLD-BACK=6.0\n\
        #EXT-X-PART-INF:PART-TARGET=0.334\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i,nit.mp4\",BYTERANGE=\"9@1\"\n\
        #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:10Z\n#EXTINF:2.0,\nseg-7.m4s\n\
        #EXT-X-PART:DURATION=1.0,URI=\"seg-8.m4s\",BYTERANGE=\"5@0\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=1.0,URI=\"seg-8.m4s\",BYTERANGE=\"6\"\n#EXTINF:2.0,title\n#EXT-X-BYTERANGE:11@0\nseg-8.m4s\n\
        #EXT-X-PART:DURATION=0.3,INDEPENDENT=YES,URI=\"part-9.0.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-9.1.m4s\"\n";

    fn resource(uri: &str, range: Option<(u64, u64)>) -> Resource {
        let range = range.map(|(start, len)| ByteRange { start, len: Some(len) });
        Resource { uri: uri.to_owned(), range }
    }

    #[test]
    fn a_live_playlist_is_read_with_its_parts_ranges_and_time_line() {
        let playlist = MediaPlaylist::read(LIVE, None).unwrap();
        let starts: Vec<_> = playlist.segments.iter().map(|each| (each.msn, each.start)).collect();
        assert_eq!(starts, [(7, 10_000_000), (8, 12_000_000), (9, 14_000_000)]);
        assert_eq!((playlist.edge(), playlist.newest()), (14_300_000, Some((9, 1))));
        let [_, second, open] = &playlist.segments[..] else { panic!("three segments") };
        assert_eq!(second.map, Some(resource("i,nit.mp4", Some((1, 9)))));
        assert_eq!(second.parts[1].resource, resource("seg-8.m4s", Some((5, 6))));
        assert_eq!(second.resource, Some(resource("seg-8.m4s", Some((0, 11)))));
        assert_eq!((second.part_start(1), second.parts[1].independent), (13_000_000, false));
        assert_eq!((&open.resource, open.parts.len()), (&None, 1));
        assert_eq!(playlist.hint, Some(resource("part-9.1.m4s", None)));
        assert_eq!(playlist.hold_back(Latency::Low), 1_002_000);
        assert_eq!(playlist.hold_back(Latency::Plain), 6_000_000);
        assert!(playlist.dated && playlist.control.can_block && !playlist.ended);
    }

    #[test]
    fn without_dates_segments_keep_the_times_at_which_they_were_seen_first() {
        let text = |first: u64| {
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXTINF:4,\na\n#EXTINF:3,\nb\n")
        };
        let before = MediaPlaylist::read(&text(0), None).unwrap();
        let after = MediaPlaylist::read(&text(1), Some(&before)).unwrap();
        assert_eq!(after.segments.iter().map(|each| each.start).collect::<Vec<_>>(), [4_000_000, 8_000_000]);
        assert!(!after.dated);
    }

    #[test]
    fn what_is_no_playlist_is_refused_with_its_line() {
        let read = |text: &str| MediaPlaylist::read(text, None).unwrap_err();
        assert_eq!(read("<html>"), PlaylistError::NotAPlaylist);
        assert_eq!(read("#EXTM3U\n"), PlaylistError::Line { line: 0, problem: "no target duration" });
        let problem = "a segment without a duration";
        assert_eq!(read("#EXTM3U\n#EXT-X-TARGETDURATION:2\nx.ts\n"), PlaylistError::Line { line: 3, problem });
        let skip = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n";
        assert_eq!(read(skip), PlaylistError::Skipped);
        assert!(MediaPlaylist::read(skip, Some(&MediaPlaylist::default())).is_err());
    }

    #[tokio::test]
    async fn a_delta_update_completed_is_the_full_playlist() {
        let clock = Clock::manual(1_800_000_000_000);
        let origin = Origin::start(OriginConfig { clock: clock.clone(), ..OriginConfig::default() }).await.unwrap();
        for mode in ["live", "br"] {
            let path = format!("/{mode}/v1/media.m3u8");
            let mut before = MediaPlaylist::read(&get(&origin, &path).await, None).unwrap();
            for _ in 0..20 {
                clock.advance(333);
                let delta = get(&origin, &format!("{path}?_HLS_skip=YES")).await;
                assert!(delta.contains("#EXT-X-SKIP"));
                let completed = MediaPlaylist::read(&delta, Some(&before)).unwrap();
                let full = MediaPlaylist::read(&get(&origin, &path).await, None).unwrap();
                assert_eq!(completed, full);
                before = completed;
            }
        }
        origin.stop().await;
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(lines in prop::collection::vec(prop_oneof![
            prop::sample::select(LIVE.lines().map(str::to_owned).collect::<Vec<_>>()),
            "#EXT-X-(SKIP:SKIPPED-SEGMENTS|MEDIA-SEQUENCE|PART:DURATION|MAP:URI|BYTERANGE)[:=][0-9@\",.]{0,24}",
            ".{0,20}",
        ], 0..30)) {
            let before = MediaPlaylist::read(LIVE, None).unwrap();
            let text = format!("#EXTM3U\n{}", lines.join("\n"));
            for before in [None, Some(&before)] {
                if let Ok(playlist) = MediaPlaylist::read(&text, before) {
                    let _ = (playlist.edge(), playlist.newest(), playlist.hold_back(Latency::Low));
                }
            }
        }
    }
}
