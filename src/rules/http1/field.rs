//! One line of a head: the request line, the status line, or a field.

use super::Fault;
use crate::rules::uri::{self, is_raw};

/// The longest name of a field that the library above takes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minor {
    /// HTTP/1.0
    Zero,
    /// HTTP/1.1
    One,
}

/// What a field means for the framing of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Host
    Host,
    /// Content-Length, as a number
    Length(u64),
    /// Transfer-Encoding: chunked
    Chunked,
    /// Anything else
    Other,
}

/// Whether an octet may stand in a token (RFC 9110 §5.6.2).
pub(super) const fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = is_token_octet(octet as u8);
        octet += 1;
    }
    table
};

fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| TOKEN[usize::from(*octet)])
}

/// `method SP target SP version` (RFC 9112 §3), with single spaces.
pub(super) fn request_line(line: &[u8]) -> Result<Minor, Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::RequestLine);
    }
    let method_end = memchr::memchr(b' ', line).ok_or(Fault::RequestLine)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    if !is_token(method) {
        return Err(Fault::Method);
    }
    let target_end = memchr::memchr(b' ', rest).ok_or(Fault::RequestLine)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    judge_target(method, target)?;
    match version {
        b"HTTP/1.1" => Ok(Minor::One),
        b"HTTP/1.0" => Ok(Minor::Zero),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Fault::OtherVersion)
        }
        _ if version.contains(&b' ') => Err(Fault::RequestLine),
        _ => Err(Fault::Version),
    }
}

/// `version SP status [SP reason]` (RFC 9112 §4). A missing blank before a missing reason is common and clear.
pub(super) fn status_line(line: &[u8]) -> Result<(Minor, u16), Fault> {
    let minor = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Minor::One,
        Some(b"HTTP/1.0 ") => Minor::Zero,
        _ => return Err(Fault::StatusLine),
    };
    let (digits, rest) = line[9..].split_at_checked(3).ok_or(Fault::StatusLine)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(rest.first(), None | Some(b' ')) {
        return Err(Fault::StatusLine);
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if (100..600).contains(&status) { Ok((minor, status)) } else { Err(Fault::StatusLine) }
}

fn judge_target(method: &[u8], target: &[u8]) -> Result<(), Fault> {
    if target.is_empty() {
        return Err(Fault::RequestLine);
    }
    let mark = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(mark);
    let is_visible = |octet: u8| matches!(octet, 0x21..=0x7e) && octet != b'#';
    if !path.iter().all(|octet| is_visible(*octet)) || !query.iter().all(|octet| is_visible(*octet) || is_raw(*octet)) {
        return Err(Fault::Target);
    }
    let absolute = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let known = match target[0] {
        b'/' => !path.iter().any(|octet| matches!(octet, b'<' | b'>' | b'`')),
        b'*' => target.len() == 1 && method == b"OPTIONS",
        _ => (method == b"CONNECT" || absolute(b"http://") || absolute(b"https://")) && is_uri(target, mark),
    };
    if known { Ok(()) } else { Err(Fault::Target) }
}

/// Whether the library above will read a target that is no plain path: what it refuses, it answers by itself.
fn is_uri(target: &[u8], mark: usize) -> bool {
    let raw: Vec<_> = (mark..target.len()).filter(|at| is_raw(target[*at])).collect();
    http::Uri::try_from(uri::encoded_at(target, &raw)).is_ok()
}

/// Where in a request line octets stand raw in the query of its target.
pub(super) fn raw(line: &[u8]) -> Vec<usize> {
    // Without an early end the loop is one of vectors; most lines are done with it.
    if !line.iter().fold(false, |found, octet| found | is_raw(*octet)) {
        return Vec::new();
    }
    // A method that is a token has no question mark, nor has a version.
    let query = memchr::memchr(b'?', line).unwrap_or(line.len());
    (query..line.len()).filter(|at| is_raw(line[*at])).collect()
}

/// `name: value` (RFC 9112 §5).
pub(super) fn field(line: &[u8]) -> Result<Meaning, Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(Fault::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Fault::FieldName);
    }
    if name.len() > LONGEST_NAME {
        return Err(Fault::HeadTooLarge);
    }
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => Ok(Meaning::Host),
        14 if name.eq_ignore_ascii_case(b"content-length") => number(trim(value)).map(Meaning::Length),
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => codings(trim(value)).map(|()| Meaning::Chunked),
        _ => Ok(Meaning::Other),
    }
}

/// `chunked` and nothing else. Where it comes last and once behind plain tokens, the framing is clear and only the other
/// codings are not understood (RFC 9112 §6.1, §7).
fn codings(value: &[u8]) -> Result<(), Fault> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(());
    }
    let Some(comma) = memchr::memrchr(b',', value) else { return Err(Fault::TransferEncoding) };
    let is_other = |coding: &[u8]| is_token(coding) && !is_chunked(coding) && !coding.eq_ignore_ascii_case(b"identity");
    let clear =
        is_chunked(trim(&value[comma + 1..])) && value[..comma].split(|octet| *octet == b',').map(trim).all(is_other);
    Err(if clear { Fault::Coding } else { Fault::TransferEncoding })
}

/// Optional white space is SP and HTAB, nothing else (RFC 9110 §5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let Some(start) = value.iter().position(|octet| !is_blank(octet)) else { return &[] };
    let end = value.iter().rposition(|octet| !is_blank(octet)).expect("there is an octet that is no blank");
    &value[start..=end]
}

/// Digits alone; no sign, no list, and no more than 63 bits: beyond them others read negative numbers.
fn number(digits: &[u8]) -> Result<u64, Fault> {
    if digits.is_empty() {
        return Err(Fault::ContentLength);
    }
    let number = digits.iter().try_fold(0i64, |sum, octet| match octet {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(i64::from(octet - b'0')),
        _ => None,
    });
    number.map(i64::unsigned_abs).ok_or(Fault::ContentLength)
}
