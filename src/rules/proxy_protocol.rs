//! The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt): the first octets of a
//! connection from a balancer say who stands behind it. Only peers that are configured to send it may; the header is
//! bounded, its extensions (TLVs) are passed over, and anything malformed ends the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first octets of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, line end included.
const V1_MAX: usize = 107;
/// The longest header of version 2 that is read, TLVs included.
const V2_MAX: usize = 4 << 10;

/// The longest header of either version: nobody needs to buffer more.
pub const HEADER_MAX: usize = V2_MAX;

/// What the first octets of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// More octets are needed.
    Partial,
    /// A whole header of that many octets. `source` is `None` where the balancer speaks for itself (LOCAL, UNKNOWN,
    /// Unix sockets): then the connection's own address counts.
    Whole {
        /// Octets of the header.
        length: usize,
        /// The viewer's address.
        source: Option<SocketAddr>,
    },
}

/// The octets are no header of the PROXY protocol, or a malformed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY protocol header")]
pub struct Malformed;

/// Reads the header at the start of `octets`.
pub fn parse(octets: &[u8]) -> Result<Header, Malformed> {
    let shared = octets.len().min(SIGNATURE.len());
    if octets[..shared] == SIGNATURE[..shared] && octets.first() != Some(&b'P') {
        return if shared < SIGNATURE.len() { Ok(Header::Partial) } else { version_2(octets) };
    }
    version_1(octets)
}

fn version_1(octets: &[u8]) -> Result<Header, Malformed> {
    const START: &[u8] = b"PROXY ";
    let shared = octets.len().min(START.len());
    if octets[..shared] != START[..shared] {
        return Err(Malformed);
    }
    let seen = &octets[..octets.len().min(V1_MAX)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if octets.len() < V1_MAX { Ok(Header::Partial) } else { Err(Malformed) };
    };
    let line = seen[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let length = end + 1;
    let family = words.next().ok_or(Malformed)?;
    // What follows UNKNOWN is to be ignored.
    if family == "UNKNOWN" {
        return Ok(Header::Whole { length, source: None });
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words[..] else { return Err(Malformed) };
    let address = |text: &str| -> Result<IpAddr, Malformed> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed),
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    _ = (address(destination)?, port(destination_port)?);
    let source = SocketAddr::new(address(source)?.to_canonical(), port(source_port)?);
    Ok(Header::Whole { length, source: Some(source) })
}

/// A port in decimal without leading zeros or signs.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

fn version_2(octets: &[u8]) -> Result<Header, Malformed> {
    let Some(fixed) = octets.get(SIGNATURE.len()..16) else { return Ok(Header::Partial) };
    let (version, command) = (fixed[0] >> 4, fixed[0] & 0x0f);
    let (family, transport) = (fixed[1] >> 4, fixed[1] & 0x0f);
    let body = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let length = 16 + body;
    if version != 2 || command > 1 || family > 3 || transport > 2 || length > V2_MAX {
        return Err(Malformed);
    }
    let Some(body) = octets.get(16..length) else { return Ok(Header::Partial) };
    let is_stream = transport == 1;
    let source = match (command, family) {
        (0, _) | (_, 0 | 3) => None,
        // Datagrams do not come over a stream socket.
        _ if !is_stream => return Err(Malformed),
        (_, 1) => {
            let body: &[u8; 12] = body.first_chunk().ok_or(Malformed)?;
            let ip = Ipv4Addr::new(body[0], body[1], body[2], body[3]);
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be_bytes([body[8], body[9]])))
        }
        _ => {
            let body: &[u8; 36] = body.first_chunk().ok_or(Malformed)?;
            let ip: [u8; 16] = *body.first_chunk().expect("16 octets are fewer than 36");
            let ip = IpAddr::V6(Ipv6Addr::from(ip)).to_canonical();
            Some(SocketAddr::new(ip, u16::from_be_bytes([body[32], body[33]])))
        }
    };
    Ok(Header::Whole { length, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [SIGNATURE.as_slice(), &[0x20 | command, family], &length, body].concat()
    }

    fn source(octets: &[u8]) -> Option<SocketAddr> {
        match parse(octets) {
            Ok(Header::Whole { source, .. }) => source,
            other => panic!("expected a whole header, got {other:?}"),
        }
    }

    #[test]
    fn both_versions_name_the_viewer() {
        let v4 = [198, 51, 100, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let v6 =
            [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16], &[0x12, 0x34, 0, 80]].concat();
        let with_tlv = [&v4[..], &[4, 0, 2, 9, 9]].concat();
        assert_eq!(source(&v2(1, 0x11, &v4)), Some("198.51.100.1:4660".parse().unwrap()));
        assert_eq!(source(&v2(1, 0x11, &with_tlv)), Some("198.51.100.1:4660".parse().unwrap()));
        assert_eq!(source(&v2(1, 0x21, &v6)), Some("[2001:db8::1]:4660".parse().unwrap()));
        let line = b"PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\nGET / HTTP/1.1\r\n";
        assert_eq!(parse(line), Ok(Header::Whole { length: 42, source: Some("198.51.100.1:4660".parse().unwrap()) }));
        assert_eq!(source(b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\n"), Some("[2001:db8::1]:4660".parse().unwrap()));
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_names_nobody() {
        for octets in [v2(0, 0, &[]), v2(0, 0x11, &[0; 12]), v2(1, 0x31, &[0; 216]), b"PROXY UNKNOWN\r\n".to_vec()] {
            assert_eq!(source(&octets), None);
        }
        assert_eq!(source(b"PROXY UNKNOWN ff:: whatever\r\n"), None);
    }

    #[test]
    fn anything_else_is_malformed() {
        let mut wrong_version = v2(1, 0x11, &[0; 12]);
        wrong_version[12] = 0x11;
        let cases: [&[u8]; 13] = [
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            &[&b"PROXY TCP4 "[..], &[b'1'; 100]].concat(),
            &wrong_version,
            &v2(1, 0x12, &[0; 12]),
            &v2(1, 0x11, &[0; 11]),
        ];
        for octets in cases {
            assert_eq!(parse(octets), Err(Malformed), "{}", String::from_utf8_lossy(octets));
        }
        assert_eq!(parse(&v2(1, 0x11, &[0; V2_MAX])), Err(Malformed));
    }

    proptest! {
        #[test]
        fn a_prefix_of_a_good_header_is_partial_and_no_octets_panic(
            cut in 0usize..40,
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for good in [v2(1, 0x11, &[1; 30]), b"PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n".to_vec()] {
                prop_assert_eq!(parse(&good[..cut.min(good.len() - 1)]), Ok(Header::Partial));
            }
            _ = parse(&noise);
            _ = parse(&[SIGNATURE.as_slice(), &noise].concat());
        }
    }
}
