//! The demo origin as a program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use weir_loadtest::origin::{Origin, OriginConfig};

/// A live LL-HLS origin that loops an embedded clip as one timeline, with a fault desk.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Example: an origin with parts of 500 ms, played, then broken
  weir-origin --http 127.0.0.1:8090 --control 127.0.0.1:8091 --part-ms 500
  ffplay http://127.0.0.1:8090/live/master.m3u8
  curl -X POST http://127.0.0.1:8091/__faults -d '{\"pattern\":\"/live/v0/seg-*\",\"action\":\"cut\",\"after\":1000,\"count\":3}'
  curl 'http://127.0.0.1:8091/__stats?log=0'

Actions: delay{ms} hold stall{after} cut{after} reset{after?} status{code,location?} html freeze{hold?} rewind{segments}
restart part-target{ms} answer-at-once drip{bytes_per_s} die. Take one back with DELETE /__faults/ID, all with DELETE /__faults."
)]
struct Args {
    /// Address of HTTP/1.1 and HTTP/2 in clear; port 0 chooses one
    #[arg(long, default_value = "127.0.0.1:8090")]
    http: SocketAddr,
    /// Address of the same over TLS
    #[arg(long, default_value = "127.0.0.1:8453", requires = "tls_cert")]
    https: SocketAddr,
    /// Certificate chain in PEM; switches TLS on
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key in PEM
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Address of the control port: fault desk and statistics
    #[arg(long, default_value = "127.0.0.1:8091")]
    control: SocketAddr,
    /// Part target in milliseconds, rounded to frames of 1/30 s
    #[arg(long, default_value_t = 333, value_parser = clap::value_parser!(u64).range(133..=2000))]
    part_ms: u64,
    /// Complete segments in a live playlist
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=3600))]
    window: u64,
    /// Unix milliseconds at which segment 0 begins; the same for origins that shall publish the same bytes
    #[arg(long)]
    epoch_ms: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-origin: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let https = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some((args.https, Arc::new(tls(cert, key)?))),
        _ => None,
    };
    let config = OriginConfig {
        http: args.http,
        https,
        control: args.control,
        part_ms: args.part_ms,
        window: args.window,
        epoch_ms: args.epoch_ms,
        ..OriginConfig::default()
    };
    let running = Origin::start(config).await?;
    println!("stream   http://{}/live/master.m3u8", running.addr());
    if let Some(addr) = running.tls_addr() {
        println!("tls      https://{addr}/live/master.m3u8");
    }
    println!("control  http://{}/__stats", running.control_addr());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(())
}

fn tls(cert: &Path, key: &Path) -> Result<rustls::ServerConfig, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_no_client_auth().with_single_cert(chain, key)?)
}
