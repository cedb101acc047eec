//! The head of a request, whatever protocol carried it. `transport::head` builds it once from checked values; nobody
//! below asks for the bytes it came from.

use std::net::SocketAddr;

use http::{HeaderMap, Method};

use crate::clock::Tick;
use crate::outbound::interim::Interims;
use crate::rules::upstream::rendezvous::Print;

use super::line::Line;
use super::notes::Notes;

/// The head of one request.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method; a token (RFC 9110 §9.1).
    pub method: Method,
    /// How the viewer came.
    pub scheme: Scheme,
    /// `host` or `host:port`, lower case, from `:authority`, the absolute form or Host (RFC 9110 §7.2).
    /// `None` only on HTTP/1.0 without Host.
    pub authority: Option<String>,
    /// The path as sent, beginning with `/`; `*` for the asterisk form of OPTIONS.
    pub path: String,
    /// The query as sent, without `?`.
    pub query: Option<String>,
    /// Header fields without Host and the pseudo fields; the Cookie fields joined (RFC 9113 §8.2.3).
    pub headers: HeaderMap,
    /// Who asks.
    pub viewer: Viewer,
    /// As what it came: by which listener, and what that one asks for.
    pub caller: Caller,
    /// What carried it.
    pub protocol: Protocol,
    /// When its head was complete.
    pub received: Tick,
    /// Who hears interim answers.
    pub interims: Interims,
    /// What becomes known of it on its way.
    pub notes: Notes,
    /// What is known of the way to the viewer.
    pub line: Line,
}

impl Head {
    /// Host without port, lower case, IPv6 in brackets; empty where there is none.
    pub fn host(&self) -> &str {
        let authority = self.authority.as_deref().unwrap_or_default();
        match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        }
    }
}

/// As what a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// As one of a viewer, by a listener for viewers.
    #[default]
    Viewer,
    /// As one of another node, which has proven itself, by the listener for those. It may name what it means by the
    /// print of its key.
    Node(Option<Print>),
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The viewer's own address: the peer's, or what a trusted proxy says (PROXY protocol, Forwarded,
    /// X-Forwarded-For). Every log, limit and rule uses this one. The port is 0 where it is not known.
    pub address: SocketAddr,
    /// Whether what its fields say of the viewer is believed.
    pub proxy: Proxy,
}

/// Who brought a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// The viewer, or whoever is in its place: what it says of itself is not believed.
    #[default]
    None,
    /// A proxy that may say where viewers come from.
    Trusted,
}

/// The scheme a viewer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS or QUIC.
    Https,
}

impl Scheme {
    /// As written in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The protocol that carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Protocol {
    /// The version as Via writes it (RFC 9110 §7.6.3).
    pub const fn version(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }

    /// The name in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http10 | Self::Http11 => "h1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_authority_without_its_port() {
        for (authority, host) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:8443", "[::1]"),
        ] {
            let head = Head {
                method: Method::GET,
                scheme: Scheme::Http,
                authority: Some(authority.to_owned()),
                path: "/".to_owned(),
                query: None,
                headers: HeaderMap::new(),
                caller: Caller::Viewer,
                viewer: Viewer {
                    peer: ([127, 0, 0, 1], 1).into(),
                    address: ([127, 0, 0, 1], 1).into(),
                    proxy: Proxy::None,
                },
                protocol: Protocol::Http11,
                received: Tick::default(),
                interims: Interims::default(),
                notes: Notes::default(),
                line: Line::default(),
            };
            assert_eq!(head.host(), host);
        }
    }
}
