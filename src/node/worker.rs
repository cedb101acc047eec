//! One thread a core, each with a runtime of its own: a connection stays on the worker that accepted it. The only place
//! that starts threads.

#![expect(clippy::disallowed_methods, reason = "this is the one module that starts threads")]

use std::io;
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::tasks::Tasks;
use crate::telemetry::counters;

/// One worker: its thread and the way to start tasks on it.
pub struct Worker {
    /// Starts tasks on this worker.
    pub tasks: Tasks,
    life: Mutex<Option<Life>>,
}

struct Life {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker thread; `prepare` runs on it before anything else.
    ///
    /// # Errors
    /// Where the system gives no thread or no runtime.
    pub fn start(index: usize, prepare: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tasks = Tasks::on(runtime.handle().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = Builder::new().name(format!("worker-{index}")).spawn(move || {
            counters::this_thread_is_worker(index);
            prepare();
            // A sender that went away means the same as one that spoke.
            _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { tasks, life: Mutex::new(Some(Life { stop, thread })) })
    }

    /// Ends the worker, once: tasks that still run are dropped where they wait.
    pub fn stop(&self) {
        let Some(Life { stop, thread }) = self.life.lock().take() else { return };
        // A thread that is gone already needs no telling.
        _ = stop.send(());
        if thread.join().is_err() {
            tracing::error!("a worker thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_runs_tasks_on_its_own_thread_and_ends_when_told() {
        let worker = Worker::start(1, || ()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        worker.tasks.spawn("probe", async move {
            let thread = std::thread::current().name().map(str::to_owned);
            tell.send((thread, counters::worker())).unwrap();
        });
        assert_eq!(told.recv().unwrap(), (Some("worker-1".to_owned()), 1));
        worker.stop();
    }
}
