//! As many requests for one URL as a server can answer: what it costs to serve, not how viewers behave.
//!
//! Connections are opened first and not measured; then every stream asks again as soon as its answer has ended, until the time
//! is over. The client is to be cheaper than the server: bodies are thrown away unseen, over HTTP/1.1 in clear without leaving
//! the kernel. What was under way at the end counts in bytes but not in requests. A stream that failed does not try again.

pub(crate) mod h1;
pub(crate) mod h2;
mod h3;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{ClientError, Network, Receive, Server, Trust, Way, tcp};
use crate::report::{self, Quantiles};
use crate::viewer::{Errors, Times};

const RECEIVE: Receive = Receive { stream: 8 << 20, connection: 16 << 20, tcp: None };

/// How hard to drive.
#[derive(Clone, Debug)]
pub struct Load {
    /// Path and query.
    pub path: String,
    /// Connections.
    pub connections: u32,
    /// Requests at once on each, over HTTP/2 and HTTP/3.
    pub streams: u32,
    /// For how long.
    pub time: Duration,
}

/// What a server could do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadReport {
    /// The way of HTTP, by its name.
    pub way: String,
    /// Connections.
    pub connections: u32,
    /// Requests at once on each.
    pub streams: u32,
    /// Seconds measured.
    pub seconds: f64,
    /// Requests answered whole, with 200.
    pub requests: u64,
    /// Those, per second.
    pub per_second: f64,
    /// Body bytes.
    pub bytes: u64,
    /// Those, in 10^9 bits per second.
    pub gbit_per_second: f64,
    /// From a request to the last byte of its answer.
    pub latency: Quantiles,
    /// Errors.
    pub errors: Errors,
}

/// What all streams count together.
#[derive(Default)]
struct Tally {
    requests: u64,
    bytes: u64,
    times: Times,
    errors: Errors,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Tally>>);

impl Shared {
    // All streams run on one thread: nobody ever waits here.
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self, count: usize) {
        self.lock().bytes += count as u64;
    }

    /// An answer that ended as its framing says.
    fn answered(&self, status: StatusCode, asked: Instant) {
        let mut tally = self.lock();
        if status == StatusCode::OK {
            tally.requests += 1;
            tally.times.record(i64::try_from(asked.elapsed().as_micros()).unwrap_or(i64::MAX));
        } else {
            let word = format!("status-{}", status.as_u16());
            tally.errors.note(&word, word.clone());
        }
    }
}

enum Connection {
    H1(Box<h1::Connection>),
    H2(h2::Connection),
    H3(h3::Connection),
}

impl Connection {
    async fn open(server: &Server, way: Way, network: &Network) -> Result<Self, ClientError> {
        let tls = match way {
            Way::H1 | Way::H2Cleartext | Way::H3 => None,
            Way::H1Tls => Some(network.tls()),
            Way::H2 => Some(network.tls_h2()),
        };
        Ok(match way {
            Way::H1 | Way::H1Tls => Self::H1(h1::Connection::new(tcp::connect(server, tls, RECEIVE).await?)),
            Way::H2 | Way::H2Cleartext => {
                Self::H2(h2::Connection::new(tcp::connect(server, tls, RECEIVE).await?).await?)
            }
            Way::H3 => Self::H3(h3::Connection::open(server, network).await?),
        })
    }

    /// Starts all streams of this connection.
    fn drive(
        self,
        streams: &mut JoinSet<Result<(), ClientError>>,
        (request, load): (&Request<()>, &Load),
        tally: &Shared,
    ) {
        match self {
            Self::H1(connection) => {
                let (request, tally) = (request.clone(), tally.clone());
                streams.spawn(async move { connection.drive(&request, &tally).await });
            }
            Self::H2(connection) => {
                for _ in 0..load.streams {
                    let (connection, request, tally) = (connection.clone(), request.clone(), tally.clone());
                    streams.spawn(async move { connection.drive(&request, &tally).await });
                }
            }
            Self::H3(connection) => {
                for _ in 0..load.streams {
                    let (connection, request, tally) = (connection.clone(), request.clone(), tally.clone());
                    streams.spawn(async move { connection.drive(&request, &tally).await });
                }
            }
        }
    }
}

