//! What is sent. A body that cannot be completed ends in an error, which every protocol turns into an error on the
//! wire; it never ends early and looks whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::cache::{FillEnd, FillReader, ObjectReader};
use crate::origin::{AnswerBody, FetchError};
use crate::sessions::Attached;

use super::account::Account;
use super::meter::Metered;

/// The body of an answer, with what must live as long as it does.
pub struct Body {
    content: Content,
    account: Option<Box<Account>>,
    /// Whose it is, where that is asked for.
    session: Option<Box<Attached>>,
}

/// Where the octets of a body come from.
pub enum Content {
    /// There are none.
    Empty,
    /// All at once.
    Full(Bytes),
    /// In pieces that all viewers of a playlist share.
    Chunks(Chunks),
    /// From a stored object, or a range of it.
    Stored(ObjectReader),
    /// Several parts of a stored object, with what stands between them.
    Several(Several),
    /// From an object that still arrives.
    Filling(Filling),
    /// Straight from the origin.
    Passing(Box<AnswerBody>),
    /// Any of these, measured.
    Metered(Box<Metered>),
}

/// Shared octets, sent piece by piece.
pub struct Chunks {
    chunks: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

impl Chunks {
    /// Pieces of `length` octets together, none of them empty.
    pub fn new(chunks: Arc<[Bytes]>, length: u64) -> Self {
        Self { chunks, next: 0, left: length }
    }

    fn next(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.get(self.next)?.clone();
        self.next += 1;
        self.left -= chunk.len() as u64;
        Some(chunk)
    }
}

/// Several parts of a stored object.
pub struct Several {
    pieces: std::vec::IntoIter<Piece>,
    now: Option<ObjectReader>,
    left: u64,
}

/// A piece of a body in several parts.
pub enum Piece {
    /// What stands before a part, or after the last.
    Frame(Bytes),
    /// A part.
    Stored(ObjectReader),
}

impl Several {
    /// Pieces of `length` octets together.
    pub fn new(pieces: Vec<Piece>, length: u64) -> Self {
        Self { pieces: pieces.into_iter(), now: None, left: length }
    }

    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(octets) = self.now.as_mut().and_then(Iterator::next) {
                self.left -= octets.len() as u64;
                return Some(octets);
            }
            self.now = match self.pieces.next()? {
                Piece::Stored(reader) => Some(reader),
                Piece::Frame(octets) => {
                    self.left -= octets.len() as u64;
                    return Some(octets);
                }
            };
        }
    }
}

/// The whole or a range of an arriving object.
pub struct Filling {
    reader: FillReader,
    /// Octets still to be sent; `None`: to the end, wherever it is.
    left: Option<u64>,
}

impl Filling {
    /// Everything from the reader's position to the end, which is `left` octets away where that is known.
    pub fn new(reader: FillReader, left: Option<u64>) -> Self {
        Self { reader, left }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.reader.poll_chunk(cx));
        Poll::Ready(match (chunk, self.left) {
            (Some(Ok(mut chunk)), Some(left)) => {
                let taken = (chunk.len() as u64).min(left);
                chunk.truncate(usize::try_from(taken).unwrap_or(usize::MAX));
                self.left = Some(left - taken);
                if taken == left {
                    self.reader.let_it_finish();
                }
                Some(Ok(chunk))
            }
            (Some(Ok(chunk)), None) => Some(Ok(chunk)),
            (Some(Err(end)), _) => Some(Err(BodyError::Fill(end))),
            (None, None) => None,
            (None, Some(_)) => Some(Err(BodyError::Short)),
        })
    }
}

/// Why a body could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The object's fill ended early.
    #[error("the object did not arrive whole")]
    Fill(#[source] FillEnd),
    /// The object is shorter than the range that was promised.
    #[error("the object is shorter than the range that was promised")]
    Short,
    /// The origin's answer ended early.
    #[error("the origin's answer did not arrive whole")]
    Origin(#[source] FetchError),
    /// The viewer's session was revoked meanwhile.
    #[error("the session was revoked")]
    Revoked,
}

impl Body {
    /// A body that accounts for what becomes of it.
    pub fn new(content: Content, account: Option<Account>) -> Self {
        Self { content, account: account.map(Box::new), session: None }
    }

    /// It is sent to a session, which may end before it.
    #[must_use]
    pub fn to(mut self, session: Option<Attached>) -> Self {
        self.session = session.map(Box::new);
        self
    }

    /// The next frame, unless the session that it is sent to has been revoked.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(session) = &mut self.session else { return self.content.poll(cx) };
        if session.cut().is_some() {
            return Poll::Ready(Some(Err(BodyError::Revoked)));
        }
        match self.content.poll(cx) {
            Poll::Pending if session.poll_cut(cx).is_some() => Poll::Ready(Some(Err(BodyError::Revoked))),
            polled => {
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    session.sent(frame.data_ref().map_or(0, Bytes::len) as u64);
                }
                polled
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(Content::Full(bytes), None)
    }
}

impl Content {
    /// Its length in octets, where it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Chunks(chunks) => Some(chunks.left),
            Self::Stored(reader) => Some(reader.remaining()),
            Self::Several(several) => Some(several.left),
            Self::Filling(filling) => filling.left,
            Self::Passing(body) => http_body::Body::size_hint(body).exact(),
            Self::Metered(metered) => metered.length(),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = match self {
            Self::Empty => None,
            Self::Full(bytes) if bytes.is_empty() => None,
            Self::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Self::Chunks(chunks) => chunks.next().map(Ok),
            Self::Stored(reader) => reader.next().map(Ok),
            Self::Several(several) => several.next().map(Ok),
            Self::Filling(filling) => ready!(filling.poll(cx)),
            Self::Passing(body) => {
                let frame = ready!(http_body::Body::poll_frame(Pin::new(body), cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Origin)));
            }
            Self::Metered(metered) => return metered.poll(cx),
        };
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll(cx));
        if let Some(account) = &mut this.account {
            match &frame {
                Some(Ok(frame)) => account.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(error)) => account.failed(error),
                None => account.complete(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.content.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
