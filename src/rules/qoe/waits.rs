//! When a player waited for its picture, estimated from its requests (CMCD `su`, `sta`, `bs`, `bl`, `d`). Each says how
//! things stood when it was made, so that a wait began after the last one that knew of none, and ended before the first
//! one that knows of none again: in the middle between two, or where the buffer came to its end, if that was told.

use super::report::{Data, ObjectType, Rated, State};

/// Buffers that are told by themselves: of pictures, and of sound.
const BUFFERS: usize = 2;

/// What a player has left when it stops, about: the last frames, and half of what it rounds to, in milliseconds.
const LEFT_MS: u64 = 50;

/// A buffer that came to its end so long before a player still played is one that it does not use any more, in
/// milliseconds.
const SLACK_MS: u64 = 200;

/// Where requests follow each other as parts of a live stream do, a picture comes so soon after the last urgent one, about:
/// a player asks on as soon as it has what it starts with, and for what comes next a while later. In milliseconds.
const AT_ONCE_MS: u64 = 80;

/// How long that while is at most, in milliseconds: what takes longer may have been waited for.
const A_WHILE_MS: u64 = 500;

/// Who has so much media can start, and waits for something else if it does not within `SOON_MS`, in milliseconds.
const READY_MS: u64 = 1_000;

/// See `READY_MS`.
const SOON_MS: u64 = 1_000;

/// The waits of one view. All times are those of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    phase: Phase,
    /// Kinds of objects that were asked for urgently: the next that is not shows that the wait is over.
    marking: u32,
    first: Option<u64>,
    start: Start,
    ready: Option<u64>,
    dry: Dry,
    empty: [Option<u64>; BUFFERS],
}

/// Times without a picture that are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dry {
    /// How many.
    pub count: u64,
    /// How long altogether, in milliseconds.
    pub ms: u64,
}

/// A time in which it waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// From when.
    pub from: u64,
    /// Until when.
    pub to: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Start {
    #[default]
    Ahead,
    /// It was over before the first request.
    Unseen,
    /// The first picture was there by then.
    Over(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Unknown,
    /// It waits, by what was said last.
    Waiting { since: u64, last: u64, why: Why },
    /// It plays.
    Playing { last: u64 },
}

/// Why it waits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Why {
    /// It does not say.
    Unsaid,
    /// It has run dry.
    Dry,
    /// The viewer has gone elsewhere, for which what it has is of no use.
    Seeking,
}

/// What one request says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Waits(Why),
    Plays,
}

impl Waits {
    /// A request that arrived at this time says this. The time without a picture that was over with it, if one was: not the
    /// start, and none that the viewer asked for.
    pub fn note(&mut self, data: &Data, at: u64) -> Option<Wait> {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        let mut over = None;
        self.phase = match (self.phase, self.says(data)) {
            (Phase::Unknown, Some(Says::Waits(why))) => Phase::Waiting { since: at, last: at, why },
            (Phase::Waiting { since, last, why }, Some(Says::Waits(next))) => {
                let why = if why == Why::Unsaid { next } else { why };
                Phase::Waiting { since, last: last.max(at), why }
            }
            (Phase::Waiting { since, last, why }, Some(Says::Plays)) => {
                over = self.plays_on(Wait { from: since, to: ended(last, at) }).filter(|_| why == Why::Dry);
                Phase::Playing { last: at }
            }
            (Phase::Playing { last }, Some(Says::Waits(why))) => {
                Phase::Waiting { since: self.emptied(last, at), last: at, why }
            }
            (Phase::Playing { last }, Some(Says::Plays)) => Phase::Playing { last: last.max(at) },
            (Phase::Unknown, Some(Says::Plays)) => {
                self.start = Start::Unseen;
                Phase::Playing { last: at }
            }
            (phase, None) => phase,
        };
        match self.phase {
            Phase::Playing { .. } => self.fill(data, at),
            Phase::Waiting { .. } if data.bl.iter().any(|left| left.value >= READY_MS) => {
                _ = self.ready.get_or_insert(at)
            }
            Phase::Waiting { .. } | Phase::Unknown => {}
        }
        if let Some(Wait { from, to }) = over {
            let Dry { count, ms } = self.dry;
            self.dry = Dry { count: count + 1, ms: ms.saturating_add(to.saturating_sub(from)) };
        }
        over
    }

