//! What stands between a connection to an origin and hyper on the way in: the strict reader of HTTP/1.x answers. What
//! is refused reaches hyper as an error of invalid data, after what came before it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rules::http1::{Answers, Asked, Bounds, Fault, Step};

/// A byte stream whose answers are judged as they come.
pub(super) struct Guarded<W> {
    wire: W,
    answers: SharedAnswers,
    refused: Option<Fault>,
}

/// The reader of answers, shared with whoever sends the requests. Both are of one connection, and its lock is held for a
/// few lines.
#[derive(Clone)]
pub(super) struct SharedAnswers(Arc<Mutex<Answers>>);

impl SharedAnswers {
    /// A request is about to be sent.
    pub(super) fn ask(&self, asked: Asked) {
        self.0.lock().ask(asked);
    }

    /// Whether octets came that nobody asked for.
    pub(super) fn has_surplus(&self) -> bool {
        self.0.lock().has_surplus()
    }
}

impl<W> Guarded<W> {
    /// Guards a wire on which nothing was said yet.
    pub(super) fn new(wire: W, bounds: Bounds) -> (Self, SharedAnswers) {
        let answers = SharedAnswers(Arc::new(Mutex::new(Answers::new(bounds))));
        (Self { wire, answers: answers.clone(), refused: None }, answers)
    }

    /// The wire itself, to be closed.
    pub(super) fn into_inner(self) -> W {
        self.wire
    }
}

fn refusal(fault: Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

impl<W: AsyncRead + Unpin> AsyncRead for Guarded<W> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(fault) = this.refused {
            return Poll::Ready(Err(refusal(fault)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
        match this.answers.0.lock().feed(&buf.filled()[before..]) {
            Step::Pass => Poll::Ready(Ok(())),
            Step::Refuse { pass, fault } => {
                this.refused = Some(fault);
                buf.set_filled(before + pass);
                // No octets would be the end of the stream.
                if pass == 0 { Poll::Ready(Err(refusal(fault))) } else { Poll::Ready(Ok(())) }
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Guarded<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}
