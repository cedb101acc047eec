//! A decoded header section becomes a `Head`, or is malformed (RFC 9114 §4.1.2 to §4.4). Everything is judged here,
//! field by field as the section is decoded: order and number of pseudo fields, names, values, fields that belong to a
//! connection, authority against Host, lengths.

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::code::{self, ConnectionError};
use super::counters::Malformed;
use super::qpack::{self, Bounds, DecodeError, Name, static_table};
use crate::clock::Tick;
use crate::outbound::interim::Interims;
use crate::request::{Caller, Head, Line, Notes, Protocol, Scheme, Viewer};
use crate::rules::http1::Fault;
use crate::rules::uri;
use crate::transport::head::{BadRequest, expectation, has_blank_edge, normal_authority, strip};

/// What a header section turned out to be.
#[derive(Debug)]
pub enum Request {
    /// A request to serve, and the length of the body it announces.
    Serve(Box<Head>, Option<u64>),
    /// One that is refused in words; the method, as far as it is known.
    Refuse(BadRequest, Option<Method>),
    /// A malformed one: the stream ends with H3_MESSAGE_ERROR.
    Malformed(Malformed),
}

/// Reads a header section.
///
/// # Errors
/// It cannot be decoded, which ends the connection.
pub fn read(section: &[u8], bounds: Bounds, viewer: Viewer, received: Tick) -> Result<Request, ConnectionError> {
    let mut fields = Fields::default();
    let decoded = qpack::decode(section, bounds, |name, value| fields.add(name, value));
    Ok(match decoded.map_err(refusal) {
        Ok(()) => fields.finish(viewer, received).unwrap_or_else(Request::Malformed),
        Err(Refused::Malformed(reason)) => Request::Malformed(reason),
        Err(Refused::Bounds(bad)) => Request::Refuse(bad, fields.method),
        Err(Refused::Connection(error)) => return Err(error),
    })
}

/// Judges a trailer section; its fields are then forgotten, as nothing here asks for them.
///
/// # Errors
/// It cannot be decoded, which ends the connection.
pub fn read_trailers(section: &[u8], bounds: Bounds) -> Result<Result<(), Malformed>, ConnectionError> {
    let decoded = qpack::decode(section, bounds, |name, value| {
        if name.octets().first() == Some(&b':') {
            return Err(Malformed::PseudoInTrailers);
        }
        header_name(name).and(header_value(value)).map(|_| ())
    });
    match decoded.map_err(refusal) {
        Ok(()) => Ok(Ok(())),
        Err(Refused::Malformed(reason)) => Ok(Err(reason)),
        Err(Refused::Bounds(_)) => Ok(Err(Malformed::TrailersTooLarge)),
        Err(Refused::Connection(error)) => Err(error),
    }
}

/// A header section that is larger than the bound.
pub const TOO_LARGE: BadRequest = BadRequest::Octets(Fault::HeadTooLarge);

enum Refused {
    Malformed(Malformed),
    Bounds(BadRequest),
    Connection(ConnectionError),
}

fn refusal(error: DecodeError<Malformed>) -> Refused {
    match error {
        DecodeError::Refused(reason) => Refused::Malformed(reason),
        DecodeError::TooLarge => Refused::Bounds(TOO_LARGE),
        DecodeError::TooMany => Refused::Bounds(BadRequest::TooManyFields),
        DecodeError::Broken(reason) => Refused::Connection(ConnectionError::new(code::DECOMPRESSION_FAILED, reason)),
    }
}

/// The fields of one request as they come.
#[derive(Default)]
struct Fields {
    method: Option<Method>,
    scheme: Option<Scheme>,
    path: Option<String>,
    authority: Option<String>,
    host: Option<String>,
    length: Option<u64>,
    cookies: Vec<u8>,
    headers: HeaderMap,
    fields_began: bool,
}

impl Fields {
    fn add(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), Malformed> {
        match name.octets() {
            [b':', pseudo @ ..] => self.pseudo(pseudo, value),
            _ => self.field(name, value),
        }
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if self.fields_began {
            return Err(Malformed::PseudoAfterFields);
        }
        match name {
            b"method" => {
                let method = Method::from_bytes(value).map_err(|_| Malformed::Method)?;
                once(&mut self.method, method)
            }
            b"scheme" => once(&mut self.scheme, scheme(value)?),
            b"path" => once(&mut self.path, path(value)?),
            b"authority" => once(&mut self.authority, authority(value)?),
            _ => Err(Malformed::UnknownPseudo),
        }
    }

