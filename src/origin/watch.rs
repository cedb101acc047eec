//! What is done for an origin without any viewer: its name is resolved anew, its probe is sent, and while it rests it is
//! tried when its rest is over, also where all that it used to serve is at home elsewhere. One task an origin, which
//! ends with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

use crate::clock::{Clock, Tick};
use crate::config::HealthProbe;
use crate::origin::{Ask, Course, Group, Upstream, fetch};
use crate::outbound::addresses::REFRESH;
use crate::rules::upstream::health::{Class, FIRST_REST, Standing};
use crate::tasks::Tasks;

/// How long the answer to a trial may take where no probe is configured.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches an origin for as long as it is configured.
pub(super) async fn watch(watched: Weak<Upstream>, clock: Clock, tasks: Tasks) {
    let (mut resolved, mut probed) = (clock.now(), clock.now());
    loop {
        let Some(upstream) = watched.upgrade() else { return };
        let now = clock.now();
        if now >= resolved + REFRESH {
            resolved = now;
            // A name that nobody has asked for yet need not be known.
            if !upstream.pool.addresses().all().is_empty() {
                upstream.pool.resolve().await;
            }
        }
        match &upstream.config.health {
            Some(probe) if now >= probed + probe.interval => {
                probed = now;
                match ask(&upstream, &tasks, &Trial::of(probe)).await {
                    true => upstream.memory.probe_answered(clock.now()),
                    false => upstream.memory.probe_failed(clock.now()),
                }
            }
            Some(_) | None => try_again(&upstream, &clock, &tasks).await,
        }
        let next = next(&upstream, (resolved, probed), &clock);
        let stirred = upstream.stirred.clone();
        // Whoever sleeps holds no origin that is configured no longer.
        drop(upstream);
        tokio::select! {
            () = clock.sleep_until(next) => {}
            () = stirred.notified() => {}
        }
    }
}

/// Tries an origin whose rest is over, unless a viewer's request does.
async fn try_again(upstream: &Arc<Upstream>, clock: &Clock, tasks: &Tasks) {
    if upstream.memory.standing(clock.now()) != Standing::OnTrial {
        return;
    }
    if upstream.memory.claimed(clock.now()).0 != Standing::OnTrial {
        return;
    }
    let trial = upstream.config.health.as_ref().map_or_else(Trial::of_life, Trial::of);
    if !ask(upstream, tasks, &trial).await && upstream.memory.standing(clock.now()).is_well() {
        upstream.memory.failed(clock.now(), Class::Unwell);
    }
}

fn next(upstream: &Upstream, (resolved, probed): (Tick, Tick), clock: &Clock) -> Tick {
    let probe = upstream.config.health.as_ref().map(|probe| probed + probe.interval);
    let trial = match upstream.memory.standing(clock.now()) {
        Standing::Resting(_) | Standing::OnTrial => Some(clock.now() + FIRST_REST),
        Standing::Well | Standing::Returning => None,
    };
    [probe, trial].into_iter().flatten().fold(resolved + REFRESH, Tick::min)
}

/// What an origin is asked to see whether it is well.
struct Trial {
    method: Method,
    path: PathAndQuery,
    timeout: Duration,
    /// `None`: whatever is no sign of an origin that is unwell.
    expect: Option<StatusCode>,
}

impl Trial {
    fn of(probe: &HealthProbe) -> Self {
        let HealthProbe { path, timeout, expect, .. } = probe;
        Self { method: Method::GET, path: path.clone(), timeout: *timeout, expect: Some(*expect) }
    }

    fn of_life() -> Self {
        Self { method: Method::HEAD, path: PathAndQuery::from_static("/"), timeout: PATIENCE, expect: None }
    }
}

/// Whether the origin answers a trial as it should.
async fn ask(upstream: &Arc<Upstream>, tasks: &Tasks, trial: &Trial) -> bool {
    let alone = Group::alone(upstream);
    let ask = Ask {
        method: trial.method.clone(),
        path_and_query: trial.path.clone(),
        headers: HeaderMap::new(),
        viewer_authority: None,
        body: None,
        first_byte: None,
        course: Course::default(),
    };
    let answer = tokio::select! {
        answer = fetch::fetch(tasks, &alone, ask) => answer,
        () = upstream.clock.sleep(trial.timeout) => return false,
    };
    match (answer, trial.expect) {
        (Ok(answer), Some(expected)) => answer.status == expected,
        (Ok(answer), None) => !fetch::is_unwell(answer.status),
        (Err(_), _) => false,
    }
}
