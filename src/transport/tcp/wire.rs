//! One connection's socket, TLS session, way in and way out, shared between hyper, which reads and writes, and the
//! driver, which flushes, watches and judges time. Both run in one task, so its lock is never contended.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::ReadBufCursor;
use parking_lot::Mutex;

use crate::clock::{Clock, Tick};
use crate::request::Line;
use crate::transport::flush::{Outlet, Session};
use crate::transport::guard::Inlet;
use crate::transport::stream::Socket;

/// Between two questions to the kernel how the way to the viewer is.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The lower half of a connection.
pub(super) struct Wire {
    pub(super) socket: Socket,
    pub(super) session: Session,
    pub(super) inlet: Inlet,
    pub(super) outlet: Outlet,
    /// The time of the present poll.
    pub(super) now: Tick,
    /// hyper has written all it had.
    pub(super) is_flushed: bool,
    /// The viewer closed its side and was given a turn since.
    pub(super) leaving: bool,
    /// What is known of the way to the viewer, and since when.
    pub(super) line: Line,
    looked: Option<Tick>,
}

impl Wire {
    pub(super) fn new(socket: Socket, session: Session, inlet: Inlet, clock: &Clock) -> Self {
        let (outlet, now, line) = (Outlet::default(), clock.now(), Line::new());
        Self { socket, session, inlet, outlet, now, is_flushed: true, leaving: false, line, looked: None }
    }

    /// Says how the way to the viewer is, where that was not said a moment ago.
    pub(super) fn look(&mut self) {
        if self.looked.is_none_or(|looked| self.now.since(looked) >= BETWEEN_LOOKS) {
            self.looked = Some(self.now);
            if let Some(sample) = self.socket.sample() {
                self.line.say(sample);
            }
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.outlet.poll_write(cx, (&mut self.socket, &mut self.session), slices, self.now)
    }

    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outlet.poll_out(cx, (&mut self.socket, &mut self.session), self.now)
    }

    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.inlet.poll_watch(cx, (&mut self.socket, &mut self.session))
    }

    /// After what was written, TLS says that this was all (`close_notify`).
    pub(super) fn end_session(&mut self) -> io::Result<()> {
        self.outlet.end(&mut self.session)
    }

    /// Writes out what is left and ends the sending side.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        self.socket.poll_shutdown(cx)
    }
}

/// hyper's end of a wire.
pub(super) struct Io(pub(super) Arc<Mutex<Wire>>);

impl hyper::rt::Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.lock();
        wire.inlet.poll_read(cx, (&mut wire.socket, &mut wire.session), cursor)
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock();
        wire.is_flushed = false;
        wire.poll_write(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock();
        wire.is_flushed = false;
        wire.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing but a note, for hyper asks once it has nothing left: the driver flushes once per poll of the connection.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().is_flushed = true;
        Poll::Ready(Ok(()))
    }

    /// Nothing: the driver closes, and knows how.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
