//! Where a stream is at home: one for all of its renditions, so that they come from the same origin; a playlist that
//! belongs to no stream yet has its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::clock::Tick;
use crate::origin::{MediaHealth, Origins, StreamId};
use crate::rules::upstream::home::{self, Place};

use super::Asked;
use super::ask::Came;

/// A number that no home had before.
static IDS: AtomicU64 = AtomicU64::new(1);

/// Where a stream is at home.
pub struct Home {
    /// What tells its stream apart at the origins.
    pub(super) id: StreamId,
    /// What it is called: the path of the playlist that it was found by.
    label: Box<str>,
    rule: Mutex<home::Home>,
    recalls: AtomicU64,
}

/// Whom a follower asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whom {
    /// Names of origins, in this order.
    pub(super) group: Vec<String>,
    /// The place in the route's list of the one that is its home, where there are several.
    pub(super) home: Option<usize>,
}

impl Home {
    /// None yet.
    pub(super) fn new(label: &str) -> Arc<Self> {
        Arc::new(Self {
            id: StreamId(IDS.fetch_add(1, Relaxed)),
            label: label.into(),
            rule: Mutex::default(),
            recalls: AtomicU64::new(0),
        })
    }

    /// A home that its stream had by another name.
    pub(super) fn adopt(&self, other: &Self) {
        let other = other.rule.lock().clone();
        let mut rule = self.rule.lock();
        if rule.at().is_none() {
            *rule = other;
        }
    }

    /// Whom to ask for a playlist now. The stream moves where its home is away, the operator calls it back, or the
    /// origin that is preferred has been well for long enough.
    pub(super) fn whom(&self, asked: &Asked, origins: &Origins, now: Tick) -> Whom {
        let supply = &asked.rules.supply;
        if supply.origins.len() < 2 {
            return Whom { group: supply.origins.clone(), home: None };
        }
        let order = order(asked, origins);
        let mut rule = self.rule.lock();
        let recalls = origins.recalls();
        if self.recalls.swap(recalls, Relaxed) != recalls {
            rule.recalled(&order, now);
        }
        rule.reconsider(&order, asked.rules.failback, now);
        let at = rule.at().map(|(at, _)| at);
        let avoided: Vec<_> = rule.avoids(now).collect();
        let places = order.iter().map(|(place, _)| *place);
        let (avoided, others): (Vec<_>, Vec<_>) =
            places.filter(|place| Some(*place) != at).partition(|place| avoided.contains(place));
        let places = at.into_iter().chain(others).chain(avoided);
        Whom { group: places.filter_map(|place| supply.origins.get(place).cloned()).collect(), home: at }
    }

    /// A playlist came: its origin is the home, unless the stream has moved since it was asked for. Its place, if it is.
    pub(super) fn answered(&self, asked: &Asked, came: &Came) -> Option<usize> {
        let place = place_of(asked, &came.origin)?;
        let mut rule = self.rule.lock();
        if rule.at().map(|(at, _)| at) != came.home {
            return None;
        }
        rule.answered(place, came.answered);
        Some(place)
    }

    /// It does not advance where it is; whether it has moved on.
    pub(super) fn stalled(&self, asked: &Asked, origins: &Origins, now: Tick) -> bool {
        let order = order(asked, origins);
        self.rule.lock().stalled(&order, now)
    }

    /// Its place in the route's list, and since when.
    pub(super) fn at(&self) -> Option<(usize, Tick)> {
        self.rule.lock().at()
    }

    /// Tells an origin how the stream fares there.
    pub(super) fn tell(&self, origins: &Origins, origin: &str, health: MediaHealth) {
        origins.tell(origin, (self.id, &self.label), health);
    }
}

/// The places of a route's list in the order that weights give this playlist, each as it is.
fn order(asked: &Asked, origins: &Origins) -> Vec<(usize, Place)> {
    let supply = &asked.rules.supply;
    let names = supply.order(&asked.upstream);
    let places = origins.places(&names);
    let place = |(index, how): (usize, Place)| Some((place_of(asked, names.get(index)?)?, how));
    places.into_iter().filter_map(place).collect()
}

/// The place of an origin in the route's list.
pub(super) fn place_of(asked: &Asked, origin: &str) -> Option<usize> {
    asked.rules.supply.origins.iter().position(|name| name == origin)
}
