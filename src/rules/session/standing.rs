//! How many sessions of a subject may go on at once, and who loses where there are too many.
//!
//! A session that goes on has a place. One that comes when all places are taken is most often the same viewer on another
//! screen (a cast fetches for itself, from another address): it goes on beside the others for a grace, and has the place
//! of one that fell silent in the second half of it. Where none did, the policy decides, once for the life of the
//! session. No more are in their grace, or were refused after it, than there are places: a shared link gains no grace
//! for each of its devices.

use std::time::Duration;

use crate::clock::Tick;

/// Who loses where a subject has too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one that would begin.
    RefuseNewest,
    /// The one that has gone on for longest.
    EndOldest,
}

/// What the limit of a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sessions at once.
    pub most: u32,
    /// Who loses.
    pub policy: Policy,
    /// For how long a session may go on beside those that have the places.
    pub grace: Duration,
}

/// How a session stands to the limit of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has a place.
    Taken,
    /// It goes on beside those that have, since then.
    Graced(Tick),
    /// It was refused after its grace.
    Refused,
}

/// Another session of the subject that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// How it stands.
    pub place: Place,
    /// When it began.
    pub began: Tick,
    /// Its last request; now, where something is being sent to it or held for it.
    pub last: Tick,
    /// It is idle when nothing was asked for this long.
    pub idle: Duration,
}

/// How a session that asks for something stands from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has a place.
    Goes,
    /// It has the place of this one of the others, which has fallen silent.
    Follows(usize),
    /// It has the place of this one of the others, which ends.
    Ends(usize),
    /// It goes on in its grace, since then.
    Graced(Tick),
    /// It was refused, and stays so until a place is free.
    Refused,
    /// It is refused, and nothing of it is remembered.
    TurnedAway,
}

impl Other {
    /// Whether it goes on.
    pub fn is_living(&self, now: Tick) -> bool {
        now.since(self.last) <= self.idle
    }

    /// Whether it has been silent for so long that its viewer may have gone over to another device. Where there is no
    /// grace for that, it has when it is idle.
    pub fn may_have_moved(&self, limit: &Limit, now: Tick) -> bool {
        let silence = if limit.grace.is_zero() { self.idle } else { limit.grace / 2 };
        now.since(self.last) > silence
    }
}

/// How a session of `own` place stands, beside `others` here and so many `elsewhere` that have places.
pub fn judge(own: Option<Place>, (others, elsewhere): (&[Other], u32), limit: &Limit, now: Tick) -> Standing {
    let of_place = |is: fn(&Place) -> bool| others.iter().filter(move |other| is(&other.place) && other.is_living(now));
    let taken = of_place(|place| matches!(place, Place::Taken)).count();
    if own == Some(Place::Taken) || (taken as u64 + u64::from(elsewhere)) < u64::from(limit.most) {
        return Standing::Goes;
    }
    match own {
        Some(Place::Graced(since)) if now.since(since) < limit.grace => Standing::Graced(since),
        Some(Place::Graced(_)) => match silent(others, limit, now) {
            Some(other) => Standing::Follows(other),
            None => lose(others, limit, Standing::Refused, now),
        },
        Some(Place::Refused) => Standing::Refused,
        Some(Place::Taken) => Standing::Goes,
        None => {
            let beside = of_place(|place| matches!(place, Place::Graced(_) | Place::Refused)).count();
            match beside < limit.most as usize && !limit.grace.is_zero() {
                true => Standing::Graced(now),
                false => lose(others, limit, Standing::TurnedAway, now),
            }
        }
    }
}

/// The one that has a place and has been silent for longest, at least for half of the grace.
fn silent(others: &[Other], limit: &Limit, now: Tick) -> Option<usize> {
    let is_silent = |(_, other): &(usize, &Other)| other.place == Place::Taken && other.may_have_moved(limit, now);
    let silent = others.iter().enumerate().filter(is_silent).min_by_key(|(_, other)| other.last);
    silent.map(|(index, _)| index)
}

fn lose(others: &[Other], limit: &Limit, refused: Standing, now: Tick) -> Standing {
    let has_place = |(_, other): &(usize, &Other)| other.place == Place::Taken && other.is_living(now);
    let oldest = || others.iter().enumerate().filter(has_place).min_by_key(|(_, other)| other.began);
    match limit.policy {
        Policy::RefuseNewest => refused,
        Policy::EndOldest => oldest().map_or(refused, |(index, _)| Standing::Ends(index)),
    }
}

#[cfg(test)]
mod tests;
