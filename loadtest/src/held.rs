//! Held reloads: many viewers who wait for the same position of one playlist, and how soon each hears of it.
//!
//! All connect first, then ask together for a position a few parts ahead, so that all are held when it is published. One more
//! waits at the origin itself for the same position: the times that count run from the last byte of what it gets.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use flate2::Crc;
use http::Request;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::client::{Client, ClientError, Network, Server, Trust, Way, tcp};
use crate::load;
use crate::report::{self, Quantiles};
use crate::viewer::playlist::MediaPlaylist;
use crate::viewer::{Errors, Times};

/// Who waits, and for what.
#[derive(Clone, Debug)]
pub struct Held {
    /// Path and query of the media playlist.
    pub path: String,
    /// Viewers.
    pub clients: u32,
    /// Requests on a connection, where HTTP has streams.
    pub streams: u32,
    /// Parts between the newest one and the one that is waited for.
    pub ahead: u64,
    /// Process of the server, whose CPU time is counted.
    pub pid: Option<u32>,
}

/// What became of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HeldReport {
    /// The way of HTTP, by its name.
    pub way: String,
    /// Viewers.
    pub clients: u64,
    /// Those who got a whole playlist.
    pub whole: u64,
    /// Different playlists, which should be 1.
    pub bodies: u64,
    /// Length of the first of them.
    pub bytes: u64,
    /// From the last request to the first answer.
    pub held_ms: f64,
    /// From the origin's last byte to each viewer's first.
    pub after_origin: Quantiles,
    /// From the first viewer's first byte to each one's.
    pub after_first: Quantiles,
    /// CPU time of the server for a thousand answers, in milliseconds, from the last request to the last answer.
    pub cpu_ms_per_thousand: Option<f64>,
    /// Errors.
    pub errors: Errors,
}

struct Answer {
    first: Instant,
    bytes: u64,
    crc: u32,
}

/// Holds `held.clients` reloads at `server`, and one at `origin`.
///
/// # Errors
/// [`ClientError`] if a client cannot connect or the playlist cannot be read; what happens afterwards is in the report.
pub async fn drive(
    (server, origin): (&Server, &Server),
    (way, trust): (Way, &Trust),
    held: &Held,
) -> Result<HeldReport, ClientError> {
    let network = Network::new(trust);
    let guide = Client::connect_to(origin.clone(), Way::H1, &network).await?;
    let mut waiting = connect(server, (way, &network), held).await?;
    // The node learns of the playlist before it is held, as in any stream that is watched.
    let first = Client::connect_to(server.clone(), way, &network).await?;
    playlist(&first, &held.path).await?;
    let (msn, part) = ahead(&playlist(&guide, &held.path).await?, held.ahead);
    let mark = if held.path.contains('?') { '&' } else { '?' };
    let path = format!("{}{mark}_HLS_msn={msn}&_HLS_part={part}", held.path);
    let reference = tokio::spawn({
        let (guide, path) = (guide.clone(), path.clone());
        async move {
            let mut answer = guide.get(&path, &[]).await?;
            while answer.chunk().await?.is_some() {}
            Ok::<_, ClientError>(Instant::now())
        }
    });
    let mut answers = JoinSet::new();
    for connection in waiting.drain(..) {
        connection.ask(server, &path, held, &mut answers).await?;
    }
    let sent = Instant::now();
    let before = held.pid.and_then(cpu);
    let mut got = Vec::new();
    let mut report = HeldReport { way: way.name().to_owned(), clients: held.clients.into(), ..HeldReport::default() };
    while let Some(answer) = answers.join_next().await {
        match answer.unwrap_or(Err(ClientError::Closed { code: None })) {
            Ok(answer) => got.push(answer),
            Err(error) => report.errors.note(error.word(), error.to_string()),
        }
    }
    let after = held.pid.and_then(cpu);
    let published = reference.await.unwrap_or(Err(ClientError::Closed { code: None }))?;
    report.sum_up(&got, sent, published);
    if let (Some(before), Some(after), true) = (before, after, !got.is_empty()) {
        report.cpu_ms_per_thousand = Some((after - before).as_secs_f64() * 1e6 / got.len() as f64);
    }
    Ok(report)
}

/// The position so many parts behind the newest part; in the segment after the open one at the latest, for nothing further
/// may be waited for.
fn ahead(playlist: &MediaPlaylist, parts: u64) -> (u64, u64) {
    let (msn, part) = playlist.newest().unwrap_or_default();
    let closed = playlist.segments.iter().rev().find(|segment| segment.resource.is_some());
    let each = closed.map_or(1, |segment| segment.parts.len().max(1) as u64);
    let wanted = (part as u64 + parts).min(2 * each - 1);
    (msn + wanted / each, wanted % each)
}

async fn playlist(client: &Client, path: &str) -> Result<MediaPlaylist, ClientError> {
    let mut answer = client.get(path, &[]).await?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        text.extend_from_slice(&chunk.bytes);
    }
    let text = String::from_utf8_lossy(&text);
    MediaPlaylist::read(&text, None).map_err(|error| ClientError::Malformed(error.into()))
}

enum Connection {
    H1(tcp::Stream),
    H2(load::h2::Connection),
}

