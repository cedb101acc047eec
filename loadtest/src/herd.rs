//! A herd: many clients who ask for one cold object at the same moment.
//!
//! All connect first and ask together. The times that count are those of first bytes, relative to the first client that got
//! one, and to the origin's own where its log tells when it was asked. Bodies must be equal. One client may leave in
//! mid-body, and some may read slowly; neither may disturb the others, whose times alone are reported.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Crc;
use serde::Serialize;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError, Network, Receive, Server, Trust, Way};
use crate::report::{self, Quantiles};
use crate::stats::{OriginCounts, Snapshot};
use crate::viewer::{Errors, Times};

/// Who asks, and how they behave.
#[derive(Clone, Debug)]
pub struct Herd {
    /// Path and query of the object.
    pub path: String,
    /// Clients who read at full speed.
    pub clients: u32,
    /// The first of them leaves after so many bytes.
    pub first_leaves_after: Option<u64>,
    /// The first asks so much earlier than the others.
    pub lead: Duration,
    /// Slow readers beside them.
    pub slow: u32,
    /// Bytes a second that each of those reads.
    pub slow_rate: u64,
    /// When slow readers leave.
    pub slow_for: Duration,
}

impl Herd {
    /// `clients` who ask for `path` at once, and nobody else.
    pub fn new(path: &str, clients: u32) -> Self {
        Self {
            path: path.to_owned(),
            clients,
            first_leaves_after: None,
            lead: Duration::ZERO,
            slow: 0,
            slow_rate: 10_000,
            slow_for: Duration::from_secs(15),
        }
    }
}

/// A body as one client got it.
#[derive(Clone, Copy, Debug)]
struct Got {
    first: Instant,
    last: Instant,
    bytes: u64,
    crc: u32,
}

enum Reader {
    Got(Got),
    Left,
    Failed(ClientError),
    Status(u16),
}

/// What the herd met with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HerdReport {
    /// The way of HTTP, by its name.
    pub way: String,
    /// Clients at full speed.
    pub clients: u64,
    /// Those who got a whole body.
    pub whole: u64,
    /// From its request to a client's first byte.
    pub first_byte: Quantiles,
    /// From the first client's first byte to each one's.
    pub after_first: Quantiles,
    /// From the origin's first byte to each one's, where [`HerdReport::ask`] told it.
    pub after_origin: Quantiles,
    /// From its request to a client's last byte.
    pub last_byte: Quantiles,
    /// Different bodies, which should be 1.
    pub bodies: u64,
    /// Length of the first body.
    pub bytes: u64,
    /// CRC-32 of the first body.
    pub crc32: u32,
    /// Bytes that slow readers got.
    pub slow_bytes: u64,
    /// Errors, those of slow readers included.
    pub errors: Errors,
    /// What the origin counted, where it was asked.
    pub origin: Option<OriginCounts>,
    /// Unix microseconds of each first byte.
    #[serde(skip)]
    firsts: Vec<i64>,
}

/// Drives the herd over one way.
///
/// # Errors
/// [`ClientError`] if a client cannot connect; what happens afterwards is in the report.
pub async fn drive(server: &Server, (way, trust): (Way, &Trust), herd: &Herd) -> Result<HerdReport, ClientError> {
    let (network, narrow) = (Network::new(trust), Network::with(trust, Receive::NARROW));
    let mut clients = Vec::new();
    for index in 0..herd.clients + herd.slow {
        let network = if index < herd.clients { &network } else { &narrow };
        clients.push(Client::connect_to(server.clone(), way, network).await?);
    }
    let herd = Arc::new(herd.clone());
    let together = Arc::new(Barrier::new(clients.len()));
    let (mut fast, mut slow) = (JoinSet::new(), JoinSet::new());
    for (index, client) in (0..).zip(clients) {
        let (herd, together) = (herd.clone(), together.clone());
        if index < herd.clients {
            fast.spawn(async move {
                together.wait().await;
                if index > 0 {
                    tokio::time::sleep(herd.lead).await;
                }
                let leaves = herd.first_leaves_after.filter(|_| index == 0);
                let asked = Instant::now();
                let reader = herd.body(&client, leaves).await;
                (asked, reader.unwrap_or_else(Reader::Failed))
            });
        } else {
            slow.spawn(async move {
                together.wait().await;
                herd.dawdle(&client).await
            });
        }
    }
    let mut report = HerdReport::of(way, fast.join_all().await);
    for (bytes, error) in slow.join_all().await {
        report.slow_bytes += bytes;
        if let Some(error) = error {
            let example = format!("slow reader: {error}");
            report.errors.note(error.word(), example);
        }
    }
    Ok(report)
}

