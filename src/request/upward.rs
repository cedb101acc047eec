//! The body of a request as the origin gets it: within the route's limit, and never whole unless the viewer's was.
//!
//! HTTP/2 and 3 carry a length beside a framing of their own, and a body that goes beyond its length makes the request
//! malformed, which nobody may forward (RFC 9113 §8.1.1, RFC 9114 §4.1.2). An origin that speaks HTTP/1.1 takes a
//! request for whole as soon as it has the length that was announced. So the octets that fill it wait for the end of
//! the stream, and a request that announces none waits as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Upload, UploadError};

/// A body on its way to the origin.
pub struct Upward {
    upload: Upload,
    /// Octets that the route still forwards.
    left: u64,
    /// Octets that are still to come, where a length was announced.
    announced: Option<u64>,
    /// What may go up once the end has been seen; afterwards what follows it.
    withheld: Option<Frame<Bytes>>,
    ended: bool,
    exceeded: Arc<AtomicBool>,
}

/// Why a request body could not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpwardError {
    /// It is longer than the route's `max_body`.
    #[error("the request body is larger than the route forwards")]
    TooLarge,
    /// It never came whole.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl Upward {
    /// What there is of `upload`, up to `limit` octets; `exceeded` says afterwards whether there were more. `None`
    /// where it is empty: the end of an announced emptiness is waited for.
    ///
    /// # Errors
    /// Where something came of a body that was announced as empty, or its end did not.
    pub async fn of(upload: Upload, limit: u64, exceeded: Arc<AtomicBool>) -> Result<Option<Self>, UpwardError> {
        let announced = match upload {
            Upload::Empty => return Ok(None),
            Upload::Streaming(_) => upload.size_hint().exact(),
        };
        let mut body = Self { upload, left: limit, announced, withheld: None, ended: false, exceeded };
        if announced != Some(0) {
            return Ok(Some(body));
        }
        match std::future::poll_fn(|cx| body.poll_upload(cx)).await {
            Some(Err(error)) => Err(error),
            // Trailers of nothing have no body to follow.
            Some(Ok(_)) | None => Ok(None),
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpwardError>>> {
        while !self.ended {
            let Some(frame) = ready!(Pin::new(&mut self.upload).poll_frame(cx)).transpose()? else {
                self.ended = true;
                break;
            };
            if frame.is_trailers() {
                // They are the end, and come after what was withheld.
                self.ended = true;
                let last = self.withheld.replace(frame);
                if last.is_some() {
                    return Poll::Ready(last.map(Ok));
                }
            } else if !self.count(frame.data_ref().map_or(0, |data| data.len() as u64))? {
                return Poll::Ready(Some(Ok(frame)));
            } else if self.withheld.is_none() {
                self.withheld = Some(frame);
            }
        }
        Poll::Ready(self.withheld.take().map(Ok))
    }

    /// Counts octets; whether they are the last of those announced.
    fn count(&mut self, octets: u64) -> Result<bool, UpwardError> {
        self.left = self.left.checked_sub(octets).ok_or_else(|| {
            self.exceeded.store(true, Ordering::Relaxed);
            UpwardError::TooLarge
        })?;
        let Some(announced) = &mut self.announced else { return Ok(false) };
        *announced = announced.checked_sub(octets).ok_or(UploadError::Malformed)?;
        Ok(*announced == 0)
    }
}

impl Body for Upward {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(self.get_mut().poll_upload(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.withheld.is_none() && (self.ended || self.upload.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let withheld = self.withheld.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        self.announced.map_or_else(|| self.upload.size_hint(), |left| SizeHint::with_exact(left + withheld))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::task::Waker;

    use http::HeaderMap;
    use http_body_util::BodyExt as _;

    use super::*;

    /// Frames of a viewer; `None` stands for those that have not come yet.
    struct Told {
        length: Option<u64>,
        frames: VecDeque<Option<Result<Frame<Bytes>, UploadError>>>,
    }

    impl Body for Told {
        type Data = Bytes;
        type Error = UploadError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
            match self.frames.pop_front() {
                Some(None) => {
                    self.frames.push_front(None);
                    Poll::Pending
                }
                Some(frame) => Poll::Ready(frame),
                None => Poll::Ready(None),
            }
        }

        fn size_hint(&self) -> SizeHint {
            self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn data(text: &'static str) -> Option<Result<Frame<Bytes>, UploadError>> {
        Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    fn trailers() -> Option<Result<Frame<Bytes>, UploadError>> {
        Some(Ok(Frame::trailers(HeaderMap::new())))
    }

    /// What the origin gets of a body: octets, `T` for trailers, `.` for the end, `?` for a wait, `!` for an error.
    fn upward(length: Option<u64>, frames: Vec<Option<Result<Frame<Bytes>, UploadError>>>) -> String {
        let upload = Upload::Streaming(Box::pin(Told { length, frames: frames.into() }));
        let mut body = match now(Upward::of(upload, 8, Arc::default())) {
            Poll::Pending => return "?".to_owned(),
            Poll::Ready(Err(_)) => return "!".to_owned(),
            Poll::Ready(Ok(None)) => return ".".to_owned(),
            Poll::Ready(Ok(Some(body))) => body,
        };
        let mut told = String::new();
        loop {
            match now(body.frame()) {
                Poll::Pending => return told + "?",
                Poll::Ready(None) => return told + ".",
                Poll::Ready(Some(Err(_))) => return told + "!",
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => told.push_str(std::str::from_utf8(&data).unwrap()),
                    Err(_) => told.push('T'),
                },
            }
        }
    }

    #[test]
    fn no_malformed_body_goes_up_whole() {
        let broken = || Some(Err(UploadError::Malformed));
        let table = [
            ("as announced", Some(4), vec![data("he"), data("ll")], "hell."),
            ("its end has not come", Some(4), vec![data("he"), data("ll"), None], "he?"),
            ("more than announced", Some(4), vec![data("he"), data("ll"), data("o")], "he!"),
            ("more than announced at once", Some(4), vec![data("hello")], "!"),
            ("the transport finds it malformed", Some(4), vec![data("hell"), broken()], "!"),
            ("nothing after the last octet", Some(4), vec![data("hell"), data(""), data("")], "hell."),
            ("trailers after the last octet", Some(4), vec![data("hell"), trailers()], "hellT."),
            ("announced as empty", Some(0), vec![], "."),
            ("announced as empty, and trailers", Some(0), vec![trailers()], "."),
            ("announced as empty, and its end has not come", Some(0), vec![None], "?"),
            ("announced as empty, and it is not", Some(0), vec![data("x")], "!"),
            ("of no length", None, vec![data("he"), data("ll"), None], "hell?"),
            ("of no length, with trailers", None, vec![data("he"), trailers()], "heT."),
            ("beyond the limit", None, vec![data("12345678"), data("9")], "12345678!"),
        ];
        for (name, length, frames, expected) in table {
            assert_eq!(upward(length, frames), expected, "{name}");
        }
    }
}
