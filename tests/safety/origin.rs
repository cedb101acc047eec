//! An origin that keeps every octet on every connection, reads requests as strictly as it can, and answers each.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `method target version`.
    pub line: String,
    /// Names and values as they stood.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub requests: Vec<Recorded>,
    /// Octets that are no whole request.
    pub rest: Vec<u8>,
    /// Why what came is no request as the node should write it.
    pub fault: Option<String>,
}

type Records = Arc<Mutex<Vec<Connection>>>;

/// The origin.
pub struct Origin {
    pub address: SocketAddr,
    records: Records,
    accepting: JoinHandle<()>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let records = Records::default();
        let kept = records.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let at = {
                    let mut records = kept.lock();
                    records.push(Connection::default());
                    records.len() - 1
                };
                tokio::spawn(serve(stream, kept.clone(), at));
            }
        });
        Self { address, records, accepting }
    }

    /// Everything that came, once nobody is connected any more.
    pub async fn end(self) -> Vec<Connection> {
        self.accepting.abort();
        _ = self.accepting.await;
        // The last connection's task gives up its share of the records when it has read the end.
        let mut records = self.records;
        loop {
            match Arc::try_unwrap(records) {
                Ok(records) => return records.into_inner(),
                Err(shared) => records = shared,
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(mut stream: TcpStream, records: Records, at: usize) {
    let mut octets = Vec::new();
    let mut fault = None;
    while let Ok(1..) = stream.read_buf(&mut octets).await {
        loop {
            match parse(&octets) {
                Ok(Some((request, length))) => {
                    let silent = request.line.starts_with("HEAD ");
                    records.lock()[at].requests.push(request);
                    octets.drain(..length);
                    let body = if silent { "" } else { "ok" };
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\n{body}");
                    _ = stream.write_all(answer.as_bytes()).await;
                }
                Ok(None) => break,
                Err(what) => {
                    fault = fault.or(Some(what));
                    break;
                }
            }
        }
    }
    let mut records = records.lock();
    records[at].rest = octets;
    records[at].fault = fault;
}

/// One request off the front, in the one form that the node writes, and its length; none while it is not whole.
pub fn parse(octets: &[u8]) -> Result<Option<(Recorded, usize)>, String> {
    let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = &octets[..end];
    let mut lines = split(head);
    let line = String::from_utf8(lines.remove(0)).map_err(|_| "a request line outside ASCII")?;
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.windows(2).position(|two| two == b": ").ok_or("a field without a colon and a blank")?;
        let name = String::from_utf8(line[..colon].to_vec()).map_err(|_| "a name outside ASCII")?;
        if name.is_empty() || name.bytes().any(|octet| octet.is_ascii_uppercase() || octet <= b' ' || octet == b':') {
            return Err(format!("the name {name:?}"));
        }
        let value = line[colon + 2..].to_vec();
        if value.iter().any(|octet| (*octet < 0x20 && *octet != b'\t') || *octet == 0x7f) {
            return Err(format!("the value {:?}", String::from_utf8_lossy(&value)));
        }
        fields.push((name, value));
    }
    if line.split(' ').count() != 3 || !line.ends_with(" HTTP/1.1") {
        return Err(format!("the request line {line:?}"));
    }
    let all = |name: &str| -> Vec<Vec<u8>> {
        fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
    };
    if all("host").len() != 1 {
        return Err(format!("{} times Host", all("host").len()));
    }
    let body = &octets[end + 4..];
    let found = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some((Vec::new(), 0)),
        ([length], []) => {
            let text = String::from_utf8_lossy(length).into_owned();
            let length: usize = text.parse().map_err(|_| format!("the length {text:?}"))?;
            (length.to_string() == text).then_some(()).ok_or(format!("the length {text:?}"))?;
            body.get(..length).map(|body| (body.to_vec(), length))
        }
        ([], [coding]) if coding == b"chunked" => chunks(body)?,
        other => return Err(format!("the framing {other:?}")),
    };
    Ok(found.map(|(body, length)| (Recorded { line, fields, body }, end + 4 + length)))
}

fn split(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut at = 0;
    while at < head.len() {
        if head[at..].starts_with(b"\r\n") {
            lines.push(Vec::new());
            at += 2;
        } else {
            lines.last_mut().unwrap().push(head[at]);
            at += 1;
        }
    }
    lines
}

/// Chunks without extensions and trailers, their sizes without leading zeros.
fn chunks(octets: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = octets[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&octets[at..at + end]).into_owned();
        let size = usize::from_str_radix(&text, 16).map_err(|_| format!("the chunk size {text:?}"))?;
        if format!("{size:X}") != text {
            return Err(format!("the chunk size {text:?}"));
        }
        let begin = at + end + 2;
        let Some(chunk) = octets.get(begin..begin + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk of another length".to_owned());
        }
        body.extend_from_slice(&chunk[..size]);
        at = begin + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// What the node says of itself in every request.
const OWN: [&str; 6] = ["host", "via", "cdn-loop", "x-forwarded-for", "x-forwarded-proto", "accept-encoding"];

impl Recorded {
    /// Without what the node adds, the fields in the order of their names, an empty line and a body where there is one.
    pub fn told(&self) -> Vec<u8> {
        let mut fields: Vec<_> = self.fields.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
        fields.sort();
        let mut told = self.line.clone().into_bytes();
        for (name, value) in fields {
            told.extend_from_slice(b"\r\n");
            told.extend_from_slice(name.as_bytes());
            told.extend_from_slice(b": ");
            told.extend_from_slice(value);
        }
        if !self.body.is_empty() {
            told.extend_from_slice(b"\r\n\r\n");
            told.extend_from_slice(&self.body);
        }
        told
    }

    /// What of a request the node itself has to say, and how, given where it leads.
    pub fn is_signed(&self, host: &str, name: &str) -> bool {
        let value = |wanted: &str| {
            let all: Vec<_> = self.fields.iter().filter(|(name, _)| name == wanted).collect();
            all.last().map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        value("host").as_deref() == Some(host)
            && value("via").is_some_and(|via| via.ends_with(name))
            && value("cdn-loop").is_some_and(|passed| passed.contains(name))
            && value("x-forwarded-for").is_none_or(|address| address == "127.0.0.1")
    }
}