impl Herd {
    async fn body(&self, client: &Client, leaves: Option<u64>) -> Result<Reader, ClientError> {
        let mut answer = client.get(&self.path, &[]).await?;
        if answer.status != 200 {
            return Ok(Reader::Status(answer.status.as_u16()));
        }
        let (mut crc, mut first) = (Crc::new(), None);
        let mut last = answer.head_at;
        while let Some(chunk) = answer.chunk().await? {
            first.get_or_insert(chunk.at);
            last = chunk.at;
            crc.update(&chunk.bytes);
            if leaves.is_some_and(|after| answer.got() >= after) {
                return Ok(Reader::Left);
            }
        }
        Ok(Reader::Got(Got { first: first.unwrap_or(last), last, bytes: answer.got(), crc: crc.sum() }))
    }

    /// Reads no faster than the slow rate until it is time to leave: how much, and what went wrong.
    async fn dawdle(&self, client: &Client) -> (u64, Option<ClientError>) {
        let client = client.with_deadline(self.slow_for + Duration::from_secs(30));
        let began = Instant::now();
        let leave = began + self.slow_for;
        let mut got = 0;
        let reading = async {
            let mut answer = client.get(&self.path, &[]).await?;
            while answer.chunk().await?.is_some() {
                got = answer.got();
                let due = Duration::from_secs_f64(got as f64 / self.slow_rate.max(1) as f64);
                tokio::time::sleep_until((began + due).into()).await;
            }
            Ok(())
        };
        let error = tokio::time::timeout_at(leave.into(), reading).await;
        (got, error.ok().and_then(Result::err))
    }
}

impl HerdReport {
    fn of(way: Way, readers: Vec<(Instant, Reader)>) -> Self {
        let mut report = Self { way: way.name().to_owned(), clients: readers.len() as u64, ..Self::default() };
        let mut got = Vec::new();
        for (asked, reader) in readers {
            match reader {
                Reader::Got(each) => got.push((asked, each)),
                Reader::Left => {}
                Reader::Failed(error) => report.errors.note(error.word(), error.to_string()),
                Reader::Status(code) => {
                    let word = format!("status-{code}");
                    report.errors.note(&word, word.clone());
                }
            }
        }
        report.whole = got.len() as u64;
        let Some(first) = got.iter().map(|(_, each)| each.first).min() else {
            return report;
        };
        let mut times: [Times; 3] = Default::default();
        let since = |from: Instant, to: Instant| {
            i64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(i64::MAX)
        };
        for (asked, each) in &got {
            times[0].record(since(*asked, each.first));
            times[1].record(since(first, each.first));
            times[2].record(since(*asked, each.last));
        }
        [report.first_byte, report.after_first, report.last_byte] = times.each_ref().map(Quantiles::from);
        let mut bodies: Vec<(u64, u32)> = got.iter().map(|(_, each)| (each.bytes, each.crc)).collect();
        (report.bytes, report.crc32) = bodies[0];
        bodies.sort_unstable();
        bodies.dedup();
        report.bodies = bodies.len() as u64;
        let now = Instant::now();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let unix = i64::try_from(unix.as_micros()).unwrap_or(i64::MAX);
        report.firsts = got.iter().map(|(_, each)| unix - since(each.first, now)).collect();
        report
    }

