//! Whatever origins do, these laws hold for what viewers see, over the whole life of a window.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{List, part, segment};
use crate::rules::hls::parse::parse;
use crate::rules::hls::playlist::ByteRange;
use crate::rules::hls::position::Position;
use crate::rules::hls::window::version::CLOSED;
use crate::rules::hls::window::*;

/// What an origin does next.
#[derive(Clone, Debug)]
enum Act {
    /// A part of the open segment, or a segment where it has no parts.
    Publish,
    /// Several segments at once.
    Jump(u64),
    /// A discontinuity before the next segment.
    Splice,
    /// It begins again, at a number, with names of this kind.
    Restart {
        msn: u64,
        name: u8,
        wait: u64,
    },
    /// It answers with a version of so many ago.
    Lag(usize),
    /// It answers with more of its past than usual.
    Remember(usize),
    /// Parts of older segments are not listed any more, or again.
    Forget,
    /// A line of a listed segment changes.
    Revise,
    /// The token in its URIs changes.
    Renew,
    /// The node restarts, with what it remembers.
    Resume,
    Wait(u64),
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Parts), Just(Form::Whole)]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => Just(Act::Publish),
        1 => (1u64..20).prop_map(Act::Jump),
        1 => Just(Act::Splice),
        2 => (0u64..12, 0u8..3, 0u64..30_000).prop_map(|(msn, name, wait)| Act::Restart { msn, name, wait }),
        3 => (1usize..8).prop_map(Act::Lag),
        1 => (1usize..4).prop_map(Act::Remember),
        1 => Just(Act::Forget),
        1 => Just(Act::Revise),
        1 => Just(Act::Renew),
        1 => Just(Act::Resume),
        3 => (0u64..6_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..80)
}

/// Whether an origin has parts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Parts,
    Whole,
}

/// An origin of segments of up to three parts, or without parts.
struct Origin {
    form: Form,
    name: u8,
    /// Index of the first segment that it still has, discontinuities before it, and all segments from there on.
    first: u64,
    removed_discontinuities: u64,
    all: Vec<Made>,
    open: u64,
    splices: bool,
    token: u64,
    /// What it answers with beyond its window, and whether it lists parts.
    extra: usize,
    lists_parts: bool,
    versions: Vec<String>,
}

#[derive(Clone)]
struct Made {
    splices: bool,
    comment: &'static str,
    parts: u64,
}

const LISTED: usize = 5;
const KEPT: usize = 9;
const PARTS: u64 = 3;

impl Origin {
    fn new(form: Form) -> Self {
        let versions = Vec::new();
        Self {
            form,
            name: 0,
            first: 3,
            removed_discontinuities: 0,
            all: Vec::new(),
            open: 0,
            splices: false,
            token: 0,
            extra: 0,
            lists_parts: true,
            versions,
        }
    }

    fn close(&mut self) {
        let parts = if self.form == Form::Parts { self.open.max(1) } else { 0 };
        self.all.push(Made { splices: std::mem::take(&mut self.splices), comment: "", parts });
        self.open = 0;
        while self.all.len() > KEPT {
            self.removed_discontinuities += u64::from(self.all.remove(0).splices);
            self.first += 1;
        }
    }

    fn publish(&mut self) {
        match self.form == Form::Parts && self.open < PARTS {
            true => self.open += 1,
            false => self.close(),
        }
    }

    fn restart(&mut self, msn: u64, name: u8) {
        (self.first, self.name, self.removed_discontinuities) = (msn, name, 0);
        (self.open, self.splices) = (0, false);
        self.all.clear();
        self.publish();
    }

    fn part_lines(&self, msn: u64, count: u64) -> Vec<String> {
        (0..count).map(|index| part(&format!("{}-{msn}.{index}?t={}", self.name, self.token), 0.5)).collect()
    }

    fn version(&mut self) -> String {
        let listed = (LISTED + self.extra).min(self.all.len());
        let hidden = self.all.len() - listed;
        let before = self.all[..hidden].iter().filter(|made| made.splices).count() as u64;
        let mut head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n".to_owned();
        if self.form == Form::Parts {
            head.push_str("#EXT-X-PART-INF:PART-TARGET=0.5\n");
        }
        let first = self.first + hidden as u64;
        let lines = self.all[hidden..].iter().enumerate().map(|(index, made)| {
            let msn = first + index as u64;
            let mut lines = if index == 0 { "#EXT-X-MAP:URI=\"i\"\n".to_owned() } else { String::new() };
            lines += if made.splices { "#EXT-X-DISCONTINUITY\n" } else { "" };
            lines += made.comment;
            if self.lists_parts || index + 2 >= listed {
                lines += &self.part_lines(msn, made.parts).concat();
            }
            // One resource for all segments of a name, in ranges.
            let range = format!("#EXT-X-BYTERANGE:100@{}\n", 100 * msn);
            lines + &range + &segment(&format!("{}?t={}", self.name, self.token), 2.0)
        });
        let segments = lines.collect();
        let open_msn = self.first + self.all.len() as u64;
        let mut open = self.part_lines(open_msn, self.open);
        if self.splices && self.open > 0 {
            open.insert(0, "#EXT-X-DISCONTINUITY\n".to_owned());
        }
        let end = "#EXT-X-RENDITION-REPORT:URI=\"other.m3u8\",LAST-MSN=7\n".to_owned();
        let discontinuity_sequence = self.removed_discontinuities + before;
        let list = List { first, discontinuity_sequence, segments, open, head, end };
        self.versions.push(list.text());
        list.text()
    }

