//! Lists of the form `#rule` (RFC 9110 §5.6.1) and the small grammar their members share: token and quoted string.
//! Lines of one field are one list; empty members do not count; a comma inside a quoted string separates nothing.

use http::{HeaderMap, HeaderName};

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// Whether `text` is a token.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// `text` without blanks (SP, HTAB) at both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The members of all lines of field `name`, in order.
pub fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).iter().flat_map(|line| Members::of(line.as_bytes()))
}

/// The members of one line, trimmed, without empty ones.
#[derive(Clone, Debug)]
pub struct Members<'v> {
    rest: &'v [u8],
    separator: u8,
}

impl<'v> Members<'v> {
    /// The members between commas.
    pub const fn of(line: &'v [u8]) -> Self {
        Self { rest: line, separator: b',' }
    }

    /// The members between semicolons: a value and its parameters.
    pub const fn parameters(member: &'v [u8]) -> Self {
        Self { rest: member, separator: b';' }
    }
}

impl<'v> Iterator for Members<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        while !self.rest.is_empty() {
            let end = end_of_member(self.rest, self.separator);
            let member = trim(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// Where the first separator outside a quoted string is; the end of the text where there is none. A string that is
/// never closed reaches to the end.
fn end_of_member(text: &[u8], separator: u8) -> usize {
    let mut quoted = false;
    let mut index = 0;
    while let Some(&byte) = text.get(index) {
        match byte {
            b'\\' if quoted => index += 1,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return index,
            _ => {}
        }
        index += 1;
    }
    text.len()
}

/// What is inside a quoted string, escapes undone; `None` where `text` is no quoted string (RFC 9110 §5.6.4).
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let [b'"', inner @ .., b'"'] = text else { return None };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => plain.push(bytes.next()?),
            _ => plain.push(byte),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn members(line: &str) -> Vec<&str> {
        Members::of(line.as_bytes()).map(|member| std::str::from_utf8(member).unwrap()).collect()
    }

    #[test]
    fn members_are_trimmed_and_empty_ones_skipped() {
        assert_eq!(members("a, b ,\tc"), ["a", "b", "c"]);
        assert_eq!(members(" , a,, b,"), ["a", "b"]);
        assert_eq!(members(""), Vec::<&str>::new());
        assert_eq!(members(" , ,"), Vec::<&str>::new());
    }

    #[test]
    fn a_comma_in_a_quoted_string_separates_nothing() {
        assert_eq!(members(r#"a="x, y", b"#), [r#"a="x, y""#, "b"]);
        assert_eq!(members(r#"a="x\", y", b"#), [r#"a="x\", y""#, "b"]);
        assert_eq!(members(r#"a="never closed, b"#), [r#"a="never closed, b"#]);
        assert_eq!(members(r#"a="\"#), [r#"a="\"#]);
    }

    #[test]
    fn lines_of_one_field_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append("vary", HeaderValue::from_static("a, b"));
        headers.append("vary", HeaderValue::from_static("c"));
        let all: Vec<_> = field(&headers, &http::header::VARY).collect();
        assert_eq!(all, [b"a", b"b", b"c"]);
    }

    #[test]
    fn quoted_strings_lose_their_quotes_and_escapes() {
        for (text, inside) in [
            (r#""""#, Some("")),
            (r#""a b""#, Some("a b")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            ("a", None),
            (r#"""#, None),
            (r#""a"#, None),
            (r#""a"b""#, None),
            (r#""a\""#, None),
        ] {
            assert_eq!(unquote(text.as_bytes()).as_deref(), inside.map(str::as_bytes), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for member in Members::of(&bytes) {
                unquote(member);
                prop_assert!(!member.is_empty());
            }
        }
    }
}
