//! How a follower chooses among several origins: its stream has a home, what is said in that origin's numbers is asked
//! of it alone, and whoever answers for one that does not answer is the home from then on.

use std::sync::Arc;

use crate::clock::Tick;
use crate::origin::{Concern, Course, MediaHealth};
use crate::rules::hls::window::Left;

use super::ask::{Came, Question};
use super::figures::Notice;
use super::follower::{Follower, Known};
use super::home::{Home, Whom};
use super::playlist::NEVER;

impl Follower {
    /// Whom to ask next. Where that is another origin than the one whose list viewers see, it is asked for all of it.
    pub(super) fn whom(&mut self) -> Whom {
        let origins = self.live.origins.load_full();
        let whom = self.playlist.home().whom(&self.playlist.asked, &origins, self.now());
        if let (Known::Media(following), Some(home)) = (&mut self.known, whom.home)
            && following.origin().is_some_and(|origin| origin != home)
        {
            following.moves(Left::Talking);
        }
        whom
    }

    /// Directives and validators are the word of one origin.
    pub(super) fn course(&self, question: &Question, whom: &Whom) -> Course {
        let is_of_one = question.blocks.is_some() || question.skips || question.validates.is_some();
        let home = whom.home.and_then(|home| self.playlist.asked.rules.supply.origins.get(home));
        let only = home.filter(|_| is_of_one).map(|name| Arc::from(name.as_str()));
        let asked = &self.playlist.asked;
        let concern = Some(Concern::of(&asked.rules.route, asked.path()));
        Course { stream: Some(self.playlist.home().id), only, concern, ..Course::default() }
    }

    /// Somebody answered with a playlist: that is where the stream is at home.
    pub(super) fn settle(&mut self, came: &Came) {
        if came.place.is_none() {
            return;
        }
        let home = self.playlist.home();
        if let Some(place) = home.answered(&self.playlist.asked, came)
            && let Known::Media(following) = &mut self.known
            && following.origin().is_some_and(|origin| origin != place)
            && !following.is_moving()
        {
            self.stays_until =
                came.answered + following.target_duration() * self.playlist.asked.rules.failover_after.max(1);
            following.moves(Left::Silent);
        }
        let is_told = |(told, origin): &(Arc<Home>, Arc<str>)| Arc::ptr_eq(told, &home) && *origin == came.origin;
        if !self.told.as_ref().is_some_and(is_told) {
            self.leaves();
            self.told = Some((home, came.origin.clone()));
        }
    }

    /// When a stall has lasted so long that another origin is asked.
    pub(super) fn moves_from(&self) -> Tick {
        let asked = &self.playlist.asked;
        let Known::Media(following) = &self.known else { return NEVER };
        if asked.rules.supply.origins.len() < 2 {
            return NEVER;
        }
        let from = following.given_up_from(asked.rules.failover_after);
        from.map_or(NEVER, |from| from.max(self.stays_until))
    }

    /// The stream stalls, and is asked for elsewhere, if there is an elsewhere. Whether there is.
    pub(super) fn move_on(&mut self) -> bool {
        let now = self.now();
        let Known::Media(following) = &mut self.known else { return false };
        self.stays_until = now + following.target_duration() * self.playlist.asked.rules.failover_after.max(1);
        let origins = self.live.origins.load_full();
        if !self.playlist.home().stalled(&self.playlist.asked, &origins, now) {
            return false;
        }
        following.moves(Left::Talking);
        self.notice(Notice::Failover, "the playlist has stalled for too long");
        true
    }

    /// The origin that the stream comes from is told how it fares.
    pub(super) fn tell(&self, health: MediaHealth) {
        if let Some((home, origin)) = &self.told {
            home.tell(&self.live.origins.load(), origin, health);
        }
    }

    /// It is followed there no longer.
    pub(super) fn leaves(&mut self) {
        self.tell(MediaHealth::Left);
        self.told = None;
    }
}