    /// Does it, and says what is answered then.
    fn act(&mut self, act: &Act) -> String {
        self.extra = 0;
        match act {
            Act::Publish | Act::Wait(_) | Act::Resume => self.publish(),
            Act::Jump(segments) => (0..*segments).for_each(|_| self.close()),
            Act::Splice if self.open == 0 => self.splices = true,
            Act::Restart { msn, name, .. } => self.restart(*msn, *name),
            Act::Lag(versions) if self.versions.len() > *versions => {
                return self.versions[self.versions.len() - 1 - versions].clone();
            }
            Act::Remember(more) => self.extra = *more,
            Act::Forget => self.lists_parts = !self.lists_parts,
            Act::Revise => {
                if let Some(made) = self.all.last_mut() {
                    made.comment = "#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z\n";
                }
            }
            Act::Renew => self.token += 1,
            Act::Splice | Act::Lag(_) => {}
        }
        self.version()
    }
}

/// Everything that viewers were ever told.
#[derive(Default)]
struct Viewers {
    segments: HashMap<u64, (String, Option<ByteRange>, Option<u64>)>,
    parts: HashMap<Position, String>,
    last: Option<Arc<Published>>,
    /// Parts of segments that were closed earlier are not remembered.
    counted_from: u64,
    /// Whether the origin counts its discontinuities wrong: its word is taken, for other renditions have it too.
    counts_wrong: bool,
}

impl Viewers {
    fn see(&mut self, published: &Arc<Published>) {
        let playlist = &published.playlist;
        if let Some(last) = &self.last {
            let (old, new) = (&last.playlist.facts, &playlist.facts);
            assert!(old.media_sequence <= new.media_sequence);
            assert!(old.discontinuity_sequence <= new.discontinuity_sequence);
            assert!(last.frontier.next <= published.frontier.next);
            assert!(last.generation <= published.generation);
            assert!(old.server_control.unwrap().can_skip_until <= new.server_control.unwrap().can_skip_until);
        }
        let mut discontinuity = playlist.facts.discontinuity_sequence;
        for (index, segment) in playlist.segments.iter().enumerate() {
            discontinuity += u64::from(segment.discontinuities);
            let msn = playlist.msn(index);
            let name =
                (segment.uri().to_owned(), segment.byte_range, Some(discontinuity).filter(|_| !self.counts_wrong));
            let known = self.segments.entry(msn).or_insert_with(|| name.clone());
            if known.0 == relation::path(&name.0) {
                known.0.clone_from(&name.0);
            }
            if self.counts_wrong || known.2.is_none() {
                known.2 = name.2;
            }
            assert_eq!(known, &name, "{msn}");
            for (part, index) in segment.parts.iter().zip(0..) {
                self.part(Position::new(msn, index), &part.uri);
            }
        }
        for (part, index) in playlist.open_parts().zip(0..) {
            self.part(Position::new(playlist.open_msn(), index), &part.uri);
        }
        assert_eq!(parse(&playlist.render(), None).as_ref(), Ok(playlist), "{}", playlist.render());
        assert!(!playlist.render().contains("RENDITION-REPORT") && published.reports.len() == 1);
        assert!(playlist.facts.server_control.unwrap().can_block_reload);
        self.check_generation(published);
        self.last = Some(Arc::clone(published));
    }

    /// A node that restarts does not know the tokens that it handed out, and what was closed before.
    fn restart(&mut self) {
        self.counted_from = self.last.as_ref().map_or(0, |last| last.frontier.next.msn);
        self.segments.values_mut().for_each(|(uri, _, discontinuity)| {
            (*uri, *discontinuity) = (relation::path(uri).to_owned(), None);
        });
    }

    /// Tokens of parts are written anew, their names are not.
    fn part(&mut self, position: Position, uri: &str) {
        let name = relation::path(uri).to_owned();
        assert_eq!(self.parts.entry(position).or_insert_with(|| name.clone()), &name, "{position}");
    }

