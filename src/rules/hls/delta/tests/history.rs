//! Random histories of a live playlist, made of any octets, and a player who follows them by delta updates.
//!
//! The laws: a copy not older than half of the skip boundary and an update give the full playlist, octet for octet and
//! in all that its lines say. What is not known is noticed, and in a history that advances in its own time nothing is
//! ever unknown. An update that skips date ranges holds none that was added longer ago than the boundary, lists what
//! was removed since, and gives the full playlist too unless a line was moved, put before an older one, or went while
//! its ID stayed, or it stands in what is the first segment by now and parts went that stood before it, or a line
//! follows that others are equal to; then it gives one that says the same.
//!
//! The fuzz targets include this file; both places import `hls` and `clock`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::clock::Tick;
use super::hls::delta::{CannotMerge, delta, merge};
use super::hls::parse::parse;
use super::hls::{MediaPlaylist, Published, Skipping};

/// Runs the history that `octets` stand for, and the player through it.
pub fn run(octets: &[u8]) -> Seen {
    let mut history = History::new(octets);
    history.publish();
    while history.step() {
        history.publish();
        history.check();
    }
    history.seen
}

/// What a history came to, so that a test can see that it is not empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Updates that were merged.
    pub merged: usize,
    /// Updates that could not be.
    pub unknown: usize,
    /// Updates that skipped date ranges and gave the very playlist, some of which was skipped.
    pub exact: usize,
    /// Segments skipped.
    pub skipped: usize,
    /// Date range lines skipped.
    pub dates: usize,
}

const PART: Duration = Duration::from_millis(500);

struct History<'o> {
    octets: &'o [u8],
    end: &'static str,
    version: Option<u64>,
    target: u64,
    boundary: Duration,
    /// Media comes in its own time, and not in bursts.
    is_paced: bool,
    /// Lines in the head that come and go.
    extra: Vec<String>,
    segments: VecDeque<Closed>,
    first: u64,
    discontinuities: u64,
    open: Vec<String>,
    open_for: Duration,
    parts: u64,
    names: u64,
    now: Tick,
    /// When a date range was last moved, put before an older one, or went while its ID stayed; or nothing tells any more
    /// on which side of a line of the first segment it stands.
    shaken: Option<Tick>,
    since: HashMap<String, Option<Tick>>,
    removed: Vec<(String, Tick)>,
    versions: VecDeque<Version>,
    seen: Seen,
}

struct Closed {
    lines: Vec<String>,
    duration: Duration,
}

struct Version {
    published: Published,
    text: String,
}

fn is_date(line: &str) -> bool {
    line.starts_with("#EXT-X-DATERANGE:")
}

fn id(line: &str) -> &str {
    line.split('"').nth(1).expect("every line here has an ID")
}

impl<'o> History<'o> {
    fn new(octets: &'o [u8]) -> Self {
        let mut history = Self {
            octets,
            end: "\n",
            version: None,
            target: 0,
            boundary: Duration::ZERO,
            is_paced: true,
            extra: Vec::new(),
            segments: VecDeque::new(),
            first: 0,
            discontinuities: 0,
            open: Vec::new(),
            open_for: Duration::ZERO,
            parts: 0,
            names: 0,
            now: Tick::default(),
            shaken: None,
            since: HashMap::new(),
            removed: Vec::new(),
            versions: VecDeque::new(),
            seen: Seen::default(),
        };
        let kind = history.octet();
        history.end = if kind & 1 == 0 { "\n" } else { "\r\n" };
        history.version = [None, Some(6), Some(9), Some(13)][usize::from(kind >> 1 & 3)];
        history.is_paced = kind & 8 == 0;
        history.target = 1 + u64::from(kind >> 4 & 3);
        history.boundary = Duration::from_secs(6 * history.target) + PART * u32::from(kind >> 6);
        history.first = u64::from(history.octet());
        for _ in 0..history.octet() % 16 {
            history.begin();
            history.close();
        }
        history
    }