    /// Whether it says that it waits, or that it plays.
    fn says(&mut self, data: &Data) -> Option<Says> {
        let kind = 1 << data.ot.map_or(0, |of| of as u32 + 1);
        let why = if data.bs == Some(true) { Why::Dry } else { Why::Unsaid };
        match data.sta {
            Some(State::Playing) => return Some(Says::Plays),
            Some(State::Starting | State::Preloading) => return Some(Says::Waits(why)),
            Some(State::Rebuffering) => return Some(Says::Waits(Why::Dry)),
            Some(State::Seeking) => return Some(Says::Waits(Why::Seeking)),
            // Nobody waits for a picture, or nothing is known.
            Some(State::Paused | State::Waiting | State::Ended | State::Failed | State::Quit) => return None,
            None => {}
        }
        let is_media = matches!(data.ot, Some(ObjectType::Video | ObjectType::Muxed | ObjectType::Audio));
        if self.start != Start::Ahead && !is_media {
            // Playlists are not urgent any more once something was played, for some players.
            return None;
        }
        if data.su == Some(true) {
            self.marking |= kind;
            return Some(Says::Waits(why));
        }
        (self.marking & kind != 0).then_some(Says::Plays)
    }

    /// A wait is over: the start, or else this one.
    fn plays_on(&mut self, wait: Wait) -> Option<Wait> {
        if self.start == Start::Ahead {
            let ready = self.ready.filter(|ready| wait.to.saturating_sub(*ready) > SOON_MS);
            self.start = Start::Over(ready.unwrap_or(wait.to));
            return None;
        }
        Some(wait)
    }

    /// How far what it has reaches, once it has what it asks for here.
    fn fill(&mut self, data: &Data, at: u64) {
        let buffer = match data.ot {
            Some(ObjectType::Video | ObjectType::Muxed) => 0,
            Some(ObjectType::Audio) => 1,
            _ => return,
        };
        let left = |of: &&Rated| of.of.is_none() || of.of == data.ot;
        if let (Some(left), Some(duration)) = (data.bl.iter().find(left), data.d) {
            let end = at.saturating_add(left.value).saturating_add(duration);
            self.empty[buffer] = Some(end.saturating_sub(LEFT_MS));
        }
    }

    /// When it ran out of something, between two times.
    fn emptied(&self, last: u64, at: u64) -> u64 {
        let empty = self.empty.iter().flatten().copied().filter(|empty| empty.saturating_add(SLACK_MS) >= last).min();
        empty.map_or_else(|| between(last, at), |empty| empty.clamp(last, at.max(last)))
    }

    /// From the first request to the first picture.
    pub fn start(&self) -> Option<Wait> {
        match self.start {
            Start::Over(to) => self.first.map(|from| Wait { from, to }),
            Start::Ahead | Start::Unseen => None,
        }
    }

    /// Whether it says that it still starts.
    pub const fn is_starting(&self) -> bool {
        matches!((self.phase, self.start), (Phase::Waiting { .. }, Start::Ahead))
    }

    /// The time without a picture that goes on, as far as it is known of.
    pub fn dries(&self) -> Option<Wait> {
        match self.phase {
            Phase::Waiting { since, last, why: Why::Dry } if self.start != Start::Ahead => {
                Some(Wait { from: since, to: last })
            }
            _ => None,
        }
    }

    /// Times without a picture that are over; `None`: requests do not say when it waits.
    pub fn dry(&self) -> Option<Dry> {
        (self.start != Start::Ahead).then_some(self.dry)
    }
}

/// When a wait ended between two times.
fn ended(last: u64, at: u64) -> u64 {
    let middle = between(last, at);
    if at.saturating_sub(last) > A_WHILE_MS { middle } else { middle.min(last.saturating_add(AT_ONCE_MS)) }
}

