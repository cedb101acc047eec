//! One task for each playlist that is watched: it asks for it, says what it is, and keeps a live one at its edge with at
//! most one request outstanding. It ends when nobody watches any more, when its place is needed, or with the node; who
//! still waits then is told to ask again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::clock::Tick;
use crate::origin::{Course, MediaHealth, told};
use crate::rules::hls::window::Window;
use crate::tasks::Tasks;

use super::Live;
use super::ask::{self, Came, Nothing, Question};
use super::figures::{Notice, Why};
use super::following::Following;
use super::home::{Home, Whom};
use super::judge::{Said, judge};
use super::kept::{Kept, Schedule};
use super::pace;
use super::parking::{Fate, Want};
use super::playlist::{NEVER, Playlist};
use super::state::{Failure, State};

/// While somebody waits, whether they still do is looked at this often.
const LINGER: Duration = Duration::from_secs(1);
/// No playlist is left before this: a viewer who asked is about to wait.
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// The task of one playlist.
pub(super) struct Follower {
    pub(super) live: Arc<Live>,
    pub(super) playlist: Arc<Playlist>,
    pub(super) tasks: Tasks,
    pub(super) known: Known,
    /// Failures in a row of a playlist that nobody has seen yet.
    pub(super) failures: u32,
    /// Before this the stream does not move again because of a stall.
    pub(super) stays_until: Tick,
    /// The origin that was last told of the stream, and as whose.
    pub(super) told: Option<(Arc<Home>, Arc<str>)>,
}

/// What the origin's answers have shown so far.
pub(super) enum Known {
    Nothing,
    Media(Box<Following>),
    Multivariant(Kept),
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is asked for again then.
    At(Tick),
    /// It is kept, and asked for again when somebody wants it.
    Keep(Schedule),
    /// It is forgotten then.
    Forget(Tick),
}

/// What became of a request.
enum Outcome {
    Came(Box<Result<Came, Nothing>>),
    /// It was held for too long.
    GivenUp,
    /// It was stalled for too long, and the stream has moved to another origin.
    MovedOn,
}

impl Follower {
    pub(super) fn new(live: Arc<Live>, playlist: Arc<Playlist>, tasks: Tasks) -> Self {
        Self { live, playlist, tasks, known: Known::Nothing, failures: 0, stays_until: Tick::default(), told: None }
    }

