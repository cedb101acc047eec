//! Whose request it is, and who may answer it: requests of one stream wait together, and what an origin's playlist
//! named is asked of that origin, because another one may mean something else by the same name.

use std::sync::Arc;

use tokio::sync::watch;

use crate::outbound::interim::Interims;

/// What tells streams apart at their origins. Two that look the same only share a place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Whose request it is, and who may answer it.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Of which stream; `None`: of none that is known, and requests of one folder wait together.
    pub stream: Option<StreamId>,
    /// The origin that alone knows what is asked for; `None`: any of the group does.
    pub only: Option<Arc<str>>,
    /// On whose behalf.
    pub whose: Whose,
    /// Who hears what is said before the answer.
    pub interims: Interims,
    /// What it is told by, where somebody will tell of it; `None`: it gets a number of its own.
    pub number: Option<u64>,
    /// What it is for; `None`: for nothing that many watch.
    pub concern: Option<Concern>,
}

/// What a request is for, whoever waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// The route.
    pub route: Arc<str>,
    /// The public path, without a query.
    pub path: Arc<str>,
}

impl Concern {
    /// Of a public target of a route.
    pub fn of(route: &Arc<str>, target: &str) -> Self {
        Self { route: route.clone(), path: target.split('?').next().unwrap_or_default().into() }
    }
}

/// On whose behalf a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// All who wait: it is the node's own, and carries the node's cookies.
    #[default]
    Node,
    /// One viewer, as whose it is passed on.
    Viewer,
}

/// Who names something that is fetched. That may change while it is: another origin takes over the stream, and lists
/// the same.
#[derive(Clone)]
pub struct Naming {
    by: Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>,
    changes: watch::Receiver<u64>,
}

impl Naming {
    /// `by` says which origin alone knows it at a moment; `changes` is touched whenever that may have changed.
    pub fn new(by: Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>, changes: watch::Receiver<u64>) -> Self {
        Self { by, changes }
    }

    /// The course of a request for it now.
    pub fn course(&self) -> Course {
        Course { only: (self.by)(), ..Course::default() }
    }

    /// Completes when another origin than `only` may be asked for it; never, where nobody is left to say so.
    pub(super) async fn passed_on(&mut self, only: &Arc<str>) {
        loop {
            self.changes.borrow_and_update();
            if (self.by)().as_ref() != Some(only) {
                return;
            }
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
