//! The only way to start a task, so that every task is named, counted and joined.
//!
//! A `Tasks` belongs to one runtime. Tasks started through any clone are counted together; `close` refuses nothing,
//! it only lets `joined` complete once the last task has ended.

#![expect(clippy::disallowed_methods, reason = "this is the one module that starts tasks")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Starts tasks on one runtime and waits for their end. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    living: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

/// Counts a task of `name` while it lives, however it ends.
struct Living(Arc<Mutex<BTreeMap<&'static str, usize>>>, &'static str);

impl Living {
    fn new(living: &Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        *living.lock().entry(name).or_default() += 1;
        Self(living.clone(), name)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        if let Some(count) = self.0.lock().get_mut(self.1) {
            *count -= 1;
        }
    }
}

impl Tasks {
    /// Tasks of the given runtime.
    pub fn on(runtime: Handle) -> Self {
        Self { runtime, tracker: TaskTracker::new(), living: Arc::default() }
    }

    /// Tasks of the runtime that runs the caller.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn current() -> Self {
        Self::on(Handle::current())
    }

    /// Tasks of the same runtime that are counted and joined by themselves.
    pub fn apart(&self) -> Self {
        Self::on(self.runtime.clone())
    }

    /// Starts a task. The name is one of a fixed set: it labels a metric. May be called from any thread.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let living = Living::new(&self.living, name);
        let task = self.tracker.track_future(async move {
            let _living = living;
            future.await
        });
        self.runtime.spawn(task)
    }

    /// Runs blocking work (files at start and on reload) beside the runtime.
    pub fn spawn_blocking<F, T>(&self, name: &'static str, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let living = Living::new(&self.living, name);
        let token = self.tracker.token();
        self.runtime.spawn_blocking(move || {
            let _held = (living, token);
            work()
        })
    }

    /// How many tasks of each name live.
    pub fn living(&self) -> BTreeMap<&'static str, usize> {
        self.living.lock().clone()
    }

    /// From now on `joined` completes as soon as no task is left.
    pub fn close(&self) {
        self.tracker.close();
    }

    /// Completes when `close` was called and every task has ended.
    pub async fn joined(&self) {
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_task_is_counted_by_name_and_joined() {
        let tasks = Tasks::current();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let task = tasks.spawn("reader", async move { _ = released.await });
        assert_eq!(tasks.living()["reader"], 1);
        release.send(()).unwrap();
        task.await.unwrap();
        tasks.close();
        tasks.joined().await;
        assert_eq!(tasks.living()["reader"], 0);
    }
}