    fn field(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), Malformed> {
        self.fields_began = true;
        let name = header_name(name)?;
        let checked = header_value(value)?;
        if is_of_connection(&name) {
            return Err(Malformed::ConnectionField);
        }
        match name {
            header::HOST => once(&mut self.host, authority(value)?).map_err(|_| Malformed::Authority),
            header::TE if !value.eq_ignore_ascii_case(b"trailers") => Err(Malformed::ConnectionField),
            header::CONTENT_LENGTH => {
                once(&mut self.length, length(value)?).map_err(|_| Malformed::ContentLength)?;
                self.append(name, checked)
            }
            header::COOKIE => {
                if !self.cookies.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(value);
                Ok(())
            }
            _ => self.append(name, checked),
        }
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Malformed> {
        self.headers.try_append(name, value).map(|_| ()).map_err(|_| Malformed::FieldName)
    }

    fn finish(mut self, viewer: Viewer, received: Tick) -> Result<Request, Malformed> {
        let method = self.method.take().ok_or(Malformed::MissingPseudo)?;
        if method == Method::CONNECT {
            return self.connect();
        }
        let (Some(_), Some(mut path)) = (self.scheme, self.path.take()) else { return Err(Malformed::MissingPseudo) };
        if path == "*" && method != Method::OPTIONS {
            return Err(Malformed::Path);
        }
        let authority = match (self.authority.take(), self.host.take()) {
            (Some(authority), Some(host)) if authority != host => return Err(Malformed::Authority),
            (None, None) => return Err(Malformed::Authority),
            (authority, host) => authority.or(host),
        };
        if !self.cookies.is_empty() {
            let joined =
                HeaderValue::from_maybe_shared(Bytes::from(self.cookies)).map_err(|_| Malformed::FieldValue)?;
            self.headers.insert(header::COOKIE, joined);
        }
        if expectation(&self.headers).is_err() {
            return Ok(Request::Refuse(BadRequest::Expectation, Some(method)));
        }
        strip(&method, &mut self.headers);
        let query = path.find('?').map(|mark| path.split_off(mark + 1));
        if query.is_some() {
            path.pop();
        }
        let head = Head {
            method,
            scheme: Scheme::Https, // how the viewer came, whatever `:scheme` says
            authority,
            path,
            query,
            headers: self.headers,
            caller: Caller::Viewer,
            viewer,
            protocol: Protocol::Http3,
            received,
            interims: Interims::default(),
            notes: Notes::default(),
            line: Line::default(),
        };
        Ok(Request::Serve(Box::new(head), self.length))
    }

    /// CONNECT has an authority and neither scheme nor path (RFC 9114 §4.4). It is not served.
    fn connect(self) -> Result<Request, Malformed> {
        if self.authority.is_none() || self.scheme.is_some() || self.path.is_some() {
            return Err(Malformed::Connect);
        }
        Ok(Request::Refuse(BadRequest::Connect, Some(Method::CONNECT)))
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::RepeatedPseudo),
    }
}

fn header_name(name: Name<'_>) -> Result<HeaderName, Malformed> {
    match name {
        Name::Static(index) => static_table::header_name(index).cloned().ok_or(Malformed::FieldName),
        Name::Literal(name) => HeaderName::from_lowercase(name).map_err(|_| Malformed::FieldName),
    }
}

fn header_value(value: &[u8]) -> Result<HeaderValue, Malformed> {
    let value = HeaderValue::from_bytes(value).map_err(|_| Malformed::FieldValue)?;
    if has_blank_edge(&value) { Err(Malformed::FieldValue) } else { Ok(value) }
}

/// Fields that speak of one HTTP/1.1 connection (§4.2).
pub fn is_of_connection(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || name.as_str() == "keep-alive"
        || name.as_str() == "proxy-connection"
}

fn scheme(value: &[u8]) -> Result<Scheme, Malformed> {
    match value {
        _ if value.eq_ignore_ascii_case(b"https") => Ok(Scheme::Https),
        _ if value.eq_ignore_ascii_case(b"http") => Ok(Scheme::Http),
        _ => Err(Malformed::Scheme),
    }
}

fn path(value: &[u8]) -> Result<String, Malformed> {
    let begins_well = value.first() == Some(&b'/') || value == b"*";
    let allowed = |octet: u8| matches!(octet, 0x21..=0x7e) && octet != b'#';
    let mark = memchr::memchr(b'?', value).unwrap_or(value.len());
    let (path, query) = value.split_at(mark);
    let is_well_formed = begins_well
        && path.iter().all(|octet| allowed(*octet))
        && query.iter().all(|octet| allowed(*octet) || uri::is_raw(*octet));
    let encoded = uri::encoded_query(query);
    let whole = [path, encoded.as_deref().map_or(query, str::as_bytes)].concat();
    if is_well_formed { String::from_utf8(whole).map_err(|_| Malformed::Path) } else { Err(Malformed::Path) }
}

fn authority(value: &[u8]) -> Result<String, Malformed> {
    normal_authority(value).map_err(|_| Malformed::Authority)
}

fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits).ok_or(Malformed::ContentLength)?;
    text.parse().map_err(|_| Malformed::ContentLength)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
