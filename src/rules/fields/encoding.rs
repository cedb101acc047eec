//! Accept-Encoding (RFC 9110 §12.5.3) brought to one of four forms, so that the many ways to write it do not split the
//! cache into as many variants. What is kept under a form was also asked for in that form: the request that goes to
//! the origin carries the normalised field.

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

use super::list::{self, Members, trim};

/// The codings that are told apart: of others no viewer is served by the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// No coding.
    #[default]
    Identity,
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `br` and `gzip`
    Both,
}

impl Accepted {
    /// What `request` accepts. A coding with weight 0 is not accepted; `*` stands for those not named.
    pub fn of(request: &HeaderMap) -> Self {
        let mut gzip = None;
        let mut brotli = None;
        let mut others = false;
        for member in list::field(request, &ACCEPT_ENCODING) {
            let mut parts = Members::parameters(member);
            let Some(coding) = parts.next() else { continue };
            let accepted = !parts.any(is_weight_zero);
            match coding {
                _ if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => {
                    gzip = Some(accepted);
                }
                _ if coding.eq_ignore_ascii_case(b"br") => brotli = Some(accepted),
                b"*" => others = accepted,
                _ => {}
            }
        }
        match (gzip.unwrap_or(others), brotli.unwrap_or(others)) {
            (false, false) => Self::Identity,
            (true, false) => Self::Gzip,
            (false, true) => Self::Brotli,
            (true, true) => Self::Both,
        }
    }

    /// The field that says so; `None`: no field at all.
    pub const fn as_field(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
            Self::Both => Some("br, gzip"),
        }
    }
}

/// Writes Accept-Encoding of a request that goes to the origin in its normal form.
pub fn normalise_accept_encoding(request: &mut HeaderMap) {
    match Accepted::of(request).as_field() {
        Some(field) => _ = request.insert(ACCEPT_ENCODING, HeaderValue::from_static(field)),
        None => _ = request.remove(ACCEPT_ENCODING),
    }
}

/// `q=0`, `q=0.0` …
fn is_weight_zero(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', rest @ ..] = parameter else { return false };
    let [b'=', weight @ ..] = trim(rest) else { return false };
    let weight = trim(weight);
    weight.first() == Some(&b'0') && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it_has_one_of_four_forms() {
        for (line, accepted) in [
            ("", Accepted::Identity),
            ("identity", Accepted::Identity),
            ("gzip", Accepted::Gzip),
            ("x-gzip", Accepted::Gzip),
            ("GZIP;q=1.0, deflate", Accepted::Gzip),
            ("br", Accepted::Brotli),
            ("gzip, deflate, br, zstd", Accepted::Both),
            ("br;q=0.1,gzip;q=0.9", Accepted::Both),
            ("gzip;q=0, br", Accepted::Brotli),
            ("gzip; q=0.000", Accepted::Identity),
            ("gzip; Q = 0", Accepted::Identity),
            ("gzip;q=0.001", Accepted::Gzip),
            ("*", Accepted::Both),
            ("*, gzip;q=0", Accepted::Brotli),
            ("*;q=0", Accepted::Identity),
            ("*;q=0, br", Accepted::Brotli),
            ("deflate, zstd", Accepted::Identity),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_static(line));
            assert_eq!(Accepted::of(&request), accepted, "{line}");
            normalise_accept_encoding(&mut request);
            assert_eq!(Accepted::of(&request), accepted, "{line}");
            assert_eq!(request.get(ACCEPT_ENCODING).map(|value| value.to_str().unwrap()), accepted.as_field());
        }
        assert_eq!(Accepted::of(&HeaderMap::new()), Accepted::Identity);
    }
}
