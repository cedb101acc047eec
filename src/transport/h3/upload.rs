//! The way of a request body from its stream to whoever reads it, perhaps in another task. It holds at most
//! [`WINDOW`] octets: the stream is read only while there is room, so a body that nobody reads stays with the client.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::request::UploadError;

/// Octets that wait for the reader.
pub const WINDOW: usize = 64 << 10;
/// Pieces that wait for the reader: small ones count for more than their octets.
const PIECES: usize = 256;

struct Shared {
    pieces: VecDeque<Bytes>,
    held: usize,
    end: Option<Result<(), UploadError>>,
    reader: Option<Waker>,
    is_dropped: bool,
}

/// The end at the stream.
pub struct UploadSender(Arc<Mutex<Shared>>);

/// The end at the reader.
pub struct UploadBody {
    shared: Arc<Mutex<Shared>>,
    stream: Waker,
    left: Option<u64>,
}

/// A way for a body of `length` octets, if that is announced. `stream` is woken when there is room again, and when
/// the reader is dropped.
pub fn upload(length: Option<u64>, stream: Waker) -> (UploadSender, UploadBody) {
    let shared =
        Arc::new(Mutex::new(Shared { pieces: VecDeque::new(), held: 0, end: None, reader: None, is_dropped: false }));
    (UploadSender(shared.clone()), UploadBody { shared, stream, left: length })
}

impl UploadSender {
    /// How many octets may be read from the stream for it now; `None`: the reader is gone.
    pub fn room(&self) -> Option<usize> {
        let shared = self.0.lock();
        match shared.is_dropped {
            true => None,
            false if shared.pieces.len() >= PIECES => Some(0),
            false => Some(WINDOW.saturating_sub(shared.held)),
        }
    }

    /// Passes a piece on, copied: as it came it may hold a buffer many times its size. The caller has asked for
    /// [`room`](Self::room) before.
    pub fn push(&self, piece: &[u8]) {
        let reader = {
            let mut shared = self.0.lock();
            if shared.is_dropped || piece.is_empty() {
                return;
            }
            shared.held += piece.len();
            shared.pieces.push_back(Bytes::copy_from_slice(piece));
            shared.reader.take()
        };
        wake(reader);
    }

    /// The body ends, well or not; the first call counts.
    pub fn end(&self, how: Result<(), UploadError>) {
        let reader = {
            let mut shared = self.0.lock();
            shared.end.get_or_insert(how);
            shared.reader.take()
        };
        wake(reader);
    }
}

impl Drop for UploadSender {
    fn drop(&mut self) {
        self.end(Err(UploadError::Cancelled));
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let piece = {
            let mut shared = self.shared.lock();
            match (shared.pieces.pop_front(), shared.end) {
                (Some(piece), _) => {
                    shared.held -= piece.len();
                    piece
                }
                (None, Some(Ok(()))) => return Poll::Ready(None),
                (None, Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                (None, None) => {
                    shared.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        self.stream.wake_by_ref();
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.lock();
        shared.pieces.is_empty() && shared.end == Some(Ok(()))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        {
            let mut shared = self.shared.lock();
            shared.is_dropped = true;
            shared.pieces.clear();
            shared.held = 0;
        }
        self.stream.wake_by_ref();
    }
}