    /// The next octet; 0 behind the last.
    fn octet(&mut self) -> u8 {
        let (first, rest) = self.octets.split_first().unwrap_or((&0, &[]));
        self.octets = rest;
        *first
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// Something happens; `false`: the history ends here.
    fn step(&mut self) -> bool {
        if self.octets.is_empty() {
            return false;
        }
        match self.octet() % 32 {
            0..6 => self.part(),
            6..12 => self.close(),
            12..14 => self.leave(),
            14..16 => self.vanish(),
            16 | 17 => self.date(),
            18 => self.further_date(),
            19 => self.undate(),
            20 => self.date_in_old(),
            21 => self.redate(),
            22..24 => self.begin(),
            24 | 25 => self.remark(),
            26 => self.extra(),
            27 => self.pass(PART * 3),
            _ => {
                (0..3).for_each(|_| self.close());
                self.leave();
            }
        }
        true
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn part(&mut self) {
        let name = self.name();
        self.open.push(format!("#EXT-X-PART:DURATION=0.5,URI=\"p{name}.mp4\""));
        self.parts += 1;
        self.open_for += PART;
        self.pass(PART);
    }

    fn close(&mut self) {
        let name = self.name();
        let odd = Duration::from_nanos(u64::from(self.octet()) * 80);
        let whole = if self.parts > 0 { PART * self.parts as u32 } else { Duration::from_secs(self.target) };
        let duration = whole + odd;
        self.open.push(format!("#EXTINF:{}.{:09},", duration.as_secs(), duration.subsec_nanos()));
        self.open.push(format!("s{name}.mp4"));
        if self.is_paced {
            self.pass(duration.saturating_sub(self.open_for));
        }
        self.segments.push_back(Closed { lines: std::mem::take(&mut self.open), duration });
        (self.parts, self.open_for) = (0, Duration::ZERO);
    }

    /// The oldest segments leave; their date ranges with them, or into the head.
    fn leave(&mut self) {
        let how = self.octet();
        for _ in 0..=how & 1 {
            let rest: Duration = self.segments.iter().skip(1).map(|segment| segment.duration).sum();
            if rest < Duration::from_secs(3 * self.target) {
                return;
            }
            let Some(gone) = self.segments.pop_front() else { return };
            self.first += 1;
            self.discontinuities += gone.lines.iter().filter(|line| *line == "#EXT-X-DISCONTINUITY").count() as u64;
            self.restate(&gone.lines);
            self.settle_first();
            for line in gone.lines.into_iter().filter(|line| is_date(line)) {
                if how & 2 == 0 {
                    self.went(&line);
                } else {
                    self.extra.push(line);
                    self.shaken = Some(self.now);
                }
            }
        }
    }

    /// A line behind a date range may be taken for one like it that has left.
    fn settle_first(&mut self) {
        let Some(first) = self.segments.front() else { return };
        let mut behind = first.lines.iter().skip_while(|line| !is_date(line));
        if behind.any(|line| line.is_empty() || line == "# again") {
            self.shaken = Some(self.now);
        }
    }

    /// What reaches forward out of a segment that left is said anew before the first one that is still there.
    fn restate(&mut self, gone: &[String]) {
        let first = self.segments.front_mut().map_or(&mut self.open, |segment| &mut segment.lines);
        let mut lead = Vec::new();
        for tag in ["#EXT-X-KEY:", "#EXT-X-MAP:"] {
            let says = |line: &&String| line.starts_with(tag);
            if !first.iter().any(|line| says(&line)) {
                let lines: Vec<_> = gone.iter().filter(says).cloned().collect();
                let from = if tag == "#EXT-X-MAP:" { lines.len().saturating_sub(1) } else { 0 };
                lead.extend_from_slice(&lines[from..]);
            }
        }
        let at = first.iter().take_while(|line| led(line).is_empty()).count();
        first.splice(at..at, lead);
    }

    /// Parts of old segments are no longer listed.
    fn vanish(&mut self) {
        let mut behind = Duration::ZERO;
        let far = Duration::from_secs(3 * self.target);
        let listed = self.segments.front().map_or(0, |first| first.lines.len());
        for segment in self.segments.iter_mut().rev() {
            if behind > far {
                segment.lines.retain(|line| !line.starts_with("#EXT-X-PART:"));
            }
            behind += segment.duration;
        }
        let Some(first) = self.segments.front().filter(|first| first.lines.len() < listed) else { return };
        let opening = first.lines.iter().take_while(|line| led(line).is_empty() || says_anew(line));
        if opening.skip_while(|line| !says_anew(line)).any(|line| is_date(line)) {
            self.shaken = Some(self.now);
        }
    }

    fn date(&mut self) {
        let name = self.name();
        self.open.push(format!("#EXT-X-DATERANGE:ID=\"d{name}\",START-DATE=\"2026-05-01T00:00:00Z\""));
    }

    fn further_date(&mut self) {
        let (which, name) = (self.octet(), self.name());
        if let Some(place) = self.dates().get(usize::from(which) % self.dates().len().max(1)) {
            let line = format!("#EXT-X-DATERANGE:ID=\"{}\",X-N={name}", id(self.line(*place)));
            self.open.push(line);
        }
    }

    fn undate(&mut self) {
        let dates = self.dates();
        if let Some(place) = dates.get(usize::from(self.octet()) % dates.len().max(1)) {
            let line = self.lines(place.0).remove(place.1);
            self.went(&line);
        }
    }

    /// `line` has gone; whether that shakes what date ranges say depends on what is left of its ID.
    fn went(&mut self, line: &str) {
        if self.dates().iter().any(|place| id(self.line(*place)) == id(line)) {
            self.shaken = Some(self.now);
        }
    }

    /// A date range, or a remark, in a segment that is listed already.
    fn date_in_old(&mut self) {
        let (which, at, name) = (usize::from(self.octet()), usize::from(self.octet()), self.name());
        if self.segments.is_empty() {
            return;
        }
        let segment = which % self.segments.len();
        let lines = &mut self.segments[segment].lines;
        let line = match at & 1 {
            _ if segment == 0 => format!("#EXT-X-DATERANGE:ID=\"d{name}\",START-DATE=\"2026-05-01T00:00:00Z\""),
            0 => format!("#EXT-X-NEW:{name}"),
            _ => format!("#EXT-X-DATERANGE:ID=\"d{name}\",START-DATE=\"2026-05-01T00:00:00Z\""),
        };
        lines.insert(at / 2 % lines.len(), line);
        self.shaken = Some(self.now);
    }

    fn redate(&mut self) {
        let (dates, name) = (self.dates(), self.name());
        if let Some(place) = dates.get(usize::from(self.octet()) % dates.len().max(1)) {
            self.lines(place.0)[place.1].push_str(&format!(",X-R{name}=1"));
            self.shaken = Some(self.now);
        }
    }

    /// Tags that stand before the first part of a segment.
    fn begin(&mut self) {
        let (which, name) = (self.octet(), self.name());
        if self.parts > 0 {
            return;
        }
        self.open.extend(match which % 5 {
            0 => Some("#EXT-X-DISCONTINUITY".to_owned()),
            1 => Some(format!("#EXT-X-MAP:URI=\"i{name}.mp4\"")),
            2 => Some(format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k{name}\"")),
            3 => Some("#EXT-X-PROGRAM-DATE-TIME:2026-05-01T00:00:00.000Z".to_owned()),
            _ => None,
        });
    }

    fn remark(&mut self) {
        let (which, name) = (self.octet(), self.name());
        self.open.push(match which % 6 {
            0 => String::new(),
            1 => "# again".to_owned(),
            2 => format!("#EXT-X-FUTURE:N={name}"),
            3 => "#EXT-X-GAP".to_owned(),
            4 => format!("#EXT-X-DEFINE:NAME=\"v{name}\",VALUE=\"1\""),
            _ => format!("# {name}"),
        });
    }

    /// Lines of the head come and go.
    fn extra(&mut self) {
        let (which, name) = (self.octet(), self.name());
        self.shaken = Some(self.now);
        match which % 5 {
            0 => self.extra.push(String::new()),
            1 => self.extra.push("# again".to_owned()),
            2 => self.extra.push(format!("#EXT-X-DATERANGE:ID=\"d{name}\",START-DATE=\"2026-05-01T00:00:00Z\"")),
            3 => self.extra.push("#EXT-X-INDEPENDENT-SEGMENTS".to_owned()),
            _ if self.extra.last().is_some_and(|line| is_date(line)) => _ = self.extra.pop(),
            _ => {}
        }
        let mut once = false;
        self.extra.retain(|line| !line.starts_with("#EXT-X-IND") || !std::mem::replace(&mut once, true));
    }

    /// A list of lines: that of the head, of a segment, or of what is open.
    fn lines(&mut self, list: usize) -> &mut Vec<String> {
        match list.checked_sub(1) {
            None => &mut self.extra,
            Some(index) if index < self.segments.len() => &mut self.segments[index].lines,
            Some(_) => &mut self.open,
        }
    }

    fn line(&self, (list, at): (usize, usize)) -> &str {
        match list.checked_sub(1) {
            None => &self.extra[at],
            Some(index) => &self.segments.get(index).map_or(&self.open, |segment| &segment.lines)[at],
        }
    }

    /// Where date ranges stand.
    fn dates(&self) -> Vec<(usize, usize)> {
        let segments = self.segments.iter().map(|segment| &segment.lines);
        let lists = std::iter::once(&self.extra).chain(segments).chain([&self.open]).enumerate();
        let places = lists.flat_map(|(list, lines)| (0..lines.len()).map(move |at| (list, at)));
        places.filter(|place| is_date(self.line(*place))).collect()
    }

    fn text(&self) -> String {
        let mut lines = vec!["#EXTM3U".to_owned()];
        lines.extend(self.version.map(|version| format!("#EXT-X-VERSION:{version}")));
        lines.push(format!("#EXT-X-TARGETDURATION:{}", self.target));
        let boundary = self.boundary.as_secs_f64();
        lines.push(format!("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={boundary:.1},CAN-SKIP-DATERANGES=YES"));
        lines.push("#EXT-X-PART-INF:PART-TARGET=0.5".to_owned());
        lines.push(format!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuities));
        lines.push(format!("#EXT-X-MEDIA-SEQUENCE:{}", self.first));
        let segments = self.segments.iter().flat_map(|segment| &segment.lines);
        lines.extend(self.extra.iter().chain(segments).chain(&self.open).cloned());
        if self.names.is_multiple_of(2) {
            lines.push(format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{}.mp4\"", self.names + 1));
        }
        lines.iter().flat_map(|line| [line, self.end]).collect()
    }

    fn publish(&mut self) {
        let text = self.text();
        let last = self.versions.back().map(|version| &version.published);
        let playlist = parse(&text, last.map(|last| &last.playlist)).expect("what is written here can be read");
        assert_eq!(playlist.render(), text);
        let mut dates = last.map(|last| last.dates.clone()).unwrap_or_default();
        dates.advance(&playlist, self.now);
        let revised = last.map(|last| revised(last, &playlist, self.now)).unwrap_or_default();
        let is_first = last.is_none();
        let published = Published { playlist, dates, revised, at: self.now, ..Published::default() };

        let listed: HashMap<String, _> =
            text.lines().filter(|line| is_date(line)).map(|line| (line.to_owned(), ())).collect();
        let ids: BTreeSet<&str> = listed.keys().map(|line| id(line)).collect();
        let gone: BTreeSet<String> =
            self.since.keys().map(|line| id(line)).filter(|id| !ids.contains(id)).map(str::to_owned).collect();
        self.removed.retain(|(id, _)| !ids.contains(id.as_str()));
        self.removed.extend(gone.into_iter().map(|id| (id, self.now)));
        self.since.retain(|line, _| listed.contains_key(line));
        for line in listed.into_keys() {
            self.since.entry(line).or_insert((!is_first).then_some(self.now));
        }
        self.versions.push_back(Version { published, text });
    }

    fn check(&mut self) {
        let wait = PART * u32::from(self.octet() % 4);
        self.pass(wait);
        let (half, now) = (self.boundary / 2, self.now);
        while self.versions.front().is_some_and(|oldest| now.since(oldest.published.at) > half)
            && self.versions.len() > 1
        {
            self.versions.pop_front();
        }
        for skipping in [Skipping::Segments, Skipping::SegmentsAndDateRanges] {
            let last = self.versions.back().expect("one was published");
            let Some(update) = delta(&last.published, skipping, self.now) else { continue };
            let text: String = update.pieces(&last.published.playlist).collect();
            self.judge(&text, skipping, update.first);
            let mut seen = self.seen;
            seen.skipped += update.first;
            // The oldest, the newest, and some between them.
            let stride = self.versions.len() / 4 + 1;
            for copy in self.versions.iter().step_by(stride).chain(self.versions.iter().nth_back(1)) {
                self.follow(copy, &text, skipping, &mut seen);
            }
            self.seen = seen;
        }
    }

    /// What holds for an update by itself.
    fn judge(&self, text: &str, skipping: Skipping, first: usize) {
        let full = &self.versions.back().expect("one was published").text;
        assert!(text.ends_with(self.end) && text.lines().count() == text.matches(self.end).count());
        assert!(text.contains(&format!("{}#EXT-X-SKIP:SKIPPED-SEGMENTS={first}", self.end)));
        let behind: Duration = self.segments.iter().skip(first).map(|segment| segment.duration).sum();
        assert!(first == 0 || behind > self.boundary);
        let is_old = |line: &str| match self.since[line] {
            None => true,
            Some(since) => self.now.since(since) > self.boundary,
        };
        let skips = |line: &&str| skipping == Skipping::SegmentsAndDateRanges && is_old(line);
        let [sent, listed] = [text, full].map(|text| text.lines().filter(|line| is_date(line)));
        assert_eq!(sent.collect::<Vec<_>>(), listed.filter(|line| !skips(line)).collect::<Vec<_>>());
        let removed =
            self.removed.iter().filter(|(_, at)| self.now.since(*at) <= self.boundary).map(|(id, _)| id.as_str());
        let (least, said) = match skipping {
            Skipping::Segments => (9, None),
            Skipping::SegmentsAndDateRanges => (10, Some(removed.collect::<BTreeSet<_>>())),
        };
        let update = parse(text, Some(&self.versions.back().expect("one").published.playlist)).expect("an update");
        assert_eq!(update.facts.version, self.version.unwrap_or(1).max(least));
        let skip = update.facts.skip.expect("it is an update");
        assert_eq!(skip.removed_date_ranges.as_ref().map(|ids| ids.iter().map(|id| &**id).collect()), said);
    }

    /// A player with `copy` is sent an update.
    fn follow(&self, copy: &Version, update: &str, skipping: Skipping, seen: &mut Seen) {
        let (copy, last) = (&copy.published, self.versions.back().expect("one was published"));
        let update = parse(update, Some(&copy.playlist)).expect("an update is a playlist");
        let has_all = copy.playlist.open_msn() >= update.msn(0);
        assert!(has_all || !self.is_paced, "the copy is young enough");
        let merged = merge(&copy.playlist, &update);
        if !has_all {
            assert_eq!(merged, Err(CannotMerge::Unknown));
            seen.unknown += 1;
            return;
        }
        let merged = merged.expect("nothing is missing");
        seen.merged += 1;
        let is_steady = skipping == Skipping::Segments || self.shaken.is_none_or(|at| copy.at > at);
        let text = merged.render();
        if is_steady {
            assert_eq!(text, last.text);
            assert_eq!(merged, last.published.playlist);
        }
        let [ours, theirs, theirs_before] = [&text, &last.text, &copy.playlist.render()].map(|text| {
            let (dates, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| is_date(line));
            (dates.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), rest.join("\n"))
        });
        assert_eq!(ours.1, theirs.1);
        assert!(theirs.0.is_subset(&ours.0), "{:?} lacks one of {:?}", ours.0, theirs.0);
        for beyond in ours.0.difference(&theirs.0) {
            assert!(theirs_before.0.contains(beyond) && theirs.0.iter().any(|line| id(line) == id(beyond)));
        }
        if skipping == Skipping::SegmentsAndDateRanges && is_steady {
            let sent = update.render().lines().filter(|line| is_date(line)).count();
            seen.dates += theirs.0.len().saturating_sub(sent);
            seen.exact += usize::from(theirs.0.len() > sent);
        }
    }
}

