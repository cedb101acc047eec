//! Virtual viewers, herds and single requests as a program.
#![expect(
    clippy::disallowed_methods,
    reason = "the bans keep time and tasks of the node in one place; this crate is not the node"
)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use serde::Serialize;
use weir_loadtest::cli::{Cli, Command, FetchArgs, HeldArgs, HerdArgs, LoadArgs, Output, ViewersArgs};
use weir_loadtest::client::{Client, Network, Server, Way};
use weir_loadtest::crowd::{self, Arrival};
use weir_loadtest::held::{self, Held};
use weir_loadtest::herd::{self, Herd};
use weir_loadtest::load::{self, Load};
use weir_loadtest::report::Report;
use weir_loadtest::stats::{OriginCounts, Snapshot};
use weir_loadtest::viewer::{Hints, Latency, Plan};

type Outcome = Result<Verdict, Box<dyn Error>>;

enum Verdict {
    Good,
    Finding,
}

// One thread carries a thousand viewers, and leaves the other cores to the server under test.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Viewers(args) => viewers(args).await,
        Command::Herd(args) => herd(args).await,
        Command::Held(args) => held(args).await,
        Command::Load(args) => load(args).await,
        Command::Fetch(args) => fetch(args).await,
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Finding) => ExitCode::from(1),
        Err(error) => {
            eprintln!("weir-loadtest: {error}");
            ExitCode::from(2)
        }
    }
}

async fn viewers(args: ViewersArgs) -> Outcome {
    let target = &args.target;
    let server = Server::find(&target.url, target.way).await?;
    let network = Network::new(&target.trust()?);
    let plan = Plan {
        choice: args.rendition.unwrap_or_default(),
        latency: if args.plain { Latency::Plain } else { Latency::Low },
        hints: if args.hints { Hints::Request } else { Hints::Ignore },
        check: args.check,
        max_rate: args.catch_up,
        ticket: args.tokens.ticket()?,
        ..Plan::new(target.path()).lasting(Duration::from_secs(args.seconds))
    };
    let arrival = Arrival { viewers: args.viewers, over: args.arrive_over };
    let before = snapshot(&args.output).await?;
    let playing = crowd::play(&server, (target.way, &network), (&plan, arrival));
    let mut report: Report = playing.await;
    goodbye(&network).await;
    if let (Some(before), Some(after)) = (before, snapshot(&args.output).await?) {
        report.origin = Some(OriginCounts::between(&before, &after));
    }
    print(&args.output, &report, report.text())?;
    Ok(verdict(&report.findings()))
}

async fn herd(args: HerdArgs) -> Outcome {
    let target = &args.target;
    let server = Server::find(&target.url, target.way).await?;
    let herd = Herd {
        first_leaves_after: args.leave_first_after,
        lead: args.lead,
        slow: args.slow,
        slow_rate: args.slow_rate,
        slow_for: args.slow_for,
        ..Herd::new(target.path(), args.clients)
    };
    let before = snapshot(&args.output).await?;
    let mut report = herd::drive(&server, (target.way, &target.trust()?), &herd).await?;
    if let (Some(before), Some(after)) = (before, snapshot(&args.output).await?) {
        report.ask(&before, &after, target.path());
    }
    print(&args.output, &report, report.text())?;
    Ok(verdict(&report.findings()))
}

async fn held(args: HeldArgs) -> Outcome {
    let target = &args.target;
    let server = Server::find(&target.url, target.way).await?;
    let origin = Server::find(&args.origin, Way::H1).await?;
    let held = Held {
        path: target.path().to_owned(),
        clients: args.clients,
        streams: args.streams,
        ahead: args.ahead,
        pid: args.pid,
    };
    let report = held::drive((&server, &origin), (target.way, &target.trust()?), &held).await?;
    print(&Output { json: args.json, stats: None }, &report, report.text())?;
    Ok(verdict(&report.findings()))
}

async fn load(args: LoadArgs) -> Outcome {
    let target = &args.target;
    let server = Server::find(&target.url, target.way).await?;
    let load = Load {
        path: target.path().to_owned(),
        connections: args.connections,
        streams: args.streams,
        time: Duration::from_secs(args.seconds),
    };
    let report = load::drive(&server, (target.way, &target.trust()?), &load).await?;
    print(&Output { json: args.json, stats: None }, &report, report.text())?;
    Ok(verdict(&report.findings()))
}

async fn fetch(args: FetchArgs) -> Outcome {
    let target = &args.target;
    let (network, server) = (Network::new(&target.trust()?), Server::find(&target.url, target.way).await?);
    let client = Client::connect_to(server, target.way, &network).await?;
    let headers: Vec<(&str, &str)> = args.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let asked = Instant::now();
    let answer = client.request(args.method, target.path(), &headers, Bytes::new());
    let mut answer = match answer.await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{error}");
            return Ok(Verdict::Finding);
        }
    };
    eprintln!("{:?} {}", answer.version, answer.status);
    for (name, value) in &answer.headers {
        eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut stdout = std::io::stdout();
    let mut first = None;
    let error = loop {
        match answer.chunk().await {
            Ok(None) => break None,
            Err(error) => break Some(error),
            Ok(Some(chunk)) => {
                first.get_or_insert(chunk.at);
                if args.print {
                    stdout.write_all(&chunk.bytes)?;
                }
            }
        }
    };
    stdout.flush()?;
    for (name, value) in answer.trailers().into_iter().flatten() {
        eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let ms = |at: Instant| (at - asked).as_secs_f64() * 1000.0;
    eprintln!(
        "{} bytes; head after {:.1} ms, first byte {:.1} ms, end {:.1} ms",
        answer.got(),
        ms(answer.head_at),
        ms(first.unwrap_or(answer.head_at)),
        ms(Instant::now())
    );
    if let Some(error) = &error {
        eprintln!("{error}");
    }
    let failed = error.is_some() || !answer.status.is_success();
    drop((answer, client));
    goodbye(&network).await;
    Ok(if failed { Verdict::Finding } else { Verdict::Good })
}

/// Lets the servers know that QUIC connections have ended; those that do not answer are not waited for.
async fn goodbye(network: &Network) {
    let _ = tokio::time::timeout(Duration::from_secs(1), network.ended()).await;
}

async fn snapshot(output: &Output) -> Result<Option<Snapshot>, Box<dyn Error>> {
    Ok(match &output.stats {
        Some(url) => Some(Snapshot::take(url).await?),
        None => None,
    })
}

fn print(output: &Output, report: &impl Serialize, text: String) -> Result<(), Box<dyn Error>> {
    let text = match output.json {
        true => format!("{}\n", serde_json::to_string_pretty(report)?),
        false => text,
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn verdict(findings: &[String]) -> Verdict {
    match findings {
        [] => Verdict::Good,
        _ => Verdict::Finding,
    }
}
