//! Interim answers (RFC 9110 §15.2) on their way from an origin to the viewer whose request brought them: 102 and 103
//! (RFC 8297). They are no part of the final answer, are stored nowhere, and are let go of where nobody takes them.

use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};

use crate::rules::fields::hop;

/// An interim answer.
#[derive(Clone, Debug)]
pub struct Interim {
    /// 102 or 103.
    pub status: StatusCode,
    /// Its end-to-end fields.
    pub headers: HeaderMap,
}

/// Who hears interim answers to a request; by default nobody.
#[derive(Clone, Default)]
pub struct Interims(Option<Arc<dyn Fn(Interim) + Send + Sync>>);

impl Interims {
    /// They are told to `sink`, which must not wait.
    pub fn to(sink: impl Fn(Interim) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Has what `request` brings told to whoever hears it. Without effect over HTTP/2, whose library passes them over.
    pub fn listen<B>(&self, request: &mut Request<B>) {
        let Some(sink) = self.0.clone() else { return };
        hyper::ext::on_informational(request, move |answer| {
            let status = answer.status();
            if matches!(status, StatusCode::PROCESSING) || status.as_u16() == 103 {
                let mut headers = answer.headers().clone();
                hop::strip_hop_by_hop(&mut headers);
                headers.remove(CONTENT_LENGTH);
                sink(Interim { status, headers });
            }
        });
    }
}

impl fmt::Debug for Interims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Interims(heard)" } else { "Interims(nobody)" })
    }
}
