//! HTTP/1.1 for load: one request after the other on a connection, answers with a length only.

use std::io;
use std::mem::MaybeUninit;
use std::time::Instant;

use http::{Request, StatusCode};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};

use super::Shared;
use crate::client::{ClientError, tcp::Stream};

const HEAD: usize = 16 << 10;
const BODY: usize = 256 << 10;
/// MSG_TRUNC of Linux: TCP drops what it would copy (tcp(7)).
const DISCARD: i32 = 0x20;

pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    nowhere: Vec<MaybeUninit<u8>>,
}

struct Head {
    status: StatusCode,
    len: usize,
    body: usize,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self { stream, buffer: vec![0; BODY], nowhere: vec![MaybeUninit::uninit(); BODY] })
    }

    pub(super) async fn drive(mut self: Box<Self>, request: &Request<()>, tally: &Shared) -> Result<(), ClientError> {
        let uri = request.uri();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        loop {
            let asked = Instant::now();
            self.stream.write_all(request.as_bytes()).await.map_err(|_| closed())?;
            let (head, got) = self.head().await?;
            tally.bytes(got);
            let mut left = head.body.checked_sub(got).ok_or_else(|| malformed("more than the answer"))?;
            while left > 0 {
                let read = self.discard(left).await.unwrap_or(0);
                if read == 0 {
                    let announced = Some(head.body as u64);
                    return Err(ClientError::Cut { got: (head.body - left) as u64, announced });
                }
                tally.bytes(read);
                left -= read;
            }
            tally.answered(head.status, asked);
        }
    }

    /// One answer that was asked for already: its status, when its first octet came, and its body.
    pub(crate) async fn answer(mut self: Box<Self>) -> Result<(StatusCode, Instant, Vec<u8>), ClientError> {
        let (head, got) = self.head().await?;
        let first = Instant::now();
        let mut body = self.buffer[head.len..head.len + got].to_vec();
        while body.len() < head.body {
            let read = self.stream.read(&mut self.buffer).await.map_err(|_| closed())?;
            if read == 0 {
                return Err(ClientError::Cut { got: body.len() as u64, announced: Some(head.body as u64) });
            }
            body.extend_from_slice(&self.buffer[..read]);
        }
        Ok((head.status, first, body))
    }

    /// The next head, and how much of the body came with it.
    async fn head(&mut self) -> Result<(Head, usize), ClientError> {
        let mut have = 0;
        while have < HEAD {
            let read = self.stream.read(&mut self.buffer[have..HEAD]).await.map_err(|_| closed())?;
            if read == 0 {
                return Err(closed());
            }
            have += read;
            if let Some(head) = parse(&self.buffer[..have])? {
                let got = have - head.len;
                return Ok((head, got));
            }
        }
        Err(malformed("a head above 16 KiB"))
    }

    async fn discard(&mut self, left: usize) -> io::Result<usize> {
        let most = left.min(BODY);
        match &mut self.stream {
            Stream::Clear(stream) => {
                let nowhere = &mut self.nowhere[..most];
                stream.async_io(Interest::READABLE, || SockRef::from(&*stream).recv_with_flags(nowhere, DISCARD)).await
            }
            stream @ Stream::Tls(_) => stream.read(&mut self.buffer[..most]).await,
        }
    }
}

/// The head at the beginning of `bytes`, if it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Head>, ClientError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed("a head that is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
    let status = status.ok_or_else(|| malformed("no status line"))?;
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse().ok());
    let body = length.ok_or_else(|| malformed("an answer without a length"))?;
    Ok(Some(Head { status, len: end + 4, body }))
}

fn closed() -> ClientError {
    ClientError::Closed { code: None }
}

fn malformed(what: &'static str) -> ClientError {
    ClientError::Malformed(what.into())
}
