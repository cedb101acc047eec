//! The body of a request on its way up, whatever protocol carries it. Reading it is what gives the viewer room to send
//! more; dropping it unread tells the transport that the rest is not wanted.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A request body.
#[derive(Default)]
pub enum Upload {
    /// There is none.
    #[default]
    Empty,
    /// It arrives as it is read.
    Streaming(Pin<Box<dyn Body<Data = Bytes, Error = UploadError> + Send>>),
}

/// Why a request body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The viewer went away or cancelled.
    #[error("the viewer stopped sending the request body")]
    Cancelled,
    /// The body disagrees with its announced length or framing.
    #[error("the request body is malformed")]
    Malformed,
    /// No byte came in time.
    #[error("the request body stalled")]
    Stalled,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(body) => body.size_hint(),
        }
    }
}
