//! The command line of `weir-loadtest`: words, units and what they mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::client::{Trust, TrustError, Way};
use crate::token::{Carrier, Issuer, Source, Ticket};
use crate::viewer::{Check, Choice};

/// Virtual LL-HLS viewers, herds and single requests over HTTP/1.1, 2 and 3.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Ways: h1 (HTTP/1.1 in clear), h1s (over TLS), h2 (HTTP/2 over TLS), h2c (in clear), h3.
Exit code: 0 all is well, 1 a finding (stall, error, double fetch), 2 wrong use or no connection.

200 viewers over HTTP/3 for a minute, arriving over 10 s, and how often the origin was asked:
  weir-loadtest viewers --way h3 --url https://127.0.0.1:8443/live/master.m3u8 --insecure \\
    --viewers 200 --arrive-over 10s --seconds 60 --stats http://127.0.0.1:8091/__stats
A thousand viewers with a thousand tokens before a gated stream:
  weir-loadtest viewers --way h2c --url http://127.0.0.1:8080/live/master.m3u8 --viewers 1000 --arrive-over 5s \\
    --mint issuer.secret --issuer https://paywall.example --audience weir-edge --carrier path
200 clients ask for one cold object at once; the first leaves in mid-body:
  weir-loadtest herd --way h2c --url 'http://127.0.0.1:8080/blob/a?size=2000000&delay_ms=500&over_ms=1000' \\
    --clients 200 --leave-first-after 100kB
10,000 held reloads, and how soon each hears of the part:
  weir-loadtest held --way h2c --url http://127.0.0.1:8080/live/v0/media.m3u8 --origin http://127.0.0.1:8090 \\
    --clients 10000 --pid $(pidof weir)
As many requests as a server answers in 5 s:
  weir-loadtest load --way h2 --url https://127.0.0.1:8443/live/init.mp4 --insecure --connections 4 --streams 16 --seconds 5
One request over HTTP/3:
  weir-loadtest fetch --way h3 --url https://127.0.0.1:8443/live/master.m3u8 --ca ca.pem --print"
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Virtual viewers that play a stream like hls.js
    Viewers(ViewersArgs),
    /// Many clients ask for one object at the same moment
    Herd(HerdArgs),
    /// Many viewers wait for the same position of one media playlist
    Held(HeldArgs),
    /// One URL, as often as the server can answer
    Load(LoadArgs),
    /// One GET, shown
    Fetch(FetchArgs),
}

/// Whom to speak to, and how.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// URL; its host and port are connected to
    #[arg(long)]
    pub url: String,
    /// Way of HTTP: h1, h1s, h2, h2c or h3
    #[arg(long)]
    pub way: Way,
    /// Certificates in PEM to trust as roots
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub insecure: bool,
}

/// Roots are needed and none were named.
#[derive(Debug, thiserror::Error)]
pub enum WhereError {
    /// TLS without roots.
    #[error("{0} needs --ca FILE or --insecure")]
    NoRoots(&'static str),
    /// The file is of no use.
    #[error(transparent)]
    Roots(#[from] TrustError),
}

impl Where {
    /// Whom to trust; in clear there is nothing to trust.
    ///
    /// # Errors
    /// [`WhereError`] if TLS is asked for without roots, or they cannot be read.
    pub fn trust(&self) -> Result<Trust, WhereError> {
        match &self.ca {
            Some(file) => Ok(Trust::pem_file(file)?),
            None if self.insecure || self.way.scheme() == "http" => Ok(Trust::AcceptAny),
            None => Err(WhereError::NoRoots(self.way.name())),
        }
    }

    /// Path and query of the URL.
    pub fn path(&self) -> &str {
        let rest = self.url.split_once("://").map_or(&*self.url, |(_, rest)| rest);
        rest.find('/').map_or("/", |at| &rest[at..])
    }
}

/// `viewers`.
#[derive(Clone, Debug, Args)]
pub struct ViewersArgs {
    /// Whom to ask
    #[command(flatten)]
    pub target: Where,
    /// Number of viewers
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub viewers: u32,
    /// Time over which they arrive, evenly
    #[arg(long, default_value = "0s", value_parser = time)]
    pub arrive_over: Duration,
    /// Seconds that each of them plays
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Rendition by its place in the multivariant playlist, from 0; default: the middle one
    #[arg(long, value_parser = rendition)]
    pub rendition: Option<Choice>,
    /// Play by segments, further from the live edge
    #[arg(long, conflicts_with = "hints")]
    pub plain: bool,
    /// Request preload hints, which hls.js does not
    #[arg(long)]
    pub hints: bool,
    /// What is checked of media: lengths, or timestamps too (costs CPU)
    #[arg(long, default_value = "lengths")]
    pub check: Check,
    /// Rate at which late viewers catch up; 1 never, as hls.js by default
    #[arg(long, default_value_t = 1.05)]
    pub catch_up: f64,
    /// Tokens, where the stream is gated
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// What to print, and whom to ask afterwards
    #[command(flatten)]
    pub output: Output,
}

/// Tokens of viewers, where the stream is gated.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Tokens, a line each: viewers take them in the order in which they come
    #[arg(long, value_name = "FILE", conflicts_with = "mint")]
    pub token_file: Option<PathBuf>,
    /// A shared secret: each viewer gets a token of its own, signed with it (HS256), when it asks for the stream
    #[arg(long, value_name = "FILE")]
    pub mint: Option<PathBuf>,
    /// Who issues them (`iss`)
    #[arg(long, value_name = "NAME", requires = "mint")]
    pub issuer: Option<String>,
    /// Whom they are for (`aud`)
    #[arg(long, value_name = "NAME", requires = "mint")]
    pub audience: Option<String>,
    /// What they cover (`path`); default: all
    #[arg(long, value_name = "PATH", requires = "mint")]
    pub covers: Option<String>,
    /// How long each opens the stream
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub lives: Duration,
    /// Where they travel
    #[arg(long, value_enum, default_value = "path")]
    pub carrier: Carrier,
}

impl TokenArgs {
    /// The first viewer's ticket; `None`: the stream is open.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn ticket(&self) -> std::io::Result<Option<Ticket>> {
        let source = if let Some(file) = &self.token_file {
            let lines = std::fs::read_to_string(file)?;
            let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
            Source::List(lines.collect())
        } else if let Some(file) = &self.mint {
            Source::Mint(Arc::new(Issuer {
                issuer: self.issuer.clone(),
                audience: self.audience.clone(),
                path: self.covers.clone(),
                lives: self.lives,
                ..Issuer::new(std::fs::read(file)?.trim_ascii())
            }))
        } else {
            return Ok(None);
        };
        Ok(Some(Ticket { source, carrier: self.carrier, viewer: 0 }))
    }
}

