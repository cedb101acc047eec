//! Tests that play by the machine's clock: one at a time, and once more where the machine did not keep time itself. What
//! they show is shown by a run that it kept: where it did, the first failure counts.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// All of them share one machine.
static ALONE: Mutex<()> = Mutex::const_new(());

const RUNS: usize = 5;

/// A sleep that ends so much too late shows that the machine was busy with something else.
const LATE: Duration = Duration::from_millis(150);

const PAUSE: Duration = Duration::from_millis(20);

/// Runs a test, again where it failed while the machine was late.
pub(crate) async fn on_time<F: Future<Output = ()> + Send + 'static>(test: impl Fn() -> F) {
    let _alone = ALONE.lock().await;
    for run in 1.. {
        let worst = Arc::new(AtomicU64::new(0));
        let ticking = tokio::spawn(tick(worst.clone()));
        let outcome = tokio::spawn(test()).await;
        ticking.abort();
        let Err(failure) = outcome else { return };
        let late = Duration::from_millis(worst.load(Relaxed));
        if late < LATE || run == RUNS {
            std::panic::resume_unwind(failure.into_panic());
        }
        eprintln!("run {run} failed on a machine that was late by {late:?}");
    }
}

async fn tick(worst: Arc<AtomicU64>) {
    loop {
        let due = Instant::now() + PAUSE;
        tokio::time::sleep_until(due.into()).await;
        worst.fetch_max(u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}
