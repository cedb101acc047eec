//! Keeps a node in order: one loop on the control thread that reloads, drains, takes a drain back, and stops.
//!
//! A drain goes through its steps in the contract's order: not ready, `shutdown.delay` while balancers learn, nothing is
//! accepted and HTTP/3 is withdrawn, connections end as they finish, and at the deadline the rest is cut. Until then
//! it can be taken back: the doors are opened again on the same addresses.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::admin::{CannotCancel, Command, Problem, Reloaded};
use crate::config::Config;
use crate::request::{Advertised, Policies, Readiness, warm};
use crate::tasks::Tasks;
use crate::transport::tcp;

use super::doors::{Bound, Doors};
use super::worker::Worker;
use super::{
    Shared, cache_bounds, live_bounds, numbers, open_access_log, peer_settings, region, sessions, stories, uplink,
};

/// Between two rounds of the cache's housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Runs until a drain has come to its end.
pub(super) async fn run(shared: Arc<Shared>, mut orders: mpsc::Receiver<Command>) {
    let mut drain: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    loop {
        let housekeeping = shared.clock.sleep(HOUSEKEEPING);
        let draining = async {
            match &mut drain {
                Some(drain) => drain.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = draining => break,
            () = housekeeping => shared.edge.cache.run_pending(),
            order = orders.recv() => match order {
                Some(Command::Reload(reply)) => {
                    // Whoever asked may have gone; the reload stands.
                    _ = reply.send(shared.reload().await);
                }
                Some(Command::Drain(by)) if drain.is_none() => {
                    drain = Some(Box::pin(shared.clone().drain(by)));
                }
                Some(Command::Drain(_)) => {}
                Some(Command::CancelDrain(reply)) => {
                    let outcome = match &drain {
                        Some(_) => shared.stay(),
                        None => Err(CannotCancel::NotDraining),
                    };
                    if outcome.is_ok() {
                        drain = None;
                    }
                    _ = reply.send(outcome);
                }
                None => break,
            }
        }
    }
    shared.edge.set_readiness(Readiness::Draining);
    let state = shared.config.lock().node.state.clone();
    if let Some(folder) = state {
        numbers::write(&shared, &folder).await;
    }
    shared.edge.stories.node("stopping", None, None);
    shared.feeds.close();
    uplink::flush(&shared).await;
    sessions::flush(&shared).await;
    shared.edge.live.close();
    let until = shared.clock.now() + region::FAREWELL;
    shared.edge.webhooks.flush(until).await;
    shared.edge.bus.leave(&shared.clock, until).await;
    shared.bells.close();
    shared.stopped.cancel();
    shared.workers.iter().for_each(Worker::stop);
    info!("stopped");
}

/// What viewers are told of TLS and HTTP/3 (RFC 7838 §3): `clear` withdraws what they may remember.
pub(super) fn advertised(config: &Config, bound: &[Bound]) -> Advertised {
    let https = bound.iter().find(|bound| bound.kind == "https").and_then(|bound| bound.socket);
    let https_port = config.http3.advertise_port.or(https.map(|socket| socket.port()));
    Advertised { alt_svc: alt_svc(config, bound), https_port: https.and(https_port) }
}

fn alt_svc(config: &Config, bound: &[Bound]) -> Option<HeaderValue> {
    if config.listen.https.is_empty() {
        return None;
    }
    let port = bound.iter().find(|bound| bound.kind == "h3").and_then(|bound| bound.socket);
    let port = config.http3.advertise_port.or(port.map(|socket| socket.port()));
    match port {
        Some(port) if config.http3.enabled => {
            let value = format!("h3=\":{port}\"; ma={}", config.http3.max_age.as_secs());
            Some(value.try_into().expect("digits are a field value"))
        }
        _ => Some(HeaderValue::from_static("clear")),
    }
}

impl Shared {
    /// Reads the configuration anew. What cannot change while the node runs refuses the whole; a bad file leaves the
    /// old configuration running.
    async fn reload(&self) -> Result<Reloaded, Vec<Problem>> {
        let Some(path) = self.path.clone() else {
            return Err(vec![plain_problem("this node was not started from a file", "restart it with other flags")]);
        };
        let file = path.clone();
        let read = self.tasks.spawn_blocking("reload", move || Config::load(&file)).await;
        let (config, warnings) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(problems)) => {
                warn!(problems = problems.problems.len(), "configuration refused, the old one goes on");
                return Err(problems.problems.into_iter().map(|finding| Problem::new(&path, finding)).collect());
            }
            Err(_) => return Err(vec![plain_problem("reading the file panicked", "report this")]),
        };
        let old = self.config.lock().clone();
        let needs_restart = old.restart_differences(&config);
        if !needs_restart.is_empty() {
            let of = |key: &&'static str| Problem {
                key: (*key).to_owned(),
                file: path.display().to_string(),
                ..plain_problem("this cannot change while the node runs", "restart the node, or change it back")
            };
            return Err(needs_restart.iter().map(of).collect());
        }
        let changed = changes(&old, &config);
        self.take_on(Arc::new(config)).map_err(|(message, remedy)| vec![plain_problem(&message, remedy)])?;
        let listed = changed.join(", ");
        info!(changed = listed, "configuration reloaded");
        self.edge.stories.node("reloaded", None, Some(&listed));
        let warnings = warnings.into_iter().map(|finding| Problem::new(&path, finding)).collect();
        Ok(Reloaded { changed, warnings })
    }

    /// Follows a checked configuration, whole or not at all.
    fn take_on(&self, config: Arc<Config>) -> Result<(), (String, &'static str)> {
        let policies = self.edge.policies();
        let origins = policies
            .origins
            .reconfigured(&config.origins, &config.limits)
            .map_err(|error| (error.to_string(), "make the file readable and reload"))?;
        if let (Some(peers), Some(listed)) = (origins.peers(), &config.peers) {
            peers.follow(listed).map_err(|error| (error.to_string(), "make the file readable and reload"))?;
        }
        let access_log = match policies.config.access_log == config.access_log {
            true => Ok(policies.access_log.clone()),
            false => open_access_log(&config, &self.tasks),
        };
        let access_log = access_log.map_err(|error| (error.to_string(), "make the folder writable and reload"))?;
        if let Some(certificates) = &self.hall.certificates {
            certificates
                .replace(&config.tls.certificates)
                .map_err(|error| (error.to_string(), "put a fitting pair in place and reload"))?;
        }
        let secrets = self.secrets.lock().clone();
        let secrets = secrets.again(config.node.secrets.as_ref(), config.node.state.as_deref());
        let secrets = secrets.map_err(|error| (error.to_string(), "restore the file and reload"))?;
        self.edge
            .accesses
            .reload(&config, &secrets)
            .map_err(|error| (error.to_string(), "make the keys readable and reload"))?;
        self.edge.bus.rekey(&secrets.keys(region::PURPOSE));
        *self.secrets.lock() = secrets;
        self.edge
            .webhooks
            .follow(&config.accesses)
            .map_err(|error| (error.to_string(), "make the file readable and reload"))?;
        self.edge.cache.reconfigure(cache_bounds(&config));
        self.edge.sessions.set_bounds(sessions::bounds(&config));
        self.feeds
            .follow(&config.accesses, config.limits.revoked_for)
            .map_err(|error| (error.to_string(), "make the file readable and reload"))?;
        uplink::follow(&self.uplink, &config)
            .map_err(|error| (error.to_string(), "make the file readable and reload"))?;
        self.hall.settings.store(Arc::new(tcp::Settings {
            limits: config.limits.clone(),
            trusted_proxies: config.listen.trusted_proxies.clone(),
        }));
        if let Some(region) = &self.hall.region {
            region.settings.store(Arc::new(peer_settings(&config)));
        }
        self.hall.limits.store(Arc::new(config.limits.clone()));
        self.hall.admission.set_bounds(config.limits.connections, config.limits.connections_per_prefix);
        self.hall.admission.set_prefixes(config.limits.prefixes());
        let doors = advertised(&config, &self.doors.lock().bound);
        let traffic = &self.edge.traffic;
        traffic.streams.set_most(config.metrics.streams);
        self.edge.stories.live.lock().set_bounds(stories::bounds(&config));
        let origins = Arc::new(origins);
        origins.watch(&self.tasks, &self.stopped);
        self.edge.live.reconfigure(live_bounds(&config), origins.clone());
        let policies = Policies::new(config.clone(), origins, traffic, access_log, doors);
        self.edge.replace_policies(policies);
        warm::follow_routes(&self.edge);
        *self.config.lock() = config;
        Ok(())
    }

    /// Lets viewers leave; completes when they have, or at the deadline.
    async fn drain(self: Arc<Self>, by: Option<Duration>) {
        let shutdown = self.config.lock().shutdown;
        let begun = self.clock.now();
        let deadline = by.unwrap_or(shutdown.delay + shutdown.deadline);
        info!(deadline_s = deadline.as_secs(), "draining");
        let by = format!("viewers leave within {} s", deadline.as_secs());
        self.edge.stories.node("draining", None, Some(&by));
        self.edge.set_readiness(Readiness::Draining);
        self.clock.sleep(shutdown.delay.min(deadline)).await;
        let doors = self.doors.lock().clone();
        let withdrawn = HeaderValue::from_static("clear");
        self.advertise(Advertised { alt_svc: Some(withdrawn), ..self.edge.policies().doors.clone() });
        doors.close();
        tokio::select! {
            () = doors.emptied() => info!("every viewer has left"),
            () = self.clock.sleep_until(begun + deadline) => {
                warn!(connections = self.hall.admission.total(), "deadline: the rest is cut");
                doors.cut();
                // What was cut ends at once, unless a handler is stuck; a stuck one does not keep the node.
                tokio::select! {
                    () = doors.emptied() => {}
                    () = self.clock.sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }

    /// Takes a drain back, whatever step it was at. Where that fails it goes on.
    fn stay(self: &Arc<Self>) -> Result<(), CannotCancel> {
        let config = self.config.lock().clone();
        let doors = self.doors.lock().clone();
        if doors.is_closed() {
            match doors.reopen(&config, &self.hall) {
                Ok(reopened) => *self.doors.lock() = Arc::new(reopened),
                Err(error) => {
                    error!(%error, "the listeners cannot be opened again");
                    return Err(CannotCancel::CannotListen);
                }
            }
        }
        let doors = advertised(&config, &self.doors.lock().bound);
        self.advertise(doors);
        self.edge.set_readiness(Readiness::Ready);
        info!("drain cancelled");
        self.edge.stories.node("drain-cancelled", None, None);
        Ok(())
    }

    /// From now on viewers are told this.
    fn advertise(&self, doors: Advertised) {
        let policies = self.edge.policies();
        let (config, origins) = (policies.config.clone(), policies.origins.clone());
        let log = policies.access_log.clone();
        self.edge.replace_policies(Policies::new(config, origins, &self.edge.traffic, log, doors));
    }

    /// Tasks of the control thread and of every worker, those of connections included.
    pub(super) fn all_tasks(&self) -> Vec<Tasks> {
        let doors = self.doors.lock().clone();
        let workers = self.workers.iter().map(|worker| worker.tasks.clone());
        workers.chain(doors.tasks().cloned()).chain([self.tasks.clone()]).collect()
    }

    /// The doors of this moment.
    pub(super) fn open_doors(&self) -> Arc<Doors> {
        self.doors.lock().clone()
    }
}

fn plain_problem(message: &str, remedy: &str) -> Problem {
    Problem {
        file: String::new(),
        line: 0,
        column: 0,
        key: String::new(),
        found: None,
        accepted: None,
        message: message.to_owned(),
        remedy: Some(remedy.to_owned()),
    }
}

/// The parts in which two configurations differ.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let parts = [
        ("node", old.node != new.node),
        ("listen", old.listen != new.listen),
        ("http3", old.http3 != new.http3),
        ("tls", old.tls != new.tls),
        ("cache", old.cache != new.cache),
        ("origins", old.origins != new.origins),
        ("routes", old.routes != new.routes),
        ("access", old.accesses != new.accesses),
        ("access_log", old.access_log != new.access_log),
        ("limits", old.limits != new.limits),
        ("shutdown", old.shutdown != new.shutdown),
        ("admin", old.admin != new.admin),
        ("metrics", old.metrics != new.metrics),
        ("capacity", old.capacity != new.capacity),
        ("geo", old.geo != new.geo),
        ("qoe", old.qoe != new.qoe),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part.to_owned()).collect()
}
