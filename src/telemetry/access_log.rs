//! One line for each answered request. Lines pass a bounded queue to a writer of their own, so that a slow disk never
//! slows a viewer: what does not fit is dropped and counted. Of a query only the playlist directives are logged: any
//! other may hold a secret.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tracing::error;

use crate::clock::WallTime;
use crate::config::{LogFormat, LogPath};
use crate::tasks::Tasks;

/// Lines that may wait for the writer.
const QUEUE: usize = 65_536;
/// Lines written before the buffer is handed to the system, where more wait.
const BATCH: usize = 256;

/// What a line tells.
#[derive(Clone, Debug)]
pub struct Line {
    /// When the request's head was complete.
    pub time: WallTime,
    /// Its identifier, as in `X-Request-Id`.
    pub id: String,
    /// The viewer's address.
    pub address: IpAddr,
    /// The method.
    pub method: http::Method,
    /// The authority asked for.
    pub host: String,
    /// The path, and of the query the playlist directives.
    pub path: String,
    /// The protocol's version.
    pub protocol: &'static str,
    /// The status code.
    pub status: u16,
    /// Octets of the body that left.
    pub octets: u64,
    /// From the head of the request to the end of the answer.
    pub took: Duration,
    /// From the head of the request to the first octet of the answer.
    pub first_byte: Duration,
    /// Where the answer came from.
    pub cache: &'static str,
    /// The route that served it.
    pub route: Arc<str>,
    /// The word of the refusal, if it was refused.
    pub reason: Option<&'static str>,
    /// Whether the whole answer left.
    pub complete: bool,
    /// User-Agent.
    pub user_agent: Option<String>,
    /// Referer without its query.
    pub referer: Option<String>,
}

/// What of a query may be logged: `_HLS_*` alone.
pub fn loggable_query(query: Option<&str>) -> String {
    let directives = query.unwrap_or_default().split('&').filter(|pair| pair.starts_with("_HLS_"));
    let joined = directives.collect::<Vec<_>>().join("&");
    if joined.is_empty() { joined } else { format!("?{joined}") }
}

/// The end of the queue that requests hold. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: mpsc::Sender<Line>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    dropped: AtomicU64,
    reopen: AtomicBool,
}

impl AccessLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// Where the file cannot be opened for appending.
    pub fn start(config: &crate::config::AccessLog, tasks: &Tasks) -> io::Result<Self> {
        let (lines, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer { out: open(&config.path)?, path: config.path.clone(), format: config.format };
        writer.header()?;
        let of_writer = shared.clone();
        tasks.spawn_blocking("access-log", move || writer.run(queue, &of_writer));
        Ok(Self { lines, shared })
    }

    /// Logs one request, or counts it as dropped where the queue is full.
    pub fn log(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Lines that were dropped because the queue was full or the file could not be written.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Opens the file anew before the next line, after it was rotated.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
    }
}