    /// Runs to its end.
    pub(super) async fn run(mut self) {
        let (closed, dismissed) = (self.live.closed.clone(), self.playlist.dismissed().clone());
        tokio::select! {
            biased;
            () = closed.cancelled() => {}
            () = dismissed.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut next = Next::At(self.now());
        loop {
            let asks = match next {
                Next::At(tick) => {
                    self.pause(tick).await;
                    true
                }
                Next::Keep(schedule) => self.rest(schedule).await,
                Next::Forget(tick) => {
                    self.live.clock.sleep_until(tick).await;
                    return;
                }
            };
            if !asks || self.is_left() {
                let (now, grace) = (self.now(), self.grace());
                if self.live.table.remove_if(&self.playlist, |playlist| playlist.is_left(now, grace)) {
                    return;
                }
                continue;
            }
            next = self.step().await;
        }
    }

    /// One request and what follows from it.
    async fn step(&mut self) -> Next {
        self.playlist.set_due(NEVER);
        let whom = self.whom();
        let (why, question) = self.question();
        self.count_request(why);
        let asked = self.now();
        match self.ask(&question, &whom).await {
            // Another origin is asked for the whole list.
            Outcome::MovedOn => Next::At(self.now()),
            // The origin may have begun anew, and hold what is asked in its old numbers for ever.
            Outcome::GivenUp => self.given_up(),
            Outcome::Came(outcome) => match *outcome {
                Err(nothing) => self.nothing(&question, asked, nothing),
                Ok(came) => self.came((why, &question), Came { home: whom.home, ..came }),
            },
        }
    }

    fn question(&self) -> (Why, Question) {
        match &self.known {
            Known::Nothing => (Why::First, Question::default()),
            Known::Media(following) => following.question(self.now()),
            Known::Multivariant(kept) => {
                (Why::Refresh, Question { validates: Some(kept.validators.clone()), ..Question::default() })
            }
        }
    }

    /// Asks, and meanwhile notices a playlist that does not advance.
    async fn ask(&mut self, question: &Question, whom: &Whom) -> Outcome {
        let (live, playlist, tasks) = (self.live.clone(), self.playlist.clone(), self.tasks.clone());
        let origins = live.origins.load_full();
        let number = told::number();
        let course = Course { number: Some(number), ..self.course(question, whom) };
        let way = (&*origins, &*whom.group, course);
        let mut asking = pin!(ask::ask(&playlist.asked, question, way, (&live.clock, &tasks)));
        let asked = self.now();
        let patience = question.blocks.map(|blocks| pace::patience(asked, self.stalled_from(), blocks.target_duration));
        if question.blocks.is_some() && !self.playlist.activity.is_stalled() {
            // The origin would answer if there were anything newer.
            self.playlist.set_current(NEVER);
        }
        let mut given_up = pin!(live.clock.sleep_until(patience.unwrap_or(NEVER)));
        loop {
            let stalled = live.clock.sleep_until(self.stall_to_notice());
            let abandoned = live.clock.sleep_until(self.moves_from());
            tokio::select! {
                biased;
                came = &mut asking => {
                    self.note_fetch(number, &came, asked);
                    return Outcome::Came(Box::new(came));
                }
                () = &mut given_up, if patience.is_some() => return Outcome::GivenUp,
                () = stalled => self.notice_stall(),
                () = abandoned => {
                    if self.move_on() {
                        return Outcome::MovedOn;
                    }
                }
            }
        }
    }

    /// Who waits for the playlist is told by which request it came, or did not.
    fn note_fetch(&self, number: u64, came: &Result<Came, Nothing>, asked: Tick) {
        let waited = self.now().since(asked);
        self.playlist.activity.set_fetch(match came {
            Ok(came) => told::answered(number, (&came.origin, came.status.as_u16()), came.waited),
            Err(Nothing::Fetch(error)) => told::failed(number, error, waited),
            Err(Nothing::Unusable(_)) => return,
        });
    }

    /// Waits until `tick`, and meanwhile notices a playlist that does not advance.
    async fn pause(&mut self, tick: Tick) {
        loop {
            let (stall, abandoned) = (self.stall_to_notice(), self.moves_from());
            self.live.clock.sleep_until(tick.min(stall).min(abandoned)).await;
            let now = self.now();
            if now >= stall {
                self.notice_stall();
            } else if now >= abandoned {
                if self.move_on() {
                    return;
                }
            } else {
                return;
            }
        }
    }

    /// Waits until what is kept is wanted anew; `false`: nobody wants it.
    async fn rest(&mut self, schedule: Schedule) -> bool {
        let playlist = self.playlist.clone();
        playlist.set_due(schedule.due);
        let (mut blanked, mut demanded) = (false, false);
        loop {
            let now = self.now();
            if playlist.is_left(now, self.grace()) {
                return false;
            }
            let is_wanted = demanded || playlist.touched() >= schedule.due;
            if (is_wanted && playlist.is_due(now)) || (playlist.is_warm(now) && now >= schedule.warm) {
                return true;
            }
            if now >= schedule.blank && !blanked {
                blanked = true;
                playlist.set_state(State::Asked);
            }
            let left = playlist.left_from(self.grace()).max(now + LINGER);
            let blank = if blanked { NEVER } else { schedule.blank };
            let warm = if playlist.is_warm(now) { schedule.warm } else { NEVER };
            tokio::select! {
                () = playlist.demanded() => demanded = playlist.is_due(self.now()),
                () = self.live.clock.sleep_until(left.min(blank).min(warm)) => {}
            }
        }
    }

    fn came(&mut self, (why, question): (Why, &Question), came: Came) -> Next {
        let said = judge(&came, &self.playlist.asked);
        if matches!(said, Said::Media(_) | Said::Multivariant(_) | Said::Unchanged) {
            self.settle(&came);
        }
        match said {
            Said::Media(text) => self.media((why, question), &came, &text),
            Said::Multivariant(text) => self.multivariant(&came, &text),
            Said::Unchanged => self.unchanged(question, &came),
            Said::PerViewer => self.per_viewer(),
            Said::Failure(failure) => self.failed(question, came.asked, failure),
        }
    }

    fn per_viewer(&mut self) -> Next {
        self.retire();
        self.known = Known::Nothing;
        self.live.figures.per_viewer.add(1);
        debug!(route = self.route(), playlist = self.playlist.asked.path(), "playlists are one viewer's each");
        self.live.personal.learn(&self.playlist.asked.key, self.now());
        self.show(State::PerViewer);
        // It needs no task: there may be as many of them as viewers.
        Next::Forget(self.now())
    }

    /// From now on viewers see this, and who waits is released if it is what they wait for.
    pub(super) fn show(&self, state: impl Into<State>) {
        let state = self.playlist.set_state(state.into());
        self.playlist.parking.release(&state, |_: Want| Fate::Release);
    }

    pub(super) fn retire(&mut self) {
        let Known::Media(following) = std::mem::replace(&mut self.known, Known::Nothing) else { return };
        if let Some(last) = following.window.published() {
            self.live.media.retired(&self.playlist.asked, last, last.playlist.duration());
        }
        self.live.numbers.remember(&self.playlist.asked.key, following.window.remember());
    }

    /// The window that a new following begins with: that of an earlier one, so that its numbers go on.
    pub(super) fn window(&self) -> Window {
        Window::resume(self.live.numbers.recall(&self.playlist.asked.key))
    }

    fn stalled_from(&self) -> Option<Tick> {
        match &self.known {
            Known::Media(following) => following.window.stalled_from(),
            Known::Nothing | Known::Multivariant(_) => None,
        }
    }

    /// When a stall is to be noticed that has not been.
    fn stall_to_notice(&self) -> Tick {
        self.stalled_from().filter(|_| !self.playlist.activity.is_stalled()).unwrap_or(NEVER)
    }

    fn notice_stall(&mut self) {
        let now = self.now();
        self.playlist.activity.set_stalled(Some(now));
        self.playlist.set_current(now);
        self.tell(MediaHealth::Stalls);
        let next = match &self.known {
            Known::Media(following) => following.window.published().map(|published| published.frontier.next),
            Known::Nothing | Known::Multivariant(_) => None,
        };
        self.notice(Notice::Stall, &format!("waiting for {}", next.unwrap_or_default()));
    }

    /// Counts something about the origin; the first of its kind in a while is an event.
    pub(super) fn notice(&self, notice: Notice, evidence: &str) {
        self.playlist.activity.tally.notice(notice);
        self.live.figures.tally.notice(notice);
        if self.playlist.activity.is_news(notice, self.now()) {
            let (finding, playlist) = (notice.label(), self.playlist.asked.path());
            warn!(route = self.route(), playlist, finding, evidence, "origin playlist");
        }
    }

    fn count_request(&self, why: Why) {
        self.playlist.activity.tally.ask(why);
        self.live.figures.tally.ask(why);
    }

    pub(super) fn now(&self) -> Tick {
        self.live.clock.now()
    }

    fn grace(&self) -> Duration {
        self.live.config.load().grace.max(LEAST_GRACE)
    }

    fn is_left(&self) -> bool {
        self.playlist.is_left(self.now(), self.grace())
    }

    pub(super) fn route(&self) -> &str {
        &self.playlist.asked.rules.route
    }
}

/// However the following ends: names live on for a while, who waits is told to ask again.
impl Drop for Follower {
    fn drop(&mut self) {
        self.live.table.remove_if(&self.playlist, |_| true);
        self.leaves();
        // What panicked once is not asked for more.
        if !std::thread::panicking() {
            self.retire();
        }
        if !matches!(*self.playlist.state(), State::PerViewer) {
            self.show(Failure::Gone);
        }
    }
}
