//! A crowd: viewers who arrive evenly over some time and each play for as long.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Network, Server, Way};
use crate::report::Report;
use crate::viewer::{Outcome, Plan, arrive};

/// How many viewers come, and when.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Viewers.
    pub viewers: u32,
    /// The time over which they come.
    pub over: Duration,
}

/// Lets a crowd play and sums up. Dropping the future ends all of it.
pub async fn play(server: &Server, (way, network): (Way, &Network), (plan, arrival): (&Plan, Arrival)) -> Report {
    let began = Instant::now();
    let mut playing = JoinSet::new();
    for index in 0..arrival.viewers {
        let (server, network, mut plan) = (server.clone(), network.clone(), plan.clone());
        plan.ticket = plan.ticket.map(|ticket| ticket.of(index));
        let at = began + arrival.over * index / arrival.viewers.max(1);
        playing.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            arrive(&server, way, &network, &plan).await
        });
    }
    let outcomes: Vec<Outcome> = playing.join_all().await;
    Report::new(way.name(), &outcomes, began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::origin;
    use crate::punctual::on_time;
    use crate::stats::{OriginCounts, Snapshot};

    #[tokio::test]
    async fn a_crowd_arrives_evenly_and_its_report_is_the_sum() {
        on_time(|| async {
            let (origin, trust) = origin().await;
            let server = Server { addr: origin.addr(), authority: "origin".to_owned() };
            let arrival = Arrival { viewers: 8, over: Duration::from_millis(800) };
            let plan = Plan::new("/live/master.m3u8").lasting(Duration::from_millis(2500));
            let how = (Way::H2Cleartext, &Network::new(&trust));
            let mut report = play(&server, how, (&plan, arrival)).await;
            assert_eq!(report.findings(), Vec::<String>::new(), "{}", report.text());
            assert_eq!((report.viewers, report.started, report.connections), (8, 8, 8));
            assert!(report.seconds >= 3.2 && report.media_seconds > 8.0, "{report:?}");
            let stats = format!("http://{}/__stats?log=0", origin.control_addr());
            let counts = Snapshot::take(&stats).await.unwrap();
            let counts = OriginCounts::between(&Snapshot::default(), &counts);
            let asked = [&counts.media, &counts.versions, &counts.playlists].map(|most| most.requests);
            assert_eq!(asked.iter().sum::<u64>(), report.requests.total());
            assert!((2..=8).contains(&counts.versions.max), "{counts:?}");
            report.origin = Some(counts);
            assert_eq!(report.findings().len(), 2);
            origin.stop().await;
        })
        .await;
    }
}