fn open(path: &LogPath) -> io::Result<Box<dyn Write + Send>> {
    Ok(match path {
        LogPath::Stdout => Box::new(io::stdout()),
        LogPath::File(path) => Box::new(BufWriter::new(append_to(path)?)),
    })
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

struct Writer {
    out: Box<dyn Write + Send>,
    path: LogPath,
    format: LogFormat,
}

impl Writer {
    /// Writes until the last sender is gone.
    fn run(mut self, mut queue: mpsc::Receiver<Line>, shared: &Shared) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            if shared.reopen.swap(false, Relaxed) {
                self.reopen();
            }
            let count = batch.len() as u64;
            if let Err(error) = self.write(&batch) {
                shared.dropped.fetch_add(count, Relaxed);
                error!(%error, "access log cannot be written");
            }
            batch.clear();
        }
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(out) => self.out = out,
            Err(error) => error!(%error, "access log cannot be reopened, the old file is kept"),
        }
        if let Err(error) = self.header() {
            error!(%error, "access log cannot be written");
        }
    }

    fn header(&mut self) -> io::Result<()> {
        if self.format == LogFormat::W3c {
            writeln!(
                self.out,
                "#Version: 1.0\n#Fields: date time c-ip cs-method cs(Host) cs-uri sc-status sc-bytes time-taken cs-version x-cache x-request-id"
            )?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &[Line]) -> io::Result<()> {
        for line in batch {
            match self.format {
                LogFormat::Json => serde_json::to_writer(&mut self.out, &Json::from(line)).map_err(io::Error::from)?,
                LogFormat::Combined => self.out.write_all(combined(line).as_bytes())?,
                LogFormat::W3c => self.out.write_all(w3c(line).as_bytes())?,
            }
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Json<'a> {
    time: String,
    id: &'a str,
    address: IpAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    protocol: &'a str,
    status: u16,
    bytes: u64,
    ms: f64,
    first_byte_ms: f64,
    cache: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<&'a str>,
}

impl<'a> From<&'a Line> for Json<'a> {
    fn from(line: &'a Line) -> Self {
        Self {
            time: Civil::of(line.time).rfc3339(),
            id: &line.id,
            address: line.address,
            method: line.method.as_str(),
            host: &line.host,
            path: &line.path,
            protocol: line.protocol,
            status: line.status,
            bytes: line.octets,
            ms: milliseconds(line.took),
            first_byte_ms: milliseconds(line.first_byte),
            cache: line.cache,
            route: &line.route,
            reason: line.reason,
            complete: line.complete,
            user_agent: line.user_agent.as_deref(),
            referer: line.referer.as_deref(),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn combined(line: &Line) -> String {
    format!(
        "{} - - [{}] \"{} {} HTTP/{}\" {} {} \"{}\" \"{}\"",
        line.address,
        Civil::of(line.time).common_log(),
        line.method,
        quoted(&line.path),
        line.protocol,
        line.status,
        line.octets,
        quoted(line.referer.as_deref().unwrap_or("-")),
        quoted(line.user_agent.as_deref().unwrap_or("-")),
    )
}

fn w3c(line: &Line) -> String {
    let time = Civil::of(line.time).rfc3339();
    let (date, clock) = time.split_once('T').expect("an RFC 3339 time has a T");
    format!(
        "{date} {} {} {} {} {} {} {} {:.3} HTTP/{} {} {}",
        clock.trim_end_matches('Z'),
        line.address,
        line.method,
        if line.host.is_empty() { "-" } else { &line.host },
        line.path.replace(' ', "%20"),
        line.status,
        line.octets,
        line.took.as_secs_f64(),
        line.protocol,
        line.cache,
        line.id,
    )
}

/// Text within quotes: quotes, backslashes and controls are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            character if character.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(character))),
            character => out.push(character),
        }
    }
    out
}

/// A moment as people write it, in UTC.
struct Civil {
    year: i64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u32,
}

impl Civil {
    /// Days are counted in eras of 400 years that begin on 1 March, so that the leap day ends a year.
    fn of(time: WallTime) -> Self {
        let since = time.since_epoch();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: i64::try_from(year_of_era + era * 400).unwrap_or_default() + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millisecond: since.subsec_millis(),
        }
    }

    fn rfc3339(&self) -> String {
        let Self { year, month, day, hour, minute, second, millisecond } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }

    fn common_log(&self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let Self { year, month, day, hour, minute, second, .. } = self;
        let month = MONTHS[usize::try_from(month - 1).expect("a month is at most 12")];
        format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: WallTime::at(Duration::from_millis(1_709_210_096_789)),
            id: "r1".to_owned(),
            address: [192, 0, 2, 1].into(),
            method: http::Method::GET,
            host: "live.example".to_owned(),
            path: "/live/a\"b".to_owned(),
            protocol: "2",
            status: 200,
            octets: 10,
            took: Duration::from_micros(1_600),
            first_byte: Duration::from_micros(1_000),
            cache: "hit",
            route: "live".into(),
            reason: None,
            complete: true,
            user_agent: Some("p".to_owned()),
            referer: None,
        }
    }

    #[test]
    fn a_leap_day_is_written_as_one() {
        assert_eq!(Civil::of(line().time).rfc3339(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Civil::of(WallTime::default()).rfc3339(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn each_format_says_the_same() {
        let json = serde_json::to_value(Json::from(&line())).unwrap();
        assert_eq!(
            (json["status"].as_u64(), json["cache"].as_str(), json["ms"].as_f64()),
            (Some(200), Some("hit"), Some(1.6))
        );
        assert_eq!(
            combined(&line()),
            "192.0.2.1 - - [29/Feb/2024:12:34:56 +0000] \"GET /live/a\\\"b HTTP/2\" 200 10 \"-\" \"p\""
        );
        assert_eq!(
            w3c(&line()),
            "2024-02-29 12:34:56.789 192.0.2.1 GET live.example /live/a\"b 200 10 0.002 HTTP/2 hit r1"
        );
    }

    #[test]
    fn only_playlist_directives_of_a_query_are_logged() {
        assert_eq!(loggable_query(Some("token=secret&_HLS_msn=4&_HLS_part=1")), "?_HLS_msn=4&_HLS_part=1");
        assert_eq!(loggable_query(Some("token=secret")), "");
        assert_eq!(loggable_query(None), "");
    }

    #[tokio::test]
    async fn lines_reach_the_file_and_a_rotated_file_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let config = crate::config::AccessLog { path: LogPath::File(path.clone()), format: LogFormat::Json };
        let tasks = Tasks::current();
        let log = AccessLog::start(&config, &tasks).unwrap();
        std::fs::rename(&path, folder.path().join("old.log")).unwrap();
        log.reopen();
        log.log(line());
        drop(log);
        tasks.close();
        tasks.joined().await;
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"id\":\"r1\""));
    }
}
