//! A lifetime as octets and back, for what outlives the process: durations and the age at the moment of writing. Ticks
//! mean nothing to the next process, and the calendar may have been set back, so whoever reads says how old it is now.

use std::time::Duration;

use super::{Lifetime, Standing};
use crate::clock::Tick;

/// Octets of a written lifetime.
pub const WRITTEN: usize = 33;

/// In the last octet: it was said to be stale before its time.
const OUTDATED: u8 = 4;

impl Lifetime {
    /// As octets, without its age.
    pub fn write(&self) -> [u8; WRITTEN] {
        let mut octets = [0; WRITTEN];
        let windows = [self.fresh_for, self.while_asking, self.if_error, self.disconnected];
        for (place, duration) in octets.chunks_mut(8).zip(windows) {
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            place.copy_from_slice(&millis.to_le_bytes());
        }
        octets[WRITTEN - 1] = match self.standing {
            Standing::Unidentified => 0,
            Standing::Identified => 1,
            Standing::Immutable => 2,
            Standing::Granted => 3,
        } | if self.outdated { OUTDATED } else { 0 };
        octets
    }

    /// A written lifetime as it is for this process, where the response counts as received at `responded` with
    /// `initial_age`; `None` where `octets` are none.
    pub fn read(octets: &[u8], responded: Tick, initial_age: Duration) -> Option<Self> {
        let octets: &[u8; WRITTEN] = octets.try_into().ok()?;
        let duration = |at: usize| {
            let millis = octets[at..at + 8].try_into().map(u64::from_le_bytes);
            Duration::from_millis(millis.expect("eight octets"))
        };
        Some(Self {
            responded,
            initial_age,
            fresh_for: duration(0),
            while_asking: duration(8),
            if_error: duration(16),
            disconnected: duration(24),
            outdated: octets[WRITTEN - 1] & OUTDATED != 0,
            standing: match octets[WRITTEN - 1] & !OUTDATED {
                0 => Standing::Unidentified,
                1 => Standing::Identified,
                2 => Standing::Immutable,
                3 => Standing::Granted,
                _ => return None,
            },
        })
    }
}