/// What to print, and whom to ask afterwards.
#[derive(Clone, Debug, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The origin's counts, from its control port: http://HOST:PORT/__stats; a part or playlist version that it had to send
    /// more than once is a finding
    #[arg(long, value_name = "URL")]
    pub stats: Option<String>,
}

/// `herd`.
#[derive(Clone, Debug, Args)]
pub struct HerdArgs {
    /// Whom to ask
    #[command(flatten)]
    pub target: Where,
    /// Number of clients
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,
    /// The first client leaves after so many bytes of the body
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub leave_first_after: Option<u64>,
    /// The first client asks so much earlier
    #[arg(long, default_value = "0s", value_parser = time)]
    pub lead: Duration,
    /// Slow readers beside the others
    #[arg(long, default_value_t = 0)]
    pub slow: u32,
    /// Bytes a second of a slow reader
    #[arg(long, default_value = "10kB/s", value_parser = size)]
    pub slow_rate: u64,
    /// Slow readers leave after so long
    #[arg(long, default_value = "15s", value_parser = time)]
    pub slow_for: Duration,
    /// What to print, and whom to ask afterwards
    #[command(flatten)]
    pub output: Output,
}

/// `held`.
#[derive(Clone, Debug, Args)]
pub struct HeldArgs {
    /// Whom to ask
    #[command(flatten)]
    pub target: Where,
    /// The origin's address, host and port: one more waits there, and tells when the position was published
    #[arg(long, value_name = "URL")]
    pub origin: String,
    /// Held requests
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,
    /// Requests on a connection of HTTP/2
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub streams: u32,
    /// Parts between the newest and the one that is waited for
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub ahead: u64,
    /// The server's process, whose CPU time is counted
    #[arg(long)]
    pub pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `load`.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Whom to ask
    #[command(flatten)]
    pub target: Where,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Requests at once on a connection of HTTP/2 or HTTP/3
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub streams: u32,
    /// Seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Whom to ask
    #[command(flatten)]
    pub target: Where,
    /// Method
    #[arg(long, default_value = "GET")]
    pub method: http::Method,
    /// A header field, `name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_parser = field)]
    pub headers: Vec<(String, String)>,
    /// Print the body too
    #[arg(long)]
    pub print: bool,
}

/// A time with its unit: `333ms`, `10s`, `2m`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn time(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("a number with ms, s or m, such as 10s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a whole number".to_owned())?;
    let ms = number.checked_mul(unit).ok_or("too long")?;
    Ok(Duration::from_millis(ms))
}

/// A number of bytes with an optional unit: `512`, `10kB`, `64KiB`, `2MB`; `/s` may follow.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches("/s");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "" | "B" => 1,
        "kB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return Err("a number with B, kB, KiB, MB or MiB, such as 10kB".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a whole number".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

fn rendition(text: &str) -> Result<Choice, String> {
    match text {
        "middle" => Ok(Choice::Middle),
        text => text.parse().map(Choice::Index).map_err(|_| "a number from 0, or middle".to_owned()),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("name: value")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(time("333ms"), Ok(Duration::from_millis(333)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("10kB/s"), Ok(10_000));
        assert_eq!(size("64KiB"), Ok(65_536));
        for text in ["", "10", "s", "-1s", "99999999999999999999m", "18446744073709551615m"] {
            assert!(time(text).is_err(), "{text}");
        }
        for text in ["", "kB", "1GB", "18446744073709551615kB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tls_without_roots_is_wrong_use() {
        let target = |way, insecure| Where { url: "https://h:1/x?y".to_owned(), way, ca: None, insecure };
        assert!(target(Way::H3, false).trust().is_err());
        assert!(target(Way::H3, true).trust().is_ok());
        assert!(target(Way::H1, false).trust().is_ok());
        assert_eq!(target(Way::H1, false).path(), "/x?y");
    }
}
