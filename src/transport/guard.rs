//! What stands between the socket and hyper on the way in: the strict reader of HTTP/1.x framing, the clock of a head,
//! and the watch for a viewer that leaves.
//!
//! hyper reads nothing while an HTTP/1.1 request waits for its answer (`half_close`), which saves a read buffer for
//! each held request; so whoever drives the connection calls [`Inlet::poll_watch`], which reads ahead a bounded piece
//! and sees the end of the stream. After a refusal hyper sees the end of the stream, finishes what came before,
//! and the driver answers for the refused request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::rt::ReadBufCursor;
use rustls::ServerConnection;

use crate::clock::Tick;
use crate::rules::http1::{Fault, Guard, Step};
use crate::rules::http2::HeadWatch;
use crate::transport::flush::Session;
use crate::transport::paths::Paths;
use crate::transport::stream::{Blocking, Socket};

/// Octets read ahead while a request waits.
const AHEAD: usize = 16 << 10;
/// One read of a cleartext socket.
const READ: usize = 16 << 10;

thread_local! {
    // Connections read into one buffer and copy what came: an idle connection holds no read buffer of ours.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What looks at the octets that come.
pub(super) enum Reader {
    /// HTTP/1.x: judged before hyper sees them; what stands raw in a query is percent-encoded, for hyper refuses it.
    Http1(Guard),
    /// HTTP/2: they pass unseen, but for where heads begin and end, for floods, and for what stands raw in a query.
    Http2(HeadWatch, Paths),
}

impl Reader {
    fn feed(&mut self, octets: &[u8], now: Tick) -> Step {
        match self {
            Self::Http1(guard) => guard.feed(octets),
            Self::Http2(watch, _) => {
                watch.feed(octets, now);
                Step::Pass
            }
        }
    }

    /// What goes on of the last piece, of which `pass` octets may pass.
    fn onward<'o>(&mut self, piece: &'o [u8], pass: usize) -> Cow<'o, [u8]> {
        match self {
            Self::Http1(guard) => guard.onward(piece, pass),
            Self::Http2(_, paths) => paths.pass(piece),
        }
    }

    fn in_head(&self) -> bool {
        match self {
            Self::Http1(guard) => guard.in_head(),
            Self::Http2(watch, _) => watch.in_head(),
        }
    }

    /// Heads that have ended.
    fn heads(&self) -> u64 {
        match self {
            Self::Http1(guard) => guard.heads(),
            Self::Http2(watch, _) => watch.heads(),
        }
    }
}

/// The way into a connection.
pub(super) struct Inlet {
    reader: Reader,
    ahead: BytesMut,
    /// Whether `ahead` begins with a new message rather than the rest of a body.
    ahead_is_next: bool,
    /// Whether the connection itself waits for octets, and so sees the end of the stream by itself.
    reading: bool,
    state: Input,
    now: Tick,
    head_since: Option<Tick>,
    last_read: Option<Tick>,
    /// Set once octets were refused: what hyper then takes for a viewer that left is a malformed body.
    malformed: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
    Refused { fault: Fault, in_body: bool },
}

impl Inlet {
    /// The way into a connection whose octets nobody has seen yet.
    pub(super) fn new(reader: Reader, malformed: Arc<AtomicBool>) -> Self {
        Self {
            reader,
            ahead: BytesMut::new(),
            ahead_is_next: false,
            reading: false,
            state: Input::Open,
            now: Tick::default(),
            head_since: None,
            last_read: None,
            malformed,
        }
    }

    /// Since when a head has been arriving.
    pub(super) fn head_since(&self) -> Option<Tick> {
        self.head_since
    }

    /// When octets came last.
    pub(super) fn last_read(&self) -> Option<Tick> {
        self.last_read
    }

    /// The fault in a head, which nobody above has seen.
    pub(super) fn refused_head(&self) -> Option<Fault> {
        match self.state {
            Input::Refused { fault, in_body: false } => Some(fault),
            Input::Refused { in_body: true, .. } | Input::Open | Input::Ended => None,
        }
    }

    /// Whether the viewer has closed its side and nothing of the present request is left to read.
    pub(super) fn has_left(&self) -> bool {
        self.state == Input::Ended && (self.ahead.is_empty() || self.ahead_is_next)
    }

    /// Whether the viewer sends frames that carry nothing faster than it may.
    pub(super) fn floods(&self) -> bool {
        matches!(&self.reader, Reader::Http2(watch, _) if watch.floods())
    }

