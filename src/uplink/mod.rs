//! Whom the log is told: sinks, each with a cursor of its own, that get every record at least once and in order.
//!
//! A sink is a task on the control thread that reads the log from its cursor on, cuts a batch, writes down what it is about
//! to send, sends it until it is taken, and writes down that it was. It holds one batch at a time, however far it is
//! behind; what it has not sent stays in the log. Nothing waits for a sink: one that is down is behind, and that is all.

mod cursor;
mod erase;
mod figures;
mod file;
mod http;
#[cfg(feature = "nats")]
mod nats;
mod parcel;
mod quarantine;
mod sink;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::clock::{Clock, Tick};
use crate::config::sinks;
use crate::outbound::endpoint::lot;
use crate::outbound::tls::TlsSetupError;
use crate::rules::session::SessionId;
use crate::stories::Stories;
use crate::tasks::Tasks;

pub use figures::{Behind, Figures, Health, families};
pub use target::Attempt;

use erase::Erasures;
use sink::Sink;
use target::{Target, ready};

/// The folder of cursors and of what was refused, below the one of what must survive.
const FOLDER: &str = "uplink";

/// All sinks.
pub struct Uplink {
    with: Arc<With>,
    sinks: ArcSwap<Vec<Arc<Sink>>>,
}

/// What every sink works with.
struct With {
    stories: Arc<Stories>,
    /// Where cursors are kept; `None`: a restart begins anew.
    folder: Option<PathBuf>,
    clock: Clock,
    tasks: Tasks,
    /// For pauses, so that tests choose them.
    lot: Box<dyn Fn() -> u16 + Send + Sync>,
    /// Whether the node stops: what is there is tried once, and nothing is waited for.
    hurry: watch::Sender<bool>,
    /// What was erased meanwhile.
    erasures: Erasures,
}

impl Uplink {
    /// No sink yet. `state` is the folder of what must survive a restart.
    pub fn new(stories: Arc<Stories>, state: Option<PathBuf>, (clock, tasks): (Clock, Tasks)) -> Self {
        let (folder, hurry) = (state.map(|state| state.join(FOLDER)), watch::Sender::new(false));
        let with = With { stories, folder, clock, tasks, lot: Box::new(lot), hurry, erasures: Erasures::default() };
        Self { with: Arc::new(with), sinks: ArcSwap::default() }
    }

    /// From now on these are told. One that stays goes on from where it is, one that comes back from where it was, and a
    /// new one begins with the oldest record that is kept.
    ///
    /// # Errors
    /// Where TLS towards one cannot be set up; nothing has changed then.
    pub fn follow(&self, wanted: &[sinks::Sink]) -> Result<(), TlsSetupError> {
        let before = self.sinks.load_full();
        let same = |config: &sinks::Sink| before.iter().find(|sink| sink.name == config.name);
        let made = |config: &sinks::Sink| {
            let had = same(config).and_then(|sink| sink.target_of(config));
            Ok((config.clone(), ready(config, had, &self.with)?))
        };
        let targets = wanted.iter().map(made).collect::<Result<Vec<_>, TlsSetupError>>()?;
        let mut sinks = Vec::with_capacity(targets.len());
        for (config, target) in targets {
            match same(&config) {
                Some(sink) => {
                    sink.turn_to(config, target);
                    sinks.push(sink.clone());
                }
                None => sinks.push(self.begin(config, target)),
            }
        }
        for gone in before.iter().filter(|old| !sinks.iter().any(|sink| Arc::ptr_eq(sink, old))) {
            gone.ended.cancel();
        }
        self.sinks.store(Arc::new(sinks));
        Ok(())
    }

    fn begin(&self, config: sinks::Sink, target: Arc<dyn Target>) -> Arc<Sink> {
        let sink = Arc::new(Sink::open(config, target, &self.with));
        self.with.tasks.spawn("sink", sink::run(sink.clone(), self.with.clone()));
        sink
    }

    /// How each sink does, in the order of the configuration.
    pub fn figures(&self) -> Vec<Figures> {
        self.sinks.load().iter().map(|sink| sink.figures(&self.with)).collect()
    }

    /// Takes a session, which the log no longer has, out of what was laid aside and out of batches that wait to be sent:
    /// how many of its lines had been laid aside. What is being sent at this moment has gone.
    ///
    /// # Errors
    /// Where a file cannot be written anew: some of them may still be there.
    pub fn erase(&self, session: SessionId) -> impl Future<Output = io::Result<u64>> + Send + 'static {
        erase::erase(self.with.clone(), self.sinks.load_full(), session)
    }

    /// Sends what the log holds now, without patience for those who fail, until `until`; from then on nothing is sent.
    pub async fn flush(&self, until: Tick) {
        self.with.hurry.send_replace(true);
        let sinks = self.sinks.load_full();
        let all = async {
            for sink in sinks.iter() {
                sink.idle.cancelled().await;
            }
        };
        tokio::select! {
            biased;
            () = all => {}
            () = self.with.clock.sleep_until(until) => {}
        }
        sinks.iter().for_each(|sink| sink.ended.cancel());
    }
}