/// Drives one URL over one way.
///
/// # Errors
/// [`ClientError`] if a connection cannot be had; what happens afterwards is in the report.
pub async fn drive(server: &Server, (way, trust): (Way, &Trust), load: &Load) -> Result<LoadReport, ClientError> {
    let network = Network::with(trust, RECEIVE);
    let url = format!("{}://{}{}", way.scheme(), server.authority, load.path);
    let request = Request::get(url).body(())?;
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(Connection::open(server, way, &network).await?);
    }
    let (tally, mut streams) = (Shared::default(), JoinSet::new());
    let began = Instant::now();
    for connection in connections {
        connection.drive(&mut streams, (&request, load), &tally);
    }
    let failing = async {
        while let Some(ended) = streams.join_next().await {
            if let Ok(Err(error)) = ended {
                tally.lock().errors.note(error.word(), error.to_string());
            }
        }
    };
    // Ends before the time only if every stream has failed.
    let _ = tokio::time::timeout(load.time, failing).await;
    let report = LoadReport::of((way, load), &tally.lock(), began.elapsed());
    drop(streams);
    let _ = tokio::time::timeout(Duration::from_secs(1), network.ended()).await;
    Ok(report)
}

impl LoadReport {
    fn of((way, load): (Way, &Load), tally: &Tally, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let streams = if matches!(way, Way::H1 | Way::H1Tls) { 1 } else { load.streams };
        Self {
            way: way.name().to_owned(),
            connections: load.connections,
            streams,
            seconds,
            requests: tally.requests,
            per_second: tally.requests as f64 / seconds,
            bytes: tally.bytes,
            gbit_per_second: tally.bytes as f64 * 8e-9 / seconds,
            latency: Quantiles::from(&tally.times),
            errors: tally.errors.clone(),
        }
    }

    /// What is not as it should be, in words; empty if all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.errors.total() > 0 {
            found.push(format!("{} errors", self.errors.total()));
        }
        if self.requests == 0 {
            found.push("no request was answered".to_owned());
        }
        found
    }

    /// As text.
    pub fn text(&self) -> String {
        let Self { way, connections, streams, seconds, requests, per_second, bytes, gbit_per_second, latency, .. } =
            self;
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{connections} connections of {streams} streams over {way} for {seconds:.1} s");
        let _ = writeln!(out, "requests          {requests} ({per_second:.0}/s)");
        let _ = writeln!(out, "bytes             {bytes} ({gbit_per_second:.3} Gbit/s)");
        let _ = writeln!(out, "latency           {latency}");
        report::errors(&mut out, &self.errors);
        report::verdict(&mut out, &self.findings());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::origin;
    use crate::origin::{Action, Rule};

    fn load(path: &str) -> Load {
        Load { path: path.to_owned(), connections: 2, streams: 3, time: Duration::from_millis(300) }
    }

    /// Drives until something was answered or failed, for twice as long each time.
    async fn driven(server: &Server, how: (Way, &Trust), path: &str) -> LoadReport {
        let mut load = load(path);
        loop {
            let report = drive(server, how, &load).await.unwrap();
            if report.requests + report.errors.total() > 0 || load.time > Duration::from_secs(15) {
                return report;
            }
            load.time *= 2;
        }
    }

    #[tokio::test]
    async fn every_answer_is_counted_and_its_bytes_too() {
        let (origin, trust) = origin().await;
        for way in [Way::H1, Way::H1Tls, Way::H2, Way::H2Cleartext] {
            let addr = if way.scheme() == "http" { origin.addr() } else { origin.tls_addr().unwrap() };
            let server = Server { addr, authority: "localhost".to_owned() };
            let report = driven(&server, (way, &trust), "/blob/l?size=300000").await;
            assert_eq!(report.findings(), Vec::<String>::new(), "{}", report.text());
            let whole = report.requests * 300_000;
            assert!((whole..=whole + 6 * 300_000).contains(&report.bytes), "{}", report.text());
            assert_eq!(report.latency.count, report.requests);
        }
        origin.stop().await;
    }

    #[tokio::test]
    async fn what_is_not_a_whole_200_is_an_error() {
        let (origin, trust) = origin().await;
        let server = Server { addr: origin.addr(), authority: "localhost".to_owned() };
        let not_found = || Action::Status { code: 404, location: None };
        let cut = || Action::Cut { after: 10 };
        for (way, action, word) in [
            (Way::H1, not_found(), "status-404"),
            (Way::H2Cleartext, not_found(), "status-404"),
            (Way::H1, cut(), "cut"),
            (Way::H2Cleartext, cut(), "reset"),
        ] {
            origin.desk().add(Rule::new("/blob/*", action)).unwrap();
            let report = driven(&server, (way, &trust), "/blob/l?size=3000").await;
            origin.desk().clear();
            assert_eq!(report.requests, 0, "{}", report.text());
            assert!(report.errors.counts[word] > 0, "{}", report.text());
        }
        origin.stop().await;
    }
}
