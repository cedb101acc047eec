//! Answers of HTTP/1.x origins, said octet by octet, each by an origin of its own, so that none suffers from what the
//! node has come to think of another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::corpus::{Case, cases, octets};
use crate::stage::{files, node, short};
use crate::{all, within};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    answer: String,
    #[serde(default)]
    asks: Option<String>,
    #[serde(default)]
    stays: bool,
    gets: String,
    #[serde(default)]
    reused: bool,
}

/// The request lines of each connection of an origin.
type Records = Arc<Mutex<Vec<Vec<String>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_malformed_answer_is_passed_on_stored_or_followed_by_another() {
    let cases = cases::<Told>("answers.toml");
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut records = HashMap::new();
    let mut tables = String::new();
    for case in &cases {
        let (address, record) = origin(case).await;
        let id = &case.id;
        tables += &format!("[origins.{id}]\nurl = \"http://{address}\"\n");
        records.insert(case.id.clone(), record);
    }
    for Case { id, .. } in &cases {
        tables += &format!("[[route]]\nname = \"{id}\"\nhost = [\"{id}.x\"]\norigins = [\"{id}\"]\n");
    }
    let (_authority, folder) = files();
    let node = node(folder.path(), &tables).await;
    let address = node.address("http").unwrap();
    let tell = |case: Case<Told>| {
        let record = records[&case.id].clone();
        async move { within(&case.name, tell_until_reused(address, &case, &record)).await }
    };
    let mut faults = all(&cases, tell).await;
    node.stop().await;
    for case in &cases {
        let record = &records[&case.id];
        if is_reused(record) != case.told.reused {
            faults.push(format!("{}: the connections were used so: {:?}", case.name, record.lock()));
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

/// Whether a connection was used on after a bad answer.
fn is_reused(record: &Records) -> bool {
    let bad = |requests: &Vec<String>| requests.iter().position(|line| line.contains("/bad"));
    record.lock().iter().any(|requests| bad(requests).is_some_and(|at| at + 1 < requests.len()))
}

/// Tells a case. One whose connection may be used again is told again until it was: who comes before it is back finds
/// another one.
async fn tell_until_reused(address: SocketAddr, case: &Case<Told>, record: &Records) -> Result<(), String> {
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        tell(address, case).await?;
        if !case.told.reused || is_reused(record) {
            break;
        }
    }
    Ok(())
}

/// An origin that says the case's answer to whatever is bad, and a good one to the rest.
async fn origin(case: &Case<Told>) -> (SocketAddr, Records) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let records = Records::default();
    let (kept, told) = (records.clone(), Arc::new(case.told.clone()));
    let answer = Arc::<[u8]>::from(octets(&told.answer, &case.id));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let at = kept.lock().len();
            kept.lock().push(Vec::new());
            tokio::spawn(serve(stream, (kept.clone(), at), (told.clone(), answer.clone())));
        }
    });
    (address, records)
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: no-store\r\n\r\ngood";

async fn serve(mut stream: TcpStream, (records, at): (Records, usize), (told, answer): (Arc<Told>, Arc<[u8]>)) {
    let mut octets = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut octets).await {
        while let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&octets[..end]).into_owned();
            octets.drain(..end + 4);
            let line = head.lines().next().unwrap().to_owned();
            let is_good = line.contains("/good");
            records.lock()[at].push(line);
            // The node may close before it has all of it.
            _ = stream.write_all(if is_good { GOOD } else { &answer }).await;
            if !is_good && !told.stays {
                _ = stream.shutdown().await;
            }
        }
    }
}

/// A bad answer, a good one, the bad one again; what of them is not as expected.
async fn tell(address: SocketAddr, case: &Case<Told>) -> Result<(), String> {
    let method = case.told.asks.as_deref().unwrap_or("GET");
    for (method, path) in [(method, "bad"), ("GET", "good"), (method, "bad")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Conditions of writers go to the origin as they are, and so does the method.
        let condition = if case.told.asks.is_some() { "If-Match: *\r\n" } else { "" };
        let fields = format!("Host: {}.x\r\n{condition}Connection: close\r\n", case.id);
        let request = format!("{method} /{path} HTTP/1.1\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        // A cut may be a reset.
        while let Ok(1..) = stream.read_buf(&mut octets).await {}
        let got = got(&octets, method);
        let expected = if path == "good" { "200 good" } else { &case.told.gets };
        if !expected.split(" or ").any(|expected| is(&got, expected)) {
            return Err(format!("/{path} got {got:?}, not {expected:?}: {:?}", short(&octets)));
        }
    }
    Ok(())
}

/// What a viewer got.
#[derive(Debug)]
pub enum Got {
    Whole(u16, String),
    Cut,
}

/// Whether it is what was expected: `cut`, a status, or a status and a body.
pub fn is(got: &Got, expected: &str) -> bool {
    match (got, expected.split_once(' ')) {
        (Got::Cut, _) => expected == "cut",
        (Got::Whole(status, body), Some((wanted, text))) => status.to_string() == wanted && body == text,
        (Got::Whole(status, _), None) => status.to_string() == expected,
    }
}

/// The octets behind interim answers (RFC 9110 §15.2).
fn after_interims(mut octets: &[u8]) -> &[u8] {
    while octets.starts_with(b"HTTP/1.1 1")
        && let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n")
    {
        octets = &octets[end + 4..];
    }
    octets
}

/// What a viewer who asked by `method` makes of the octets of a connection.
pub fn got(octets: &[u8], method: &str) -> Got {
    let octets = after_interims(octets);
    let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { return Got::Cut };
    let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
    let Some(status) = head.get(9..12).and_then(|digits| digits.parse().ok()) else { return Got::Cut };
    let body = &octets[end + 4..];
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let body = match (value("content-length:"), value("transfer-encoding:")) {
        _ if method == "HEAD" || status == 204 || status == 304 => Some(body.to_vec()),
        (Some(length), None) => Some(body.to_vec()).filter(|body| Ok(body.len()) == length.parse()),
        (None, Some("chunked")) => dechunked(body),
        _ => Some(body.to_vec()),
    };
    match body {
        Some(body) => Got::Whole(status, String::from_utf8_lossy(&body).into_owned()),
        None => Got::Cut,
    }
}

fn dechunked(mut octets: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = octets.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&octets[..end]).ok()?, 16).ok()?;
        body.extend_from_slice(octets.get(end + 2..end + 2 + size)?);
        octets = octets.get(end + 2 + size..)?.strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some(body).filter(|_| octets.is_empty());
        }
    }
}
