//! A playlist that is made for one viewer (server-side ad insertion): asked for with all that tells who asks, never
//! stored or shared. Its URIs at the origin become the node's, so that the segments it lists come through here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;

use crate::live::Asked;
use crate::live::edition::{self, Coding};
use crate::origin;
use crate::rules::caching::control::{Wanted, Wish};
use crate::rules::fields::cache_status::Forward;
use crate::rules::hls::parse;
use crate::rules::hls::rewrite;

use super::super::body::Content;
use super::super::forward::{self, Passing};
use super::{Answer, Edge, Head, Listing, Policies, Refusal, URGENCY, coding};

/// The largest playlist that is passed, in octets.
const LARGEST: usize = 8 << 20;

/// Smaller texts are not compressed.
const SMALL: usize = 256;

/// For how long an origin may hold a reload of a playlist whose target duration is not known here: three of the largest
/// that are in use.
const HOLD: Duration = Duration::from_secs(36);

/// Fields that hold for the origin's octets alone.
const OF_OCTETS: [HeaderName; 7] = [
    CONTENT_LENGTH,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-md5"),
];

/// Passes a request for a viewer's own playlist.
///
/// # Errors
/// `NotStored`, `NotAPlaylist`, and whatever befell the origin.
pub async fn answer(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    listing: &Listing<'_>,
) -> Result<Answer, Refusal> {
    if Wish::of(&head.headers).says(Wanted::OnlyIfCached) {
        return Err(Refusal::NotStored);
    }
    let holds = listing.asking.directives.is_ok_and(|directives| directives.msn.is_some());
    let mut passing = Passing::of(head, policies, Forward::Bypass);
    passing.first_byte = holds.then_some(HOLD);
    passing.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    passing.headers.remove(RANGE);
    passing.headers.remove(IF_RANGE);
    let answer = forward::send(edge, policies, (head, listing.resource), passing).await?;
    let mut answer = Answer { urgency: Some(URGENCY), ..answer };
    if answer.status != StatusCode::OK || answer.headers.contains_key(CONTENT_ENCODING) {
        return Ok(answer);
    }
    let Content::Passing(body) = answer.content else { return Ok(answer) };
    let text = read(*body).await?;
    if parse::kind(&text).is_none() {
        return Err(Refusal::NotAPlaylist("it does not begin with #EXTM3U"));
    }
    let supply = &listing.resource.route.supply;
    let text = match rewrite::rewrite(&text, |uri| supply.public(uri, head.authority.as_deref())) {
        Cow::Borrowed(_) => text,
        Cow::Owned(rewritten) => {
            OF_OCTETS.iter().for_each(|name| _ = answer.headers.remove(name));
            rewritten
        }
    };
    // What it lists is not this viewer's alone.
    if let Ok(playlist) = parse::parse(&text, None) {
        let asked = listing.asking.asked(policies, listing.resource);
        let asked = Asked { target: listing.resource.target.as_str().into(), ..asked };
        edge.live.media.listed_once(&asked, &playlist);
    }
    let octets = encoded(text, coding(head), &mut answer.headers);
    answer.headers.insert(CONTENT_LENGTH, octets.len().into());
    answer.content = Content::Full(octets);
    Ok(answer)
}

/// A text in a coding, and what its fields say of that.
fn encoded(text: String, coding: Coding, headers: &mut HeaderMap) -> Bytes {
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if coding == Coding::Identity || text.len() < SMALL {
        return text.into();
    }
    OF_OCTETS.iter().for_each(|name| _ = headers.remove(name));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    edition::gzipped(&text)
}

/// The whole body as text.
async fn read(mut body: origin::AnswerBody) -> Result<String, Refusal> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| super::upstream::of_fetch(&error))?;
        let octets: Bytes = frame.into_data().unwrap_or_default();
        if whole.len() + octets.len() > LARGEST {
            return Err(Refusal::NotAPlaylist("it is larger than any playlist"));
        }
        whole.extend_from_slice(&octets);
    }
    String::from_utf8(whole).map_err(|_| Refusal::NotAPlaylist("it is not UTF-8"))
}
