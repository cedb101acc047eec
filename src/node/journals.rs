//! What is kept of what happens, on disk: the engine below both journals, and how the log of stories is, for `/status` and
//! for metrics.

use crate::admin::JournalStatus;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Engine;
use crate::journal::log::{Figures, Standing};
use crate::telemetry::metrics::{Family, Value};

use super::{Shared, StartError, choice};

/// What reads and writes below the folder of what must survive; `None`: there is no such folder.
pub(super) fn engine(config: &Config, clock: &Clock) -> Result<Option<Engine>, StartError> {
    let Some(folder) = &config.node.state else { return Ok(None) };
    let engine = Engine::start(choice(config.journal.engine), folder, clock.clone());
    engine.map(Some).map_err(|source| StartError::State { folder: folder.display().to_string(), source })
}

pub(super) fn status(shared: &Shared) -> JournalStatus {
    let figures = shared.edge.stories.log().figures();
    let config = shared.config.lock();
    let lost = figures.losses.each().filter(|(_, count)| *count > 0);
    JournalStatus {
        state: figures.standing.word(),
        path: config.node.state.as_ref().filter(|_| is_on_disk(&figures)).map(|folder| folder.display().to_string()),
        records: figures.kept,
        next: figures.next,
        bytes: figures.octets,
        size: config.journal.size,
        waiting: figures.waiting,
        failures: figures.failures,
        lost: lost.map(|(why, count)| (why.word(), count)).collect(),
        expired: figures.expired,
        erased: figures.erased,
    }
}

fn is_on_disk(figures: &Figures) -> bool {
    figures.standing != Standing::Memory
}

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let figures = shared.edge.stories.log().figures();
    let help = "Records of the log that went before their time, by why";
    let lost = figures.losses.each().fold(Family::new("weir_log_lost", help), |family, (why, count)| {
        family.with(vec![("why", why.word().to_owned())], Value::Counter(count))
    });
    let good = f64::from(u8::from(figures.standing == Standing::Good));
    vec![
        Family::counter("weir_log_records", "Records that the log of stories kept", figures.kept),
        lost,
        Family::counter("weir_log_expired", "Records that went when their time was over", figures.expired),
        Family::counter("weir_log_erased", "Records that were erased", figures.erased),
        Family::counter("weir_log_failures", "Attempts to write the log that failed", figures.failures),
        Family::gauge("weir_log_bytes", "What the log takes", figures.octets as f64),
        Family::gauge("weir_log_waiting_bytes", "Records that wait to be written", figures.waiting as f64),
        Family::gauge("weir_log_durable", "1 where the log is on a disk that takes what is written", good),
    ]
}