async fn connect(
    server: &Server,
    (way, network): (Way, &Network),
    held: &Held,
) -> Result<Vec<Connection>, ClientError> {
    let tls = match way {
        Way::H1Tls => Some(network.tls()),
        Way::H2 => Some(network.tls_h2()),
        Way::H1 | Way::H2Cleartext | Way::H3 => None,
    };
    let mut connections = Vec::new();
    match way {
        Way::H1 | Way::H1Tls => {
            for _ in 0..held.clients {
                let stream = tcp::connect(server, tls.clone(), network.receive()).await?;
                connections.push(Connection::H1(stream));
            }
        }
        Way::H2 | Way::H2Cleartext => {
            for _ in 0..held.clients.div_ceil(held.streams) {
                let stream = tcp::connect(server, tls.clone(), network.receive()).await?;
                connections.push(Connection::H2(load::h2::Connection::new(stream).await?));
            }
        }
        Way::H3 => return Err(ClientError::Malformed("held reloads are asked for over HTTP/1.1 or 2".into())),
    }
    Ok(connections)
}

impl Connection {
    async fn ask(
        self,
        server: &Server,
        path: &str,
        held: &Held,
        answers: &mut JoinSet<Result<Answer, ClientError>>,
    ) -> Result<(), ClientError> {
        let authority = &server.authority;
        match self {
            Self::H1(mut stream) => {
                let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
                stream.write_all(request.as_bytes()).await.map_err(|_| ClientError::Closed { code: None })?;
                let connection = load::h1::Connection::new(stream);
                answers.spawn(async move { summed(connection.answer().await?) });
            }
            Self::H2(connection) => {
                let request = Request::get(format!("http://{authority}{path}")).body(())?;
                for _ in 0..held.streams {
                    let answer = connection.clone().ask(&request).await?;
                    answers.spawn(async move { summed(load::h2::Connection::answer(answer).await?) });
                }
            }
        }
        Ok(())
    }
}

fn summed((status, first, body): (http::StatusCode, Instant, Vec<u8>)) -> Result<Answer, ClientError> {
    if status != 200 {
        return Err(ClientError::Malformed(format!("status {status}").into()));
    }
    let mut crc = Crc::new();
    crc.update(&body);
    Ok(Answer { first, bytes: body.len() as u64, crc: crc.sum() })
}

/// CPU time of a process, all its threads together.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux that this runs on (proc(5)).
    Some(Duration::from_millis(ticks * 10))
}

impl HeldReport {
    fn sum_up(&mut self, got: &[Answer], sent: Instant, published: Instant) {
        self.whole = got.len() as u64;
        let Some(first) = got.iter().map(|answer| answer.first).min() else { return };
        self.held_ms = first.saturating_duration_since(sent).as_secs_f64() * 1e3;
        let mut times: [Times; 2] = Default::default();
        let since = |from: Instant, to: Instant| {
            i64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(i64::MAX)
        };
        for answer in got {
            times[0].record(since(published, answer.first));
            times[1].record(since(first, answer.first));
        }
        [self.after_origin, self.after_first] = times.each_ref().map(Quantiles::from);
        let mut bodies: Vec<_> = got.iter().map(|answer| (answer.bytes, answer.crc)).collect();
        self.bytes = bodies[0].0;
        bodies.sort_unstable();
        bodies.dedup();
        self.bodies = bodies.len() as u64;
    }

    /// What is not as it should be, in words; empty if all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.errors.total() > 0 {
            found.push(format!("{} errors", self.errors.total()));
        }
        if self.whole != self.clients {
            found.push(format!("{} of {} answered", self.whole, self.clients));
        }
        if self.bodies != 1 {
            found.push(format!("{} different playlists", self.bodies));
        }
        if self.held_ms <= 0.0 {
            found.push("not all were held: the answers began before the last request".to_owned());
        }
        found
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Self { way, clients, whole, bytes, bodies, held_ms, .. } = self;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{clients} held over {way}, the last for {held_ms:.0} ms; {whole} answered, {bodies} different playlists, {bytes} bytes"
        );
        let _ = writeln!(out, "after the origin  {}", self.after_origin);
        let _ = writeln!(out, "after the first   {}", self.after_first);
        if let Some(cpu) = self.cpu_ms_per_thousand {
            let _ = writeln!(out, "CPU               {cpu:.1} ms for a thousand answers");
        }
        report::errors(&mut out, &self.errors);
        report::verdict(&mut out, &self.findings());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Clock, Origin, OriginConfig};

    #[tokio::test]
    async fn all_who_wait_for_a_part_get_one_playlist_once_it_exists() {
        for way in [Way::H1, Way::H2Cleartext] {
            let clock = Clock::manual(1_800_000_000_000);
            let config = OriginConfig { clock: clock.clone(), ..OriginConfig::default() };
            let origin = Origin::start(config).await.unwrap();
            let server = Server { addr: origin.addr(), authority: "origin".to_owned() };
            let held = Held { path: "/live/v0/media.m3u8".to_owned(), clients: 40, streams: 20, ahead: 3, pid: None };
            let gate = origin.hold("_HLS_msn=").unwrap();
            let all = async move { drive((&server, &server), (way, &Trust::AcceptAny), &held).await.unwrap() };
            let driving = tokio::spawn(all);
            // All of them, and the one whose times count.
            gate.arrived_times(41).await;
            gate.open();
            settle().await;
            assert!(!driving.is_finished(), "the part does not exist");
            clock.advance(2_000);
            let report = driving.await.unwrap();
            assert_eq!(report.findings(), [""; 0], "{report:?}");
            assert!(report.after_first.count == 40, "{report:?}");
            origin.stop().await;
        }
    }

    /// Lets everything run that need not wait.
    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
}
