//! What a follower does with what came, by its kind: a media playlist advances its window and releases who waits, a
//! multivariant one says what belongs together.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::origin::MediaHealth;
use crate::rules::hls::Published;
use crate::rules::hls::multivariant::Multivariant;
use crate::rules::hls::playlist::PlaylistType;
use crate::rules::hls::reload::Reload;
use crate::rules::hls::window::Advance;

use super::ask::{Came, Question};
use super::edition::Edition;
use super::figures::{Notice, Why};
use super::follower::{Follower, Known, Next};
use super::following::{Following, NoVersion, Received};
use super::judge::passed_on;
use super::kept::{Kept, Schedule, lifetime};
use super::media::Watched;
use super::pace;
use super::parking::{Fate, Want};
use super::playlist::NEVER;
use super::state::{Document, Failure, State};

/// A rendition counts as watched for this many halves of its target duration after its last viewer.
const WATCHED_HALVES: u32 = 3;
/// For how long a playlist that has ended is not asked for anew, where its origin does not say: it may begin again.
const ENDED: Duration = Duration::from_mins(1);
/// The same for one that says that it never changes.
const UNCHANGING: Duration = Duration::from_hours(1);

impl Follower {
    /// A media playlist came, or a delta update.
    pub(super) fn media(&mut self, (why, question): (Why, &Question), came: &Came, text: &str) -> Next {
        if !matches!(self.known, Known::Media(_)) {
            self.known = Known::Media(Box::new(Following::new(self.window())));
        }
        let Known::Media(following) = &mut self.known else { unreachable!("it has just been made one") };
        let playlist = match following.read(text) {
            Ok(playlist) => playlist,
            Err(NoVersion::CannotMerge) if why == Why::FailedMerge => {
                return self.nothing_of_media(question, came, "it skips what was asked for whole");
            }
            Err(NoVersion::CannotMerge) => {
                self.notice(Notice::FailedMerge, "a delta update skips segments that are not known");
                return Next::At(pace::after_reload(came.asked));
            }
            Err(NoVersion::Malformed(malformed)) => return self.nothing_of_media(question, came, malformed.what),
        };
        let received = received(came, self.live.clock.wall());
        let advance = following.take(playlist, question, &received);
        match advance {
            Advance::Advanced(published, findings) => {
                self.tell(MediaHealth::Advances);
                self.publish(&published, came);
                findings.iter().for_each(|finding| self.notice(Notice::of(finding), &format!("{finding:?}")));
                self.go_on(question, came)
            }
            Advance::Unchanged => {
                self.show_again();
                self.go_on(question, came)
            }
            Advance::Behind => {
                self.notice(Notice::Behind, "the origin's list is behind what viewers have");
                self.show_again();
                Next::At(self.after_early(came.asked))
            }
            Advance::Refused(finding) => {
                self.notice(Notice::Refused, &format!("{finding:?}"));
                let what = "it cannot follow what viewers have";
                self.failed(&Question::default(), came.asked, Failure::NoPlaylist(what))
            }
        }
    }

    fn nothing_of_media(&mut self, question: &Question, came: &Came, what: &'static str) -> Next {
        if matches!(&self.known, Known::Media(following) if following.edition.is_none()) {
            self.known = Known::Nothing;
        }
        self.failed(question, came.asked, Failure::NoPlaylist(what))
    }

    /// The origin says that nothing has changed.
    pub(super) fn unchanged(&mut self, question: &Question, came: &Came) -> Next {
        let wall = self.live.clock.wall();
        match &mut self.known {
            Known::Media(following) => {
                following.unchanged(question, &received(came, wall));
                self.show_again();
                self.go_on(question, came)
            }
            Known::Multivariant(kept) => {
                kept.confirm(came, wall);
                let (document, schedule) = (kept.document.clone(), kept.schedule());
                self.playlist.set_current(came.answered);
                self.show(State::Multivariant(document));
                Next::Keep(schedule)
            }
            Known::Nothing => self.failed(question, came.asked, Failure::NoPlaylist("304 without a condition")),
        }
    }

    /// A new version for viewers.
    fn publish(&mut self, published: &Arc<Published>, came: &Came) {
        let Known::Media(following) = &mut self.known else { return };
        let playlist = &self.playlist;
        let before = following.edition.take();
        let edition = Arc::new(Edition::new(published.clone(), passed_on(&came.headers), before.as_deref()));
        following.edition = Some(edition.clone());
        playlist.activity.set_published();
        playlist.activity.set_stalled(None);
        // What it names and hints is known before anybody can ask for it.
        let watched = match playlist.is_watched(came.answered, published.frontier.target_duration * WATCHED_HALVES / 2)
        {
            true => Watched::Now,
            false => Watched::NotNow,
        };
        let before = before.as_ref().map(|before| &*before.published);
        if before.is_none() {
            self.live.media.followed(&playlist.asked, playlist.imported());
        }
        let place = following.origin().filter(|_| !published.frontier.is_ended);
        self.live.media.comes_from(&playlist.asked, place, published.generation);
        self.live.media.published(&playlist.asked, (before, published), watched, playlist.role());
        let state = playlist.set_state(State::Media(edition));
        if playlist.stream().is_none() && !published.reports.is_empty() {
            self.live.streams.take_reports(playlist, published.reports.iter().map(|report| &*report.uri));
        }
        if let Some(stream) = playlist.stream() {
            stream.changed();
        }
        playlist.parking.release(&state, |want| fate(published, want));
        if self.live.numbers.are_kept()
            && let Known::Media(following) = &self.known
        {
            playlist.note_numbers(came.answered, || following.window.remember());
        }
    }

