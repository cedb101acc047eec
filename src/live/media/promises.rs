//! What is hinted, and how far open segments have come: told to those who fetch it while it does not exist yet.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::Tick;
use crate::origin::promise::{Promise, Standing};

use super::growing::{Extent, Growth};
use super::names::Fingerprint;

/// How an origin is asked for what it may not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manners {
    /// The shortest time between two requests.
    pub pace: Duration,
    /// For how long it may hold one.
    pub patience: Duration,
}

/// What is hinted now. As many as there are hints in followed playlists.
#[derive(Default)]
pub(super) struct Promises(Mutex<HashMap<Fingerprint, (watch::Sender<Standing>, Manners)>>);

impl Promises {
    /// It is hinted.
    pub fn hint(&self, print: Fingerprint, manners: Manners) {
        self.0.lock().entry(print).or_insert_with(|| (watch::channel(Standing::Hinted).0, manners));
    }

    /// It is listed; its origin may take until `until` to have it. Whether it was hinted.
    pub fn keep(&self, print: Fingerprint, until: Tick) -> bool {
        let Some((standing, _)) = self.0.lock().remove(&print) else { return false };
        standing.send_replace(Standing::Listed(until));
        true
    }

    /// It is neither hinted nor listed any more.
    pub fn withdraw(&self, print: Fingerprint) {
        if let Some((standing, _)) = self.0.lock().remove(&print) {
            standing.send_replace(Standing::Withdrawn);
        }
    }

    /// The promise of it, if it is hinted.
    pub fn find(&self, print: Fingerprint) -> Option<Promise> {
        let promises = self.0.lock();
        let (standing, manners) = promises.get(&print)?;
        Some(Promise::new(standing.subscribe(), manners.pace, manners.patience))
    }
}

/// The segments that grow now. As many as there are open segments in followed playlists.
#[derive(Default)]
pub(super) struct Growths(Mutex<HashMap<Fingerprint, (watch::Sender<Extent>, Manners)>>);

impl Growths {
    /// Its parts cover this many octets.
    pub fn reach(&self, print: Fingerprint, covered: u64, manners: Manners) {
        let mut growths = self.0.lock();
        let (extent, _) = growths.entry(print).or_insert_with(|| (watch::channel(Extent::Open(covered)).0, manners));
        extent.send_if_modified(|extent| {
            let grows = matches!(extent, Extent::Open(before) if *before < covered);
            if grows {
                *extent = Extent::Open(covered);
            }
            grows
        });
    }

    /// It does not grow any more.
    pub fn end(&self, print: Fingerprint, last: Extent) {
        let Some((extent, _)) = self.0.lock().remove(&print) else { return };
        extent.send_modify(|extent| {
            *extent = match (*extent, last) {
                (Extent::Open(before), Extent::Closed(covered)) => Extent::Closed(covered.max(before)),
                (_, last) => last,
            };
        });
    }

    /// How it grows, if it does.
    pub fn find(&self, print: Fingerprint) -> Option<Growth> {
        let growths = self.0.lock();
        let (extent, manners) = growths.get(&print)?;
        Some(Growth { extent: extent.subscribe(), pace: manners.pace, patience: manners.patience })
    }

    pub fn count(&self) -> usize {
        self.0.lock().len()
    }
}
