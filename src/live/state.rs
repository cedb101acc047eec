//! What is known of a playlist at one moment.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::clock::Tick;
use crate::origin::FetchError;
use crate::rules::hls::ladder::{self, Ladder};
use crate::rules::hls::multivariant::Multivariant;

use super::edition::{Coding, Edition, Rendered};

/// For how long a multivariant playlist is fresh downstream: half of the target duration that is recommended
/// (Appendix B.1), for it names none.
const MULTIVARIANT: Duration = Duration::from_secs(3);

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
    identity: OnceLock<Arc<Rendered>>,
    gzip: OnceLock<Arc<Rendered>>,
    /// The same without its highest variants; none: there is nothing to leave out.
    lower: OnceLock<Option<Box<Document>>>,
}

impl Document {
    /// A multivariant playlist, of which no form is made yet.
    pub fn new(multivariant: Multivariant, headers: HeaderMap, at: Tick) -> Self {
        Self { multivariant, headers, at, identity: OnceLock::new(), gzip: OnceLock::new(), lower: OnceLock::new() }
    }

    /// It with the variants that a viewer is offered; made once.
    pub fn on(&self, ladder: Ladder) -> &Self {
        let made = || {
            let text = ladder::lower(&self.multivariant.text)?;
            let multivariant = Multivariant { text, ..self.multivariant.clone() };
            Some(Box::new(Self::new(multivariant, self.headers.clone(), self.at)))
        };
        match ladder {
            Ladder::Whole => self,
            Ladder::Lower => self.lower.get_or_init(made).as_deref().unwrap_or(self),
        }
    }

    /// It in a coding; made once.
    pub fn form(&self, coding: Coding) -> Arc<Rendered> {
        let form = match coding {
            Coding::Identity => &self.identity,
            Coding::Gzip => &self.gzip,
        };
        let text = &self.multivariant.text;
        let made = || Arc::new(Rendered::of_text(text, coding, self.headers.clone(), MULTIVARIANT));
        form.get_or_init(made).clone()
    }
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
    /// It is no longer followed: ask again.
    Gone,
}
