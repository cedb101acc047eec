//! How many fills may be in progress for one origin group.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::sync::Mutex;

/// Counts the fills of each group.
pub(super) struct Permits {
    limit: AtomicUsize,
    held: Mutex<HashMap<Box<str>, usize>>,
}

/// The right to one fill, until it is dropped.
pub(super) struct Permit {
    permits: Arc<Permits>,
    group: Box<str>,
}

impl Permits {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), held: Mutex::default() })
    }

    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether `group` has less than half of its fills in progress.
    pub fn is_at_ease(&self, group: &str) -> bool {
        self.held.lock().get(group).copied().unwrap_or_default() < self.limit.load(Ordering::Relaxed).div_ceil(2)
    }

    /// One more fill of `group`, where it may have one.
    pub fn take(self: &Arc<Self>, group: &str) -> Option<Permit> {
        let mut held = self.held.lock();
        let limit = self.limit.load(Ordering::Relaxed);
        match held.get_mut(group) {
            Some(count) if *count >= limit => return None,
            Some(count) => *count += 1,
            None if limit == 0 => return None,
            None => _ = held.insert(group.into(), 1),
        }
        Some(Permit { permits: self.clone(), group: group.into() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.permits.held.lock();
        if let Some(count) = held.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.group);
            }
        }
    }
}
