//! What a follower does where its origin fails: what viewers have is repeated for a while, who waits is told in the end,
//! and the origin is asked again, less and less often.

use std::time::Duration;

use http::StatusCode;

use crate::clock::Tick;
use crate::origin::FetchError;
use crate::rules::hls::window::Left;

use super::ask::{Nothing, Question};
use super::figures::Notice;
use super::follower::{Follower, Known, Next};
use super::pace;
use super::state::{Failure, State};

/// A playlist that is to be kept warm and cannot be had is asked for this often at last.
const WARM_AGAIN: Duration = Duration::from_secs(30);
/// For how long a failure is told to all who ask for a playlist that nobody has seen yet.
const NEGATIVE: Duration = Duration::from_secs(1);

impl Follower {
    /// What came is no answer: a connection that failed, a deadline, a body that is no playlist.
    pub(super) fn nothing(&mut self, question: &Question, asked: Tick, nothing: Nothing) -> Next {
        match nothing {
            Nothing::Fetch(error) => self.failed(question, asked, Failure::Fetch(error)),
            Nothing::Unusable(what) => self.failed(question, asked, Failure::NoPlaylist(what)),
        }
    }

    /// A request that was sent at `asked` failed. What viewers have is repeated for a while.
    pub(super) fn failed(&mut self, question: &Question, asked: Tick, failure: Failure) -> Next {
        let now = self.now();
        let what = describe(&failure);
        let is_of_one = question.blocks.is_some() || question.skips || question.validates.is_some();
        if let Known::Media(following) = &mut self.known
            && self.playlist.asked.rules.supply.origins.len() > 1
            && is_of_one
            && is_dead(&failure)
        {
            // Whoever answers is asked for all of it, at once.
            following.moves(Left::Silent);
            self.playlist.set_current(following.answered().unwrap_or_default());
            return Next::At(now);
        }
        if let Known::Media(following) = &mut self.known
            && (question.blocks.is_some() || question.skips)
        {
            self.playlist.set_current(following.answered().unwrap_or_default());
            if following.doubts_directives(now.since(asked), now) {
                self.notice(Notice::RefusedDirectives, &what);
            }
            return Next::At(pace::after_reload(now));
        }
        self.notice(Notice::Failure, &what);
        self.playlist.activity.set_error(now, what);
        // An origin that the configuration does not name any more will not answer either.
        let is_nobody = matches!(&failure, Failure::Fetch(error) if matches!(**error, FetchError::NoOrigin));
        let next = match &mut self.known {
            Known::Media(_) => self.failed_live(now, failure),
            Known::Multivariant(_) => self.failed_kept(now, failure),
            Known::Nothing => {
                self.show(failure);
                None
            }
        };
        match next {
            Some(next) if !is_nobody => next,
            Some(_) | None if self.playlist.is_warm(now) => {
                self.failures = self.failures.saturating_add(1);
                Next::At(pace::after_failure(now, self.failures, WARM_AGAIN))
            }
            Some(_) | None => Next::Forget(now + NEGATIVE),
        }
    }

    fn failed_live(&mut self, now: Tick, failure: Failure) -> Option<Next> {
        let Known::Media(following) = &mut self.known else { return None };
        let is_gone = matches!(&failure, Failure::Status(status, _) if *status == StatusCode::GONE);
        let next = following.failed(now);
        self.playlist.set_current(following.answered().unwrap_or_default());
        if is_gone || following.is_stale(now, self.playlist.asked.rules.stale_playlist_for) {
            self.show(failure);
        }
        Some(Next::At(next))
    }

    fn failed_kept(&mut self, now: Tick, failure: Failure) -> Option<Next> {
        let Known::Multivariant(kept) = &self.known else { return None };
        let removed = [StatusCode::NOT_FOUND, StatusCode::GONE];
        let is_removed = matches!(&failure, Failure::Status(status, _) if removed.contains(status));
        let Some(schedule) = kept.stands_in(now).filter(|_| !is_removed) else {
            self.show(failure);
            return None;
        };
        self.show(State::Multivariant(kept.document.clone()));
        Some(Next::Keep(schedule))
    }
}

impl From<Failure> for State {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Whether the origin gave no sign of life.
fn is_dead(failure: &Failure) -> bool {
    matches!(failure, Failure::Fetch(error) if error.is_dead())
}

fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Status(status, _) => format!("the origin answered {}", status.as_u16()),
        Failure::NoPlaylist(what) => format!("what came is no playlist: {what}"),
        Failure::Fetch(error) => error.to_string(),
        Failure::Gone => "it is no longer followed".to_owned(),
    }
}