    /// Viewers see the last version again, if they were told of a failure.
    fn show_again(&mut self) {
        let Known::Media(following) = &self.known else { return };
        if let (State::Failed(_) | State::Asked, Some(edition)) = (&*self.playlist.state(), &following.edition) {
            let edition = edition.clone();
            let published = edition.published.clone();
            let state = self.playlist.set_state(State::Media(edition));
            self.playlist.parking.release(&state, |want| fate(&published, want));
        }
    }

    /// What comes after an answer that came well.
    fn go_on(&mut self, question: &Question, came: &Came) -> Next {
        let Known::Media(following) = &self.known else { return Next::Forget(came.answered) };
        self.playlist.set_current(pace::current(came.answered, following.part_target()));
        if following.is_ended() {
            let playlist = following.window.published().map(|published| published.playlist.facts.kind);
            let usual = if playlist == Some(Some(PlaylistType::Vod)) { UNCHANGING } else { ENDED };
            let due = came.answered + lifetime(came, self.live.clock.wall()).unwrap_or(usual);
            return Next::Keep(Schedule { due, blank: NEVER, warm: due });
        }
        if following.is_early(question) {
            let next = self.after_early(came.asked);
            self.notice_early(question, came);
            return Next::At(next);
        }
        Next::At(following.next(came.asked, came.answered))
    }

    fn after_early(&self, asked: Tick) -> Tick {
        let Known::Media(following) = &self.known else { return asked };
        pace::after_early(asked, following.target_duration(), following.part_target())
    }

    fn notice_early(&self, question: &Question, came: &Came) {
        let (Known::Media(following), Some(blocks)) = (&self.known, question.blocks) else { return };
        let newest = following.window.ingested().map(|newest| newest.next()).unwrap_or_default();
        let part = blocks.part.map(|part| format!(".{part}")).unwrap_or_default();
        let after = came.answered.since(came.asked).as_millis();
        let evidence = format!("asked for {}{part}, got up to {newest} after {after} ms", blocks.msn);
        self.notice(Notice::EarlyAnswer, &evidence);
    }

    /// A held reload was given up.
    pub(super) fn given_up(&mut self) -> Next {
        let now = self.now();
        let Known::Media(following) = &mut self.known else { return Next::At(now) };
        let held = following.target_duration();
        following.doubts_directives(held, now);
        Next::At(now)
    }

    /// A multivariant playlist came.
    pub(super) fn multivariant(&mut self, came: &Came, text: &str) -> Next {
        let multivariant = match Multivariant::parse(text) {
            Ok(multivariant) => multivariant,
            Err(malformed) => {
                let failure = Failure::NoPlaylist(malformed.what);
                return self.failed(&Question::default(), came.asked, failure);
            }
        };
        let own = match &self.known {
            Known::Multivariant(kept) => Some(kept.stream.clone()),
            Known::Nothing | Known::Media(_) => None,
        };
        self.retire();
        let stream = self.live.streams.take(&self.playlist.asked, &multivariant, own);
        self.playlist.set_stream(stream.clone());
        let document = Document::new(multivariant, passed_on(&came.headers), came.answered);
        let kept = Kept::new(Arc::new(document), stream, came, self.live.clock.wall());
        let (document, schedule) = (kept.document.clone(), kept.schedule());
        self.known = Known::Multivariant(kept);
        self.playlist.activity.set_published();
        self.playlist.set_current(came.answered);
        self.show(State::Multivariant(document));
        self.live.warm_renditions(&self.playlist);
        Next::Keep(schedule)
    }
}

fn received(came: &Came, wall: crate::clock::WallTime) -> Received<'_> {
    Received { headers: &came.headers, asked: came.asked, answered: came.answered, wall, origin: came.place }
}

/// What becomes of those who wait, now that this is published.
fn fate(published: &Published, want: Want) -> Fate {
    match want {
        Want::First => Fate::Release,
        Want::Reload(wanted) => match published.frontier.judge_waiting(wanted) {
            Reload::Now | Reload::Refuse(_) => Fate::Release,
            Reload::Wait(wanted) => Fate::Wait(Want::Reload(wanted)),
        },
    }
}
