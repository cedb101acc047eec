//! One request for a playlist: what is asked, and what came, whole and decoded.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;

use crate::clock::{Clock, Tick};
use crate::origin::peers::Shared;
use crate::origin::{Answer, Ask, Course, FetchError, Origins};
use crate::rules::caching::validator::{Validators, conditional_request};
use crate::rules::hls::window::Upstream;
use crate::tasks::Tasks;

use super::Asked;

/// The largest playlist that is taken on, in octets, decoded.
pub(super) const LARGEST: usize = 8 << 20;
/// So much of an answer that is no playlist is read, so that its connection can be used again.
const LEFTOVERS: usize = 16 << 10;
/// How much longer than the origin may hold an answer (three target durations) it is waited for.
const HOLD_MARGIN: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// Held until this is there.
    pub(super) blocks: Option<Blocking>,
    /// A delta update will do.
    pub(super) skips: bool,
    /// What would do if nothing has changed.
    pub(super) validates: Option<Validators>,
}

/// A blocking reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    pub(super) msn: u64,
    pub(super) part: Option<u64>,
    pub(super) target_duration: Duration,
}

/// What came.
pub(super) struct Came {
    pub(super) status: StatusCode,
    /// Who answered.
    pub(super) origin: Arc<str>,
    /// Its URL, where redirects led away from what was asked for.
    pub(super) found_at: Option<String>,
    pub(super) headers: HeaderMap,
    /// The decoded body of a 200.
    pub(super) body: Vec<u8>,
    /// When it was asked for.
    pub(super) asked: Tick,
    /// When all of it was there.
    pub(super) answered: Tick,
    /// The place of who answered in the route's list, where that has several.
    pub(super) place: Option<usize>,
    /// Where the stream was at home when it was asked for.
    pub(super) home: Option<usize>,
    /// How long the origin took to begin its answer.
    pub(super) waited: Duration,
}

/// Why nothing came.
#[derive(Clone, Debug)]
pub(super) enum Nothing {
    Fetch(Arc<FetchError>),
    /// What came is no playlist whatever it says.
    Unusable(&'static str),
}

impl Blocking {
    pub(super) fn of(upstream: &Upstream, target_duration: Duration) -> Self {
        Self { msn: upstream.msn, part: upstream.part, target_duration }
    }
}

/// Asks once.
pub(super) async fn ask(
    asked: &Asked,
    question: &Question,
    (origins, group, course): (&Origins, &[String], Course),
    (clock, tasks): (&Clock, &Tasks),
) -> Result<Came, Nothing> {
    let mut headers = asked.fields.clone();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.extend(question.validates.as_ref().and_then(|validators| conditional_request([validators])));
    let path_and_query = target(&asked.upstream, question).ok_or(Nothing::Unusable("its target is too long"))?;
    let first_byte = question.blocks.map(|blocks| blocks.target_duration * 3 + HOLD_MARGIN);
    let viewer_authority = asked.viewer_authority.clone();
    let ask = Ask { method: Method::GET, path_and_query, headers, viewer_authority, body: None, first_byte, course };
    let shared = asked.shared(question);
    let began = clock.now();
    let place = |origin: &str| asked.rules.supply.origins.iter().position(|name| name == origin);
    let place = |origin: &str| place(origin).filter(|_| asked.rules.supply.origins.len() > 1);
    let fetched = origins.fetch_shared(tasks, group, ask, (shared.as_ref(), None)).await;
    let answer = fetched.map_err(|error| Nothing::Fetch(Arc::new(error)))?;
    let (status, headers, origin) = (answer.status, answer.headers.clone(), answer.origin.clone());
    let (found_at, waited) = (answer.found_at.clone(), clock.now().since(began));
    let body = match status {
        StatusCode::OK => decoded(&headers, read(answer, LARGEST).await?)?,
        // Whatever it is, it is not looked at.
        _ => read(answer, LEFTOVERS).await.map_or_else(|_| Vec::new(), |_| Vec::new()),
    };
    let place = place(&origin);
    let answered = clock.now();
    Ok(Came { status, origin, found_at, headers, body, asked: began, answered, place, home: None, waited })
}

async fn read(answer: Answer, most: usize) -> Result<Vec<u8>, Nothing> {
    let mut body = answer.body;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Nothing::Fetch(Arc::new(error)))?;
        let octets: Bytes = frame.into_data().unwrap_or_default();
        if whole.len() + octets.len() > most {
            return Err(Nothing::Unusable("it is larger than any playlist"));
        }
        whole.extend_from_slice(&octets);
    }
    Ok(whole)
}

