//! Requests of HTTP/1.x, said octet by octet.

use std::net::SocketAddr;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::corpus::{Case, Seen, cases, octets};
use crate::stage::{Stage, short};
use crate::{all, within};

#[derive(Clone, Deserialize)]
struct Told {
    send: String,
    #[serde(default)]
    ends: bool,
    #[serde(flatten)]
    seen: Seen,
}

/// Asked where the connection is to live on: it answers only if node and viewer agree on where requests end.
const PROBE: &[u8] = b"GET /.weir/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_http_1_is_taken_for_another_or_for_two() {
    let stage = Stage::start().await;
    let address = stage.node.address("http").unwrap();
    let cases = cases::<Told>("http1.toml");
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let faults = all(&cases, |case| async move { within(&case.name, tell(address, &case)).await }).await;
    stage.judge(&cases, |told| &told.seen, faults).await;
}

/// Says the case; what of the answers is not as expected.
async fn tell(address: SocketAddr, case: &Case<Told>) -> Result<(), String> {
    let told = &case.told;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let send = octets(&told.send, &case.id);
    let mut expected = told.seen.statuses();
    let saying = async {
        // The node may close before it has all of it.
        _ = write.write_all(&send).await;
        if !told.seen.closes() {
            _ = write.write_all(PROBE).await;
        }
        if told.ends {
            _ = write.shutdown().await;
        }
    };
    let mut answers = Vec::new();
    let hearing = async {
        // A reset after the last answer is an end too.
        while let Ok(1..) = read.read_buf(&mut answers).await {}
    };
    tokio::join!(saying, hearing);
    if !told.seen.closes() {
        expected.push(200);
    }
    let statuses = statuses(&answers).map_err(|what| format!("{what}: {:?}", short(&answers)))?;
    // A viewer who ends its side may be gone before it is told what for.
    let may_be_gone = told.ends && statuses.iter().all(|status| *status >= 400);
    if statuses != expected && !may_be_gone {
        return Err(format!("answered {statuses:?}, not {expected:?}: {:?}", short(&answers)));
    }
    let is_ours = String::from_utf8_lossy(&answers).contains("{\"reason\":\"");
    if told.seen.refused.is_some() && !may_be_gone && !is_ours {
        return Err(format!("nobody says why: {:?}", short(&answers)));
    }
    let told_to_close = String::from_utf8_lossy(&answers).to_ascii_lowercase().contains("\r\nconnection: close\r\n");
    if told.seen.refused.is_some() && !told_to_close {
        return Err(format!("the answer does not say that the connection ends: {:?}", short(&answers)));
    }
    Ok(())
}

/// The statuses of whole answers that follow each other.
fn statuses(mut octets: &[u8]) -> Result<Vec<u16>, String> {
    let mut statuses = Vec::new();
    while !octets.is_empty() {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n").ok_or("half a head")? + 4;
        let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
        let status: u16 = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or("no status")?;
        octets = &octets[end..];
        if status < 200 {
            continue;
        }
        statuses.push(status);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(octets.len());
        octets = octets.get(length..).ok_or("half a body")?;
    }
    Ok(statuses)
}
