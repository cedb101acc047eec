//! A node as a process of its own: `weir serve`. Signals become orders, and the service manager is told how it goes.

use std::io;
use std::path::Path;

use sd_notify::NotifyState;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::admin::Command;
use crate::config::{Config, Problems};
use crate::telemetry::log;

use super::{Node, StartError};

/// Why `weir serve` ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system gives no runtime or no signals.
    #[error("the process cannot be set up: {0}")]
    Process(#[from] io::Error),
}

/// Runs a node from a configuration file until it is told to stop.
///
/// # Errors
/// Why it did not start.
pub fn serve(config_path: &Path) -> Result<(), ServeError> {
    let (config, warnings) = Config::load(config_path)?;
    log::start();
    for warning in &warnings {
        warn!(file = %config_path.display(), "{warning}");
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut node = Node::start(config, Some(config_path.to_owned())).await?;
        for bound in node.bound() {
            info!(kind = bound.kind, address = bound.address, "listening");
        }
        notify(&[NotifyState::Ready]);
        let commands = node.commands();
        loop {
            tokio::select! {
                () = node.ended() => break,
                order = signals.next() => match order {
                    Order::Stop => {
                        notify(&[NotifyState::Stopping]);
                        // A loop that takes no more orders has stopped already.
                        _ = commands.send(Command::Drain(None)).await;
                    }
                    Order::Reload => reload(&commands).await,
                    Order::ReopenLogs => node.reopen_logs(),
                }
            }
        }
        Ok(())
    })
}

/// What a signal means.
enum Order {
    Stop,
    Reload,
    ReopenLogs,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user1.recv() => Order::ReopenLogs,
        }
    }
}

async fn reload(commands: &mpsc::Sender<Command>) {
    let (reply, answer) = oneshot::channel();
    if commands.send(Command::Reload(reply)).await.is_err() {
        return;
    }
    if let Ok(Err(problems)) = answer.await {
        for problem in problems {
            let remedy = problem.remedy.unwrap_or_default();
            error!(file = problem.file, line = problem.line, key = problem.key, remedy, "{}", problem.message);
        }
    }
}

/// Tells the service manager, where there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager cannot be told");
    }
}
