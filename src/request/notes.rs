//! What becomes known of a request on its way, whatever it comes to: a refusal at the end says no more than why.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;

use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Fetch, Kind};

/// What becomes known of a request on its way.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Noted>);

/// What is known of a request.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// What it asks for, in the words of a stream; `None`: nothing says so but its name.
    pub kind: Option<Kind>,
    /// How the live media playlist stood that it got.
    pub current: Option<Current>,
    /// How long before the request what it asks for began on its stream's calendar, in milliseconds; below zero: it is ahead.
    pub behind_ms: Option<i64>,
    /// The origin's part, where it waited for that.
    pub fetch: Option<Arc<Fetch>>,
    /// How its wait is to be judged.
    pub wait: Wait,
    /// What the hops before said of the transmission that brought it.
    pub hops: Vec<HeaderValue>,
    /// The session that it presented, where it was not let into it.
    pub shut_out: Option<SessionId>,
}

/// How current the media playlist of a live stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// How long ago its origin had last said that it is.
    pub age: Duration,
    /// For how long it may stay as it is, about.
    pub target_duration: Duration,
}

/// How a wait is to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Whatever it waited for was there.
    #[default]
    None,
    /// It was asked for before it existed.
    Promised,
    /// It was held for longer than the stream's rhythm explains.
    Late,
}

impl Notes {
    /// Notes something.
    pub fn note(&self, what: impl FnOnce(&mut Noted)) {
        what(&mut self.0.lock());
    }

    /// What it asks for, where that is known.
    pub fn kind(&self) -> Option<Kind> {
        self.0.lock().kind
    }

    /// What the hops before said, to the first who asks.
    pub fn hops(&self) -> Vec<HeaderValue> {
        std::mem::take(&mut self.0.lock().hops)
    }

    /// All that is known by now.
    pub fn all(&self) -> Noted {
        self.0.lock().clone()
    }
}

impl Clone for Notes {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.all()))
    }
}
