//! The body of a request with reports: what it is in, and its octets, within their bounds.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body;

use crate::request::edge::Edge;
use crate::request::refusal::Unwelcome;
use crate::request::{Refusal, Upload, UploadError};

/// Octets of a body: what browsers send after their page has gone (Fetch standard, keepalive).
pub const LONGEST: usize = 64 << 10;

/// Octets of a body once it is inflated.
const INFLATED: usize = 256 << 10;

/// How many times as long it is then at most; a body of one record may be more.
const RATIO: usize = 10;
const LEAST: usize = 4 << 10;

/// A body comes within this.
const WITHIN: Duration = Duration::from_secs(30);

const NOT_GZIP: Refusal = Refusal::BadRequest("the body is not gzip, though Content-Encoding says so");

/// What a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    None,
    /// gzip.
    Gzip,
}

/// How a body of one of these types comes.
///
/// # Errors
/// `Beacon`.
pub fn coding(headers: &HeaderMap, types: &'static [&'static str]) -> Result<Coding, Unwelcome> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !types.iter().any(|one| one.eq_ignore_ascii_case(kind)) {
        return Err(Unwelcome::Type(types[0]));
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(Coding::None),
        (Some(coding), None) => match coding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Ok(Coding::None),
            b"gzip" | b"x-gzip" => Ok(Coding::Gzip),
            _ => Err(Unwelcome::Coding),
        },
        (Some(_), Some(_)) => Err(Unwelcome::Coding),
    }
}

/// All of a body.
///
/// # Errors
/// `BodyTooLarge`, `BadRequest`: it breaks off.
pub async fn read(edge: &Edge, upload: Upload) -> Result<Bytes, Refusal> {
    tokio::select! {
        octets = all(upload) => octets,
        () = edge.clock.sleep(WITHIN) => Err(Refusal::BadRequest("the body did not come in time")),
    }
}

impl Coding {
    /// What a body in it is.
    ///
    /// # Errors
    /// `BodyTooLarge`, `BadRequest`: it is not in it.
    pub fn decode(self, body: &Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::None => Ok(body.clone()),
            Self::Gzip => inflate(body),
        }
    }
}

async fn all(mut upload: Upload) -> Result<Bytes, Refusal> {
    const TOO_LARGE: Refusal = Refusal::BodyTooLarge { limit: LONGEST as u64 };
    if upload.size_hint().lower() > LONGEST as u64 {
        return Err(TOO_LARGE);
    }
    let mut octets = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut upload).poll_frame(cx)).await {
        let frame = frame.map_err(|error| match error {
            UploadError::Cancelled => Refusal::BadRequest("the body broke off"),
            UploadError::Malformed => Refusal::BadRequest("the body is malformed"),
            UploadError::Stalled => Refusal::BadRequest("the body stalled"),
        })?;
        let Some(data) = frame.data_ref() else { continue };
        if octets.len() + data.len() > LONGEST {
            return Err(TOO_LARGE);
        }
        octets.extend_from_slice(data);
    }
    Ok(octets.freeze())
}

fn inflate(octets: &[u8]) -> Result<Bytes, Refusal> {
    let most = (octets.len() * RATIO).clamp(LEAST, INFLATED);
    let mut inflated = Vec::new();
    let mut decoder = MultiGzDecoder::new(octets).take(most as u64 + 1);
    decoder.read_to_end(&mut inflated).map_err(|_| NOT_GZIP)?;
    match inflated.len() > most {
        true => Err(Refusal::BodyTooLarge { limit: most as u64 }),
        false => Ok(inflated.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn fields(kind: &'static str, codings: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        headers.extend(codings.iter().map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding))));
        headers
    }

    #[test]
    fn types_and_codings_are_those_of_the_standard_and_no_others() {
        const TYPES: &[&str] = &["application/cmcd", "text/cmcd"];
        let of = |kind, codings: &[&'static str]| coding(&fields(kind, codings), TYPES);
        assert_eq!(of("application/cmcd", &[]), Ok(Coding::None));
        assert_eq!(of("Application/CMCD; charset=utf-8", &["identity"]), Ok(Coding::None));
        assert_eq!(of("text/cmcd;charset=\"utf-8\"", &["GZIP"]), Ok(Coding::Gzip));
        for kind in ["application/json", "text/plain", "", "application/cmcd2", "application/cmcd, text/plain"] {
            assert_eq!(of(kind, &[]), Err(Unwelcome::Type("application/cmcd")), "{kind}");
        }
        for codings in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"], &["zstd"]] {
            assert_eq!(of("text/cmcd", codings), Err(Unwelcome::Coding), "{codings:?}");
        }
        assert_eq!(coding(&HeaderMap::new(), TYPES), Err(Unwelcome::Type("application/cmcd")));
    }

    #[test]
    fn what_inflates_beyond_its_bounds_is_refused_and_what_is_not_gzip() {
        let text: String = (0..4_000).map(|number: u32| format!("{:x} ", number.wrapping_mul(2_654_435_761))).collect();
        let packed = gzip(text.as_bytes());
        assert_eq!(inflate(&packed).unwrap(), text.as_bytes());
        let halves = text.as_bytes().split_at(99);
        let members = [gzip(halves.0), gzip(halves.1)].concat();
        assert_eq!(inflate(&members).unwrap(), text.as_bytes(), "several members are one body");
        let small = gzip(&[b'a'; LEAST]);
        assert_eq!(inflate(&small).unwrap().len(), LEAST);
        for octets in [LEAST + 1, 100_000, 64 << 20] {
            assert!(matches!(inflate(&gzip(&vec![b'a'; octets])), Err(Refusal::BodyTooLarge { .. })), "{octets}");
        }
        for bad in [&b"v=2"[..], b"", &packed[..packed.len() / 2], &packed[..packed.len() - 1]] {
            assert_eq!(inflate(bad), Err(NOT_GZIP), "{} octets", bad.len());
        }
        let mut wrong = packed;
        let last = wrong.len() - 6;
        wrong[last] ^= 1;
        assert_eq!(inflate(&wrong), Err(NOT_GZIP), "its checksum does not hold");
    }
}
