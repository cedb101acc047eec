//! What is known of a playlist at one moment.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::clock::Tick;
use crate::origin::FetchError;
use crate::rules::hls::multivariant::Multivariant;

use super::edition::Edition;

/// What is known of a playlist.
#[derive(Clone)]
pub enum State {
    /// It has been asked for, and nothing has come yet.
    Asked,
    /// A media playlist: the version that viewers see now.
    Media(Arc<Edition>),
    /// A multivariant playlist.
    Multivariant(Arc<Document>),
    /// Each viewer gets one of their own (`private`, `no-store`, or by the route), so requests are passed on.
    PerViewer,
    /// There is none to send.
    Failed(Failure),
}

/// A multivariant playlist as it goes out.
pub struct Document {
    /// What it says, its URIs in the node's terms.
    pub multivariant: Multivariant,
    /// The origin's fields that go on to viewers: nothing about caching, cookies, validators or coding.
    pub headers: HeaderMap,
    /// When it was known to be current.
    pub at: Tick,
}

/// Why there is no playlist to send.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The origin answered with a status of its own (404, 410, 403, 5xx …).
    Status(StatusCode, Arc<HeaderMap>),
    /// What came is no playlist.
    NoPlaylist(&'static str),
    /// The origin gave no answer.
    Fetch(Arc<FetchError>),
    /// The origin has not published anything for too long.
    Stale,
    /// It is no longer followed: ask again.
    Gone,
}