const fn between(from: u64, to: u64) -> u64 {
    from + to.saturating_sub(from) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of requests at these times, which say this.
    fn waits(said: &[(u64, Data)]) -> Waits {
        let mut waits = Waits::default();
        said.iter().for_each(|(at, data)| _ = waits.note(data, *at));
        waits
    }

    const fn wait(from: u64, to: u64) -> Option<Wait> {
        Some(Wait { from, to })
    }

    const fn dry(count: u64, ms: u64) -> Option<Dry> {
        Some(Dry { count, ms })
    }

    fn of(ot: ObjectType) -> Data {
        Data { ot: Some(ot), d: Some(333), ..Data::default() }
    }

    fn urgent(ot: ObjectType) -> Data {
        Data { su: Some(true), ..of(ot) }
    }

    fn with(left: u64, data: Data) -> Data {
        Data { bl: Rated { value: left, of: None }.into(), ..data }
    }

    fn state(sta: State) -> Data {
        Data { sta: Some(sta), ..Data::default() }
    }

    use ObjectType::{Audio, Manifest, Video};

    #[test]
    fn a_start_ends_between_the_last_urgent_request_and_the_first_other_one() {
        let start = [(10, urgent(Manifest)), (100, urgent(Video)), (300, urgent(Video)), (400, of(Video))];
        assert_eq!(waits(&start).start(), wait(10, 350));
        assert_eq!(waits(&[&start[..3], &[(633, of(Video))]].concat()).start(), wait(10, 380), "the next part");
        assert_eq!(waits(&[&start[..3], &[(2_300, of(Video))]].concat()).start(), wait(10, 1_300), "nobody knows");
        assert_eq!(
            (waits(&start[..3]).start(), waits(&start[..3]).is_starting()),
            (None, true),
            "it has not ended yet"
        );
        assert!(!waits(&start).is_starting() && !Waits::default().is_starting());
        let late = [(u64::MAX - 9, urgent(Video)), (u64::MAX, of(Video))];
        assert_eq!(waits(&late).start(), wait(u64::MAX - 9, u64::MAX - 5), "whatever a clock says");
        let said = [(10, state(State::Starting)), (300, state(State::Starting)), (310, state(State::Playing))];
        assert_eq!(waits(&said).start(), wait(10, 305));
    }

    #[test]
    fn who_could_start_and_does_not_waits_for_something_else() {
        let ready =
            |at| [(0, urgent(Video)), (at, with(1_200, urgent(Video))), (4_000, urgent(Video)), (4_100, of(Video))];
        assert_eq!(waits(&ready(400)).start(), wait(0, 400), "its viewer pressed a button");
        assert_eq!(waits(&ready(3_900)).start(), wait(0, 4_050));
    }

    #[test]
    fn what_never_says_that_it_is_urgent_says_nothing_by_that() {
        let start = [(10, of(Manifest)), (100, urgent(Video)), (200, of(Manifest)), (300, of(Audio)), (400, of(Video))];
        assert_eq!(waits(&start).start(), wait(10, 180));
        let silent = waits(&[(10, of(Manifest)), (100, of(Video))]);
        assert_eq!((silent.start(), silent.dry()), (None, None));
    }

    #[test]
    fn a_playlist_says_nothing_of_a_buffer_that_ran_dry() {
        let mut said =
            vec![(0, urgent(Manifest)), (0, urgent(Video)), (100, of(Manifest)), (110, with(900, of(Video)))];
        said.extend([(3_000, of(Manifest)), (3_010, Data { bs: Some(true), ..urgent(Video) }), (3_015, of(Manifest))]);
        said.extend([(3_020, urgent(Video)), (3_040, of(Video))]);
        assert_eq!((waits(&said).start(), waits(&said).dry()), (wait(0, 50), dry(1, 3_030 - 1_293)));
    }

    #[test]
    fn a_view_whose_start_was_not_seen_has_none() {
        let seen = waits(&[(10, state(State::Playing)), (100, state(State::Playing))]);
        assert_eq!((seen.start(), seen.dry()), (None, dry(0, 0)));
    }

    #[test]
    fn a_buffer_runs_dry_when_what_was_told_of_it_is_played() {
        let starved = Data { bs: Some(true), ..urgent(Video) };
        let mut said =
            vec![(0, urgent(Video)), (0, urgent(Audio)), (100, with(900, of(Video))), (110, with(800, of(Audio)))];
        said.extend([(3_000, urgent(Audio)), (3_010, starved), (3_020, urgent(Video))]);
        let mut waits = waits(&said);
        // That of sound came to its end first, at 110 + 800 + 333, and it stopped just before.
        assert_eq!((waits.dries(), waits.dry(), waits.start()), (wait(1_193, 3_020), dry(0, 0), wait(0, 50)));
        assert_eq!(waits.note(&of(Video), 3_040), wait(1_193, 3_030));
        assert_eq!((waits.dries(), waits.dry()), (None, dry(1, 3_030 - 1_193)));
    }

    #[test]
    fn without_its_buffer_it_ran_dry_in_the_middle_and_one_that_is_not_used_any_more_says_nothing() {
        let starved = || Data { bs: Some(true), ..urgent(Video) };
        let none = [(0, urgent(Video)), (100, of(Video)), (1_100, starved()), (1_200, of(Video))];
        assert_eq!(waits(&none).dry(), dry(1, 1_150 - 600));
        let mut said = vec![(0, urgent(Video)), (0, urgent(Audio)), (100, with(500, of(Audio)))];
        said.extend([(9_000, with(900, of(Video))), (12_000, starved()), (12_100, of(Video))]);
        assert_eq!(waits(&said).dry(), dry(1, 12_050 - 10_183));
    }

    #[test]
    fn a_buffer_that_reaches_further_than_the_next_request_ran_dry_just_before_that() {
        let starved = Data { bs: Some(true), ..urgent(Video) };
        let said = [(0, urgent(Video)), (100, with(9_000, of(Video))), (1_000, starved), (1_200, of(Video))];
        assert_eq!(waits(&said).dry(), dry(1, 80));
    }

    #[test]
    fn what_is_urgent_and_was_not_dry_is_no_rebuffering() {
        let said = [(0, urgent(Video)), (100, of(Video)), (500, urgent(Video)), (900, of(Video))];
        assert_eq!(waits(&said).dry(), dry(0, 0), "nothing says that it was dry");
        let mut said = vec![(0, state(State::Playing)), (100, state(State::Seeking)), (500, state(State::Rebuffering))];
        said.push((900, state(State::Playing)));
        assert_eq!(waits(&said).dry(), dry(0, 0), "the viewer went elsewhere");
        said.extend([(1_000, state(State::Rebuffering)), (1_900, state(State::Playing))]);
        assert_eq!(waits(&said).dry(), dry(1, 1_450 - 950));
        let starved = Data { bs: Some(true), ..urgent(Video) };
        assert_eq!(
            waits(&[(0, starved.clone()), (10, starved), (100, of(Video))]).dry(),
            dry(0, 0),
            "it had not started"
        );
    }

    proptest::proptest! {
        #[test]
        fn it_waits_no_longer_than_it_was_heard_of(said in proptest::collection::vec((0_u64..100_000, 0_u8..64, 0_u64..9_000), 0..60)) {
            let data = |bits: u8, left| Data {
                su: Some(bits & 1 > 0),
                bs: Some(bits & 2 > 0),
                sta: [None, Some(State::Playing), Some(State::Rebuffering), Some(State::Seeking)][usize::from(bits >> 4)],
                ..with(left, of(if bits & 4 > 0 { Video } else { Audio }))
            };
            let mut said: Vec<_> = said.into_iter().map(|(at, bits, left)| (at, data(bits, left))).collect();
            let in_any_order = waits(&said);
            said.sort_by_key(|(at, _)| *at);
            let in_order = waits(&said);
            let (first, last) = (said.first().map_or(0, |(at, _)| *at), said.last().map_or(0, |(at, _)| *at));
            for waits in [in_any_order, in_order] {
                if let Some(Wait { from, to }) = waits.start() {
                    proptest::prop_assert!(first <= from && from <= to && to <= last);
                }
            }
            proptest::prop_assert!(in_order.dry().unwrap_or_default().ms <= last - first);
        }
    }
}
