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
use crate::rules::hls::multivariant::Multivariant;
use crate::rules::hls::playlist::Definition;
use crate::rules::hls::variables::Variables;
use crate::rules::hls::{MediaPlaylist, parse};

use super::super::body::Content;
use super::super::forward::{self, Passing};
use super::super::inherit::{self, Inheritance};
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
    let route = listing.resource.route;
    if answer.status != StatusCode::OK || answer.headers.contains_key(CONTENT_ENCODING) {
        return Ok(answer);
    }
    let Content::Passing(body) = answer.content else {
        OF_OCTETS.iter().filter(|_| route.gated.is_some()).for_each(|name| _ = answer.headers.remove(name));
        return Ok(answer);
    };
    let text = read(*body).await?;
    if parse::kind(&text).is_none() {
        return Err(Refusal::NotAPlaylist("it does not begin with #EXTM3U"));
    }
    let (own, viewer) = (&*listing.resource.target, head.authority.as_deref());
    let text = match route.rules.references.write(&text, &route.supply, (own, viewer)) {
        Cow::Borrowed(_) => text,
        Cow::Owned(rewritten) => {
            OF_OCTETS.iter().for_each(|name| _ = answer.headers.remove(name));
            rewritten
        }
    };
    let parsed = parse::parse(&text, None).ok();
    // What it lists is not this viewer's alone.
    if let Some(playlist) = &parsed {
        let asked = listing.asking.asked(policies, listing.resource);
        let asked = Asked { target: listing.resource.target.as_str().into(), ..asked };
        edge.live.media.listed_once(&asked, playlist);
    }
    let text = inherited(text, (head, listing), parsed.as_ref(), &mut answer.headers)?;
    let octets = encoded(text, coding(head), &mut answer.headers);
    answer.headers.insert(CONTENT_LENGTH, octets.len().into());
    answer.content = Content::Full(octets);
    Ok(answer)
}

/// The text as its viewer gets it, where what it names is to inherit the viewer's session.
fn inherited(
    text: String,
    (head, listing): (&Head, &Listing<'_>),
    media: Option<&MediaPlaylist>,
    headers: &mut HeaderMap,
) -> Result<String, Refusal> {
    let definitions: Vec<Definition> = match media {
        Some(playlist) => playlist.definitions().cloned().collect(),
        None => Multivariant::parse(&text).map(|multivariant| multivariant.definitions).unwrap_or_default(),
    };
    let inheritance = Inheritance::of(head, listing.resource, &definitions, &Variables::default())?;
    let Some(inheritance) = inheritance else { return Ok(text) };
    OF_OCTETS.iter().for_each(|name| _ = headers.remove(name));
    inherit::is_private(headers);
    Ok(inheritance.write(&text).into_owned())
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
