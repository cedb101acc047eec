//! The static table of QPACK (RFC 9204 Appendix A), and the way back from a field to its index.

use std::sync::LazyLock;

use http::HeaderName;

/// Name and value by index.
pub const TABLE: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000; includesubdomains"),
    ("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// What the table holds for one name.
#[derive(Debug)]
pub struct Entry {
    name: &'static str,
    /// An index with this name, whatever its value.
    pub any: u8,
    values: Vec<(&'static str, u8)>,
}

impl Entry {
    /// The index of exactly this value.
    pub fn with_value(&self, value: &[u8]) -> Option<u8> {
        self.values.iter().find(|(known, _)| known.as_bytes() == value).map(|(_, index)| *index)
    }
}

const LONGEST: usize = 32;

/// Entries by the length of their name: few share one.
static BY_LENGTH: LazyLock<[Vec<Entry>; LONGEST + 1]> = LazyLock::new(|| {
    let mut by_length: [Vec<Entry>; LONGEST + 1] = std::array::from_fn(|_| Vec::new());
    for (index, (name, value)) in (0u8..).zip(TABLE) {
        let entries = &mut by_length[name.len()];
        match entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => entry.values.push((value, index)),
            None => entries.push(Entry { name, any: index, values: vec![(value, index)] }),
        }
    }
    by_length
});

/// The entry for a lower-case name.
pub fn entry(name: &str) -> Option<&'static Entry> {
    BY_LENGTH.get(name.len())?.iter().find(|entry| entry.name == name)
}

/// The table's names as header names; `None` for the pseudo ones.
static NAMES: LazyLock<Vec<Option<HeaderName>>> = LazyLock::new(|| {
    TABLE.iter().map(|(name, _)| (!name.starts_with(':')).then(|| HeaderName::from_static(name))).collect()
});

/// The header name at `index`; `None` for pseudo names and outside the table.
pub fn header_name(index: u8) -> Option<&'static HeaderName> {
    NAMES.get(usize::from(index))?.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_its_name_and_value() {
        for (index, (name, value)) in (0u8..).zip(TABLE) {
            assert_eq!(
                entry(name).and_then(|entry| entry.with_value(value.as_bytes())),
                Some(index),
                "{name}: {value}"
            );
        }
        assert_eq!(entry("cache-control").map(|entry| entry.any), Some(36));
        assert!(entry("x-unknown").is_none());
        assert!(entry(&"x".repeat(100)).is_none());
    }
}
