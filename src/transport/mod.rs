//! Bytes of any protocol become one `Head` and one `Upload`, pass one service, and leave as its response.

pub mod admission;
mod alarm;
pub mod drain;
mod flush;
mod guard;
pub mod h3;
pub mod head;
pub mod inherited;
pub mod listener;
mod paths;
pub mod quic;
pub mod socket;
pub mod steer;
mod stream;
pub mod tcp;
pub mod tls;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Response;

use crate::request::{Head, Upload};

/// What answers requests: `request::serve` in a node, a few lines in a test of a transport.
///
/// A response body that ends in an error is made an error on the wire: the connection is cut (HTTP/1.1), the stream is
/// reset (HTTP/2: INTERNAL_ERROR; HTTP/3: H3_INTERNAL_ERROR). Dropping the future is how a transport says that the
/// viewer has left.
pub trait Service: Clone + Send + Sync + 'static {
    /// What is sent.
    type Body: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + Unpin + 'static;

    /// Answers one request.
    fn serve(&self, head: Head, upload: Upload) -> Pin<Box<dyn Future<Output = Response<Self::Body>> + Send>>;
}