    fn check_generation(&self, published: &Published) {
        let first = published.first_of_generation;
        let (earlier, own) = published.playlist.segments.split_at(first);
        let taken = bridge::name_set(earlier);
        assert!(!bridge::names(own, &published.playlist).any(|name| taken.contains(&name)));
        if first > 0 {
            let marked = own.first().map_or_else(
                || numbering::open_discontinuities(&published.playlist),
                |segment| segment.discontinuities,
            );
            assert!(marked > 0);
        }
        let frontier = &published.frontier;
        assert!(frontier.closed_parts.len() <= CLOSED as usize);
        for (count, behind) in frontier.closed_parts.iter().rev().zip(1..) {
            let of_it =
                |position: &&Position| position.msn + behind == frontier.next.msn && position.msn >= self.counted_from;
            let known = self.parts.keys().filter(of_it).count() as u64;
            assert!(*count >= known.min(PARTS), "{count} {known}");
        }
        assert!(published.revised.iter().all(|(msn, _)| *msn >= published.playlist.msn(0)));
    }
}

fn play(acts: &[Act], form: Form) {
    let (mut origin, mut window, mut viewers) = (Origin::new(form), Window::default(), Viewers::default());
    let mut now = Tick::default();
    for act in acts {
        let wait = match act {
            Act::Wait(wait) | Act::Restart { wait, .. } => *wait,
            _ => 500,
        };
        now = now + Duration::from_millis(wait);
        let text = origin.act(act);
        if matches!(act, Act::Resume) {
            viewers.restart();
            let kept = serde_json::to_string(&window.remember()).unwrap();
            window = Window::resume(serde_json::from_str(&kept).unwrap());
        }
        let new = parse(&text, window.ingested()).unwrap();
        let before = window.published().cloned();
        match window.take(new, now) {
            Advance::Advanced(published, findings) => {
                let is_wrong = |finding: &Finding| matches!(finding, Finding::DiscontinuitySequence { .. });
                viewers.counts_wrong |= findings.iter().any(is_wrong);
                viewers.see(&published);
            }
            Advance::Unchanged | Advance::Behind => assert_eq!(window.published(), before.as_ref()),
            Advance::Refused(finding) => panic!("{finding:?}"),
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_an_origin_does_breaks_what_viewers_were_told(acts in acts(), form in form()) {
        play(&acts, form);
    }

    #[test]
    fn an_origin_that_begins_again_is_shown_in_the_end(acts in acts(), form in form(), name in 0u8..3) {
        let (mut origin, mut window, mut now) = (Origin::new(form), Window::default(), Tick::default());
        let restart = Act::Restart { msn: 0, name, wait: 500 };
        let more = std::iter::repeat_n(Act::Publish, 60);
        let mut shown = None;
        for act in acts.iter().cloned().chain([restart]).chain(more) {
            now = now + Duration::from_millis(500);
            let new = parse(&origin.act(&act), window.ingested()).unwrap();
            let end = (new.open_parts().last().cloned(), new.segments.last().map(|last| last.byte_range));
            window.take(new, now);
            shown = window.published().map(|published| {
                let playlist = &published.playlist;
                (playlist.open_parts().last().cloned(), playlist.segments.last().map(|last| last.byte_range)) == end
            });
        }
        prop_assert_eq!(shown, Some(true));
    }
}

#[test]
fn a_discontinuity_that_was_counted_is_not_counted_again_when_it_is_listed_again() {
    use Act::*;
    let begin = [Publish, Splice, Splice, Publish, Publish, Publish, Publish, Resume, Publish];
    let again = [Restart { msn: 4, name: 0, wait: 0 }, Splice, Wait(0)];
    let end = [Publish, Publish, Publish, Publish];
    play(&[&begin[..], &again, &[Lag(3)], &end].concat(), Form::Whole);
    play(&[&begin[..], &again, &[Resume], &end].concat(), Form::Whole);
}

#[test]
fn a_segment_that_does_not_say_its_parts_is_not_taken_for_the_one_whose_parts_were_told() {
    use Act::*;
    let begin = [Restart { msn: 11, name: 1, wait: 0 }, Resume, Publish, Publish, Publish, Resume];
    let again = [Publish, Publish, Publish, Forget, Restart { msn: 3, name: 0, wait: 0 }];
    play(&[&begin[..], &again, &[Jump(15), Forget]].concat(), Form::Parts);
    let in_turn = [Publish, Wait(0), Publish, Lag(7), Lag(5), Jump(3), Forget];
    let begin = [Forget, Publish, Lag(2), Restart { msn: 2, name: 1, wait: 0 }];
    play(&[&begin[..], &in_turn].concat(), Form::Parts);
}

#[test]
fn a_discontinuity_that_moved_is_found_behind_a_segment_that_is_the_same() {
    use Act::*;
    let begin = [Restart { msn: 9, name: 1, wait: 0 }, Splice, Publish, Publish, Publish, Publish, Publish, Publish];
    let again = [Restart { msn: 11, name: 1, wait: 0 }, Splice, Publish, Publish, Publish, Publish];
    play(&[&begin[..], &again].concat(), Form::Whole);
}