    /// Whether the viewer has closed its side.
    pub(super) fn has_ended(&self) -> bool {
        self.state == Input::Ended
    }

    /// Forgets that the connection waits for octets; called before each poll of it.
    pub(super) fn begin_pass(&mut self, now: Tick) {
        self.now = now;
        self.reading = false;
    }

    /// hyper's read.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        (socket, session): (&mut Socket, &mut Session),
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(cursor.remaining());
            cursor.put_slice(&self.ahead[..taken]);
            self.ahead.advance(taken);
            self.ahead_is_next = false;
            if self.ahead.is_empty() {
                self.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let max = cursor.remaining();
        let mut rest = BytesMut::new();
        let received = loop {
            let received = self.poll_receive(cx, (&mut *socket, &mut *session), max, |octets| {
                // What was percent-encoded may be more than was read.
                let (fitting, more) = octets.split_at(octets.len().min(max));
                cursor.put_slice(fitting);
                rest.extend_from_slice(more);
            });
            // Nothing would be the end; the beginning of a line or frame is held.
            let is_held = matches!(received, Poll::Ready(Ok(()))) && cursor.remaining() == max;
            if !is_held || self.state != Input::Open {
                break received;
            }
        };
        self.ahead = rest;
        self.ahead_is_next = false;
        self.reading = received.is_pending();
        received
    }

    /// Reads ahead where the connection does not read, until the socket has nothing, the viewer has left, or enough
    /// is held.
    pub(super) fn poll_watch(
        &mut self,
        cx: &mut Context<'_>,
        (socket, session): (&mut Socket, &mut Session),
    ) -> io::Result<()> {
        if matches!(self.reader, Reader::Http2(..)) || self.reading {
            return Ok(());
        }
        while self.state == Input::Open && self.ahead.len() < AHEAD {
            if self.ahead.is_empty() {
                self.ahead_is_next = matches!(&self.reader, Reader::Http1(guard) if guard.goes_on_between());
            }
            let room = AHEAD - self.ahead.len();
            let mut ahead = std::mem::take(&mut self.ahead);
            let received =
                self.poll_receive(cx, (&mut *socket, &mut *session), room, |octets| ahead.extend_from_slice(octets));
            self.ahead = ahead;
            match received {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Gives the next octets that may pass to `take`; none at the end.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        (socket, session): (&mut Socket, &mut Session),
        max: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if self.state != Input::Open {
            return Poll::Ready(Ok(()));
        }
        let mut judged = |octets: &[u8]| {
            let pass = self.judge(octets);
            take(&self.reader.onward(octets, pass));
        };
        match session {
            Session::Clear => SCRATCH.with_borrow_mut(|scratch| {
                let room = max.min(scratch.len());
                let read = ready!(socket.poll_read(cx, &mut scratch[..room]))?;
                judged(&scratch[..read]);
                Poll::Ready(Ok(()))
            }),
            Session::Tls(tls) => poll_opened(cx, socket, tls, max, judged),
        }
    }

    /// How many of the octets may pass. No octets are the end.
    fn judge(&mut self, octets: &[u8]) -> usize {
        let now = self.now;
        if octets.is_empty() {
            self.state = Input::Ended;
            self.head_since = None;
            return 0;
        }
        self.last_read = Some(now);
        let heads = self.reader.heads();
        let step = self.reader.feed(octets, now);
        if self.reader.heads() != heads {
            self.head_since = None;
        }
        self.head_since = if self.reader.in_head() { self.head_since.or(Some(now)) } else { None };
        match step {
            Step::Pass => octets.len(),
            Step::Refuse { pass, fault } => {
                let in_body = matches!(&self.reader, Reader::Http1(guard) if guard.refused_in_body());
                self.state = Input::Refused { fault, in_body };
                self.malformed.store(true, Ordering::Relaxed);
                pass
            }
        }
    }
}

/// The next plaintext of a TLS connection; no octets at its end, which a viewer may leave unannounced: every message
/// of HTTP says itself where it ends.
fn poll_opened(
    cx: &mut Context<'_>,
    socket: &mut Socket,
    tls: &mut ServerConnection,
    max: usize,
    mut take: impl FnMut(&[u8]),
) -> Poll<io::Result<()>> {
    loop {
        match tls.reader().into_first_chunk() {
            Ok(chunk) => {
                let taken = chunk.len().min(max);
                take(&chunk[..taken]);
                tls.reader().consume(taken);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                take(&[]);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        match tls.read_tls(&mut Blocking { socket, cx }) {
            Ok(_) => {
                _ = tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