/// Identity is asked for; an origin that compresses nevertheless is understood.
fn decoded(headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<u8>, Nothing> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => return Ok(body),
        (Some(coding), None) => coding.as_bytes().trim_ascii().to_ascii_lowercase(),
        (Some(_), Some(_)) => return Err(Nothing::Unusable("it is encoded more than once")),
    };
    match coding.as_slice() {
        b"identity" | b"" => Ok(body),
        b"gzip" | b"x-gzip" => inflated(MultiGzDecoder::new(body.as_slice())),
        // RFC 9110 §8.4.1.2: zlib's wrapper is the standard's, but some send the bare stream.
        b"deflate" if body.first().is_some_and(|first| first & 0x0f == 8) => {
            inflated(ZlibDecoder::new(body.as_slice()))
        }
        b"deflate" => inflated(DeflateDecoder::new(body.as_slice())),
        _ => Err(Nothing::Unusable("its coding was not asked for")),
    }
}

fn inflated(decoder: impl Read) -> Result<Vec<u8>, Nothing> {
    let mut plain = Vec::new();
    match decoder.take(LARGEST as u64 + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() <= LARGEST => Ok(plain),
        Ok(_) => Err(Nothing::Unusable("it is larger than any playlist")),
        Err(_) => Err(Nothing::Unusable("its coding is broken")),
    }
}

impl Asked {
    /// How another node is asked, that follows the playlist for the region.
    fn shared(&self, question: &Question) -> Option<Shared> {
        let shared = self.rules.supply.shared(&self.key, &self.target, self.viewer_authority.as_deref())?;
        let asked = target(&shared.target, question)?;
        Some(shared.with_target(asked))
    }
}

/// The target with the directives in their place: parameters are sorted by name (RFC 8216bis §6.3.2).
fn target(upstream: &PathAndQuery, question: &Question) -> Option<PathAndQuery> {
    let mut directives = Vec::new();
    if let Some(blocks) = question.blocks {
        directives.push(format!("_HLS_msn={}", blocks.msn));
        directives.extend(blocks.part.map(|part| format!("_HLS_part={part}")));
    }
    directives.extend(question.skips.then(|| "_HLS_skip=YES".to_owned()));
    if directives.is_empty() {
        return Some(upstream.clone());
    }
    let own = upstream.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
    let (before, after): (Vec<_>, Vec<_>) = own.partition(|parameter| *parameter < "_HLS_");
    let directives = directives.iter().map(String::as_str);
    let query: Vec<_> = before.into_iter().chain(directives).chain(after).collect();
    PathAndQuery::try_from(format!("{}?{}", upstream.path(), query.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn directives_stand_where_their_names_sort() {
        let blocks = Blocking { msn: 7, part: Some(2), target_duration: Duration::from_secs(4) };
        let question = Question { blocks: Some(blocks), skips: true, validates: None };
        for (own, asked) in [
            ("/a.m3u8", "/a.m3u8?_HLS_msn=7&_HLS_part=2&_HLS_skip=YES"),
            ("/a.m3u8?start=1", "/a.m3u8?_HLS_msn=7&_HLS_part=2&_HLS_skip=YES&start=1"),
            ("/a.m3u8?A=1&z=2", "/a.m3u8?A=1&_HLS_msn=7&_HLS_part=2&_HLS_skip=YES&z=2"),
        ] {
            assert_eq!(target(&PathAndQuery::from_static(own), &question).unwrap(), asked);
        }
        let plain = PathAndQuery::from_static("/a.m3u8?b&a");
        assert_eq!(target(&plain, &Question::default()).unwrap(), "/a.m3u8?b&a");
    }

    fn coded(coding: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Nothing> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        decoded(&headers, body)
    }

    #[test]
    fn an_origin_that_compresses_unasked_is_understood() {
        let level = flate2::Compression::fast();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(b"#EXTM3U\n").unwrap();
        assert_eq!(coded("GZIP", gzip.finish().unwrap()).unwrap(), b"#EXTM3U\n");
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(b"#EXTM3U\n").unwrap();
        assert_eq!(coded("deflate", zlib.finish().unwrap()).unwrap(), b"#EXTM3U\n");
        assert!(matches!(coded("br", b"x".to_vec()), Err(Nothing::Unusable(_))));
        assert!(matches!(coded("gzip", b"x".to_vec()), Err(Nothing::Unusable(_))));
    }

    #[test]
    fn a_small_body_does_not_become_a_large_one() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; LARGEST + 1]).unwrap();
        assert!(matches!(coded("gzip", gzip.finish().unwrap()), Err(Nothing::Unusable(_))));
    }
}