    /// Takes in what the origin says: how often it was asked, and when its first byte was due, which is when it was asked
    /// first, by the same machine's calendar, and the `delay_ms` of the query later.
    pub fn ask(&mut self, before: &Snapshot, after: &Snapshot, url: &str) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let delay = query.split('&').find_map(|pair| pair.strip_prefix("delay_ms=")?.parse().ok());
        let delay: u64 = delay.unwrap_or(0);
        let mut asked = after.log.iter().filter(|entry| {
            let known = before.log.last().is_some_and(|last| entry.seq <= last.seq);
            !known && (entry.path == path && entry.query == query)
        });
        if let Some(entry) = asked.next() {
            self.against(entry.time_ms.saturating_add(delay));
        }
        self.origin = Some(OriginCounts::between(before, after));
    }

    /// Compares first bytes with the origin's, which was at `unix_ms`.
    fn against(&mut self, unix_ms: u64) {
        let mut times = Times::default();
        let origin = i64::try_from(unix_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        for first in &self.firsts {
            times.record(first - origin);
        }
        self.after_origin = Quantiles::from(&times);
    }

    /// What is not as it should be, in words; empty if all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.errors.total() > 0 {
            found.push(format!("{} errors", self.errors.total()));
        }
        if self.bodies > 1 {
            found.push(format!("{} different bodies", self.bodies));
        }
        if self.whole == 0 {
            found.push("nobody got a whole body".to_owned());
        }
        found.extend(self.origin.iter().flat_map(OriginCounts::findings));
        found
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Self { way, clients, whole, bytes, crc32, slow_bytes, .. } = self;
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "{clients} clients over {way}; {whole} got a whole body of {bytes} bytes, crc32 {crc32:08x}");
        for (name, quantiles) in [
            ("first byte", &self.first_byte),
            ("after the first", &self.after_first),
            ("after the origin", &self.after_origin),
            ("last byte", &self.last_byte),
        ] {
            let _ = writeln!(out, "{name:<17} {quantiles}");
        }
        let _ = writeln!(out, "slow readers      {slow_bytes} bytes");
        report::errors(&mut out, &self.errors);
        if let Some(origin) = &self.origin {
            out.push_str(&origin.text());
        }
        report::verdict(&mut out, &self.findings());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::origin;
    use crate::origin::{Action, Rule};
    use crate::punctual::on_time;

    const PATH: &str = "/blob/h?size=400000&delay_ms=100&over_ms=200";

    #[tokio::test]
    async fn a_herd_gets_one_body_however_its_first_client_and_its_slow_ones_behave() {
        on_time(|| async {
            let (origin, trust) = origin().await;
            let server = Server { addr: origin.addr(), authority: "origin".to_owned() };
            let herd = Herd {
                first_leaves_after: Some(1000),
                slow: 2,
                slow_for: Duration::from_secs(2),
                ..Herd::new(PATH, 10)
            };
            let stats = format!("http://{}/__stats", origin.control_addr());
            for way in [Way::H1, Way::H2Cleartext] {
                let before = Snapshot::take(&stats).await.unwrap();
                let mut report = drive(&server, (way, &trust), &herd).await.unwrap();
                report.ask(&before, &Snapshot::take(&stats).await.unwrap(), PATH);
                assert_eq!((report.whole, report.bodies, report.bytes), (9, 1, 400_000), "{report:?}");
                assert!(report.first_byte.p50 >= 100.0 && report.last_byte.p50 >= 250.0, "{report:?}");
                assert!(report.after_origin.count == 9 && report.after_origin.p50 < 300.0, "{report:?}");
                assert!((1000..400_000).contains(&report.slow_bytes), "{report:?}");
                assert_eq!(report.findings(), [format!("media fetched 12 times: {PATH}")]);
            }
            origin.stop().await;
        })
        .await;
    }

    #[tokio::test]
    async fn errors_and_different_bodies_are_findings() {
        let (origin, trust) = origin().await;
        let server = Server { addr: origin.addr(), authority: "origin".to_owned() };
        let rule = Rule::new("/blob/*", Action::Cut { after: 10 }).times(1);
        origin.desk().add(rule).unwrap();
        let rule = Rule::new("/blob/*", Action::Html).times(2);
        origin.desk().add(rule).unwrap();
        let herd = Herd::new("/blob/h?size=40000", 4);
        let report = drive(&server, (Way::H1, &trust), &herd).await.unwrap();
        assert_eq!(report.findings(), ["1 errors", "2 different bodies"], "{report:?}");
        assert_eq!(report.errors.counts["cut"], 1);
        origin.stop().await;
    }
}