/// What `last` says was revised, and what `playlist` revises. Lines that lead the first segment are the head's.
fn revised(last: &Published, playlist: &MediaPlaylist, now: Tick) -> Vec<(u64, Tick)> {
    let mut revised: Vec<_> =
        last.revised.iter().filter(|(msn, _)| *msn >= playlist.facts.media_sequence).copied().collect();
    let left = (playlist.facts.media_sequence - last.playlist.facts.media_sequence) as usize;
    for (index, (segment, old)) in playlist.segments.iter().zip(last.playlist.segments.iter().skip(left)).enumerate() {
        let msn = playlist.msn(index);
        let led = if index == 0 { led(&old.text) } else { &old.text };
        let lead = segment.text.strip_suffix(led).filter(|_| index == 0);
        let is_restated = lead.is_some_and(|lead| lead.lines().all(says_anew));
        if !is_restated && old.text != segment.text {
            revised.retain(|(of, _)| *of != msn);
            revised.push((msn, now));
        }
    }
    revised
}

/// Whether a line is one of those that the first segment says anew.
fn says_anew(line: &str) -> bool {
    line.starts_with("#EXT-X-KEY:") || line.starts_with("#EXT-X-MAP:")
}

/// The lines of a segment from its first tag on.
fn led(text: &str) -> &str {
    const OTHERS: [&str; 3] = ["#EXT-X-DATERANGE", "#EXT-X-DEFINE", "#EXT-X-FUTURE"];
    let leads = |line: &&str| {
        line.trim().is_empty()
            || line.starts_with("# ")
            || line.starts_with("#EXT-X-NEW")
            || OTHERS.iter().any(|other| line.starts_with(other))
    };
    let at: usize = text.split_inclusive('\n').take_while(leads).map(str::len).sum();
    &text[at..]
}
