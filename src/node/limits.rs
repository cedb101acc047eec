//! What the node measures of itself for those who want to come in, and how often limits have bitten.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::{CapacityStatus, ResourceStatus, RouteRoom};
use crate::clock::Tick;
use crate::rules::admission::capacity::Resource;
use crate::rules::admission::load::cpu_share;
use crate::sessions::quota::Limit;
use crate::telemetry::metrics::{Family, Value};

use super::{Shared, memory};

/// Between two measures.
const MEASURES: Duration = Duration::from_millis(250);
/// CPU time is told in hundredths of a second (USER_HZ, proc_pid_stat(5)): a shorter time would be mostly rounding.
const CPU_OVER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(10);

/// Measures again and again, until the future is dropped.
pub(super) async fn keep(shared: Arc<Shared>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut looked, mut share) = ((cpu_time().unwrap_or_default(), shared.clock.now()), 0);
    loop {
        shared.clock.sleep(MEASURES).await;
        if !shared.edge.crowd.is_bounded() {
            continue;
        }
        let now = shared.clock.now();
        if now.since(looked.1) >= CPU_OVER {
            let used = cpu_time().unwrap_or_default();
            share = cpu_share(used.saturating_sub(looked.0), now.since(looked.1), cores);
            looked = (used, now);
        }
        measure(&shared, share, now);
    }
}

fn measure(shared: &Shared, cpu: u64, now: Tick) {
    let mut used = [0; Resource::ALL.len()];
    used[Resource::Connections as usize] = shared.hall.admission.total() as u64;
    used[Resource::Memory as usize] = memory::resident().unwrap_or_default();
    used[Resource::Cpu as usize] = cpu;
    shared.edge.crowd.measured(used, now);
}

/// The CPU time of the process; `None` where the system does not tell.
fn cpu_time() -> Option<Duration> {
    parsed(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// `utime` and `stime` of `/proc/self/stat`: the 14th and 15th field, of which the second may hold anything in
/// parentheses.
fn parsed(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
    Some(TICK * user.saturating_add(system))
}

/// How full the node is; `None`: everybody is let in.
pub(super) fn status(shared: &Shared) -> Option<CapacityStatus> {
    let figures = shared.edge.crowd.figures()?;
    let resource = |(resource, used, bound, is_open): &(Resource, u64, Option<u64>, bool)| {
        let status = ResourceStatus { used: *used, bound: (*bound)?, lets_all_in: *is_open };
        Some((resource.word(), status))
    };
    let room = |(route, viewers, promised): &(Arc<str>, u64, u64)| RouteRoom {
        route: route.to_string(),
        viewers: *viewers,
        promised: *promised,
    };
    let refused = Resource::ALL.iter().zip(figures.refused).map(|(resource, count)| (resource.word(), count));
    Some(CapacityStatus {
        resources: figures.resources.iter().filter_map(resource).collect(),
        viewers: figures.viewers as u64,
        committed_bits: figures.committed,
        promised_bits: figures.promised,
        routes: figures.routes.iter().map(room).collect(),
        admitted: figures.admitted.0,
        lowered: figures.admitted.1,
        refused: refused.collect(),
    })
}

/// Metrics of limits, and of the room that the node has.
pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let figures = shared.edge.quota.figures();
    let exceeded = Family::new("weir_limits_exceeded", "Requests, reloads and tokens beyond a limit, by limit");
    let exceeded = Limit::ALL.iter().zip(figures.refused).fold(exceeded, |family, (limit, count)| {
        family.with(vec![("limit", limit.word().to_owned())], Value::Counter(count))
    });
    let mut families = vec![
        exceeded,
        Family::counter(
            "weir_limits_forgotten",
            "Sessions and addresses that a full table of limits has forgotten while they had something to answer for",
            figures.displaced,
        ),
        Family::counter("weir_bodies_paced", "Times that a body waited for the rate of its session", figures.paced),
        Family::gauge("weir_limit_table_bytes", "Octets of the tables of limits", figures.octets as f64),
        Family::counter(
            "weir_geo_database_failures",
            "Times that the database of countries could not be used",
            shared.edge.countries.outdated(),
        ),
    ];
    families.extend(room(shared));
    families
}

fn room(shared: &Shared) -> Vec<Family> {
    let Some(status) = status(shared) else { return Vec::new() };
    let refused = Family::new("weir_admission_refused", "Viewers who were told to come back, by what was used up");
    let refused = status.refused.iter().fold(refused, |family, (word, count)| {
        family.with(vec![("resource", (*word).to_owned())], Value::Counter(*count))
    });
    let gauges = |family: Family, of: fn(&ResourceStatus) -> f64| {
        let each = status.resources.iter();
        each.fold(family, |family, (word, resource)| {
            family.with(vec![("resource", (*word).to_owned())], Value::Gauge(of(resource)))
        })
    };
    vec![
        Family::counter("weir_admission_admitted", "Viewers who were let in", status.admitted),
        Family::counter(
            "weir_admission_lowered",
            "Viewers who were let in without the highest variants",
            status.lowered,
        ),
        refused,
        gauges(Family::new("weir_admission_used", "What is used of each bounded resource"), |one| one.used as f64),
        gauges(Family::new("weir_admission_bound", "What there is of each bounded resource"), |one| one.bound as f64),
        Family::gauge("weir_admission_viewers", "Viewers who play", status.viewers as f64),
        Family::gauge(
            "weir_admission_promised_bits",
            "Bits per second that are promised to routes and not taken up",
            status.promised_bits as f64,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(parsed(stat), Some(Duration::from_secs(2)));
        assert_eq!((parsed(""), parsed("7 (a) S 1")), (None, None));
        assert!(cpu_time().is_some());
    }
}
