//! Ways to speak HTTP, and whom to speak to.

use std::net::SocketAddr;

use super::ClientError;

/// A version of HTTP and what carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// HTTP/1.1 in clear.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in clear, with prior knowledge (RFC 9113, 3.3).
    H2Cleartext,
    /// HTTP/3.
    H3,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::H1, Self::H1Tls, Self::H2, Self::H2Cleartext, Self::H3];

    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::H1 | Self::H2Cleartext => "http",
            Self::H1Tls | Self::H2 | Self::H3 => "https",
        }
    }

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H1Tls => "h1s",
            Self::H2 => "h2",
            Self::H2Cleartext => "h2c",
            Self::H3 => "h3",
        }
    }
}

impl std::str::FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|way| way.name() == text).ok_or_else(|| "one of h1, h1s, h2, h2c, h3".to_owned())
    }
}

/// A server: where it is, and what it is called in `Host`, `:authority` and SNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where to connect to.
    pub addr: SocketAddr,
    /// Host, and port unless it is the scheme's own.
    pub authority: String,
}

impl Server {
    /// Reads `https://host:port/…`, or `host:port` alone, and finds its address.
    ///
    /// # Errors
    /// [`ClientError::Url`] if there is no host, the scheme is not the way's, or the name has no address.
    pub async fn find(url: &str, way: Way) -> Result<Self, ClientError> {
        let fault = |problem| ClientError::Url { url: url.to_owned(), problem };
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(way.scheme()) => rest,
            Some(_) => return Err(fault("the scheme is not that of the protocol asked for")),
            None => url,
        };
        let text = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority: http::uri::Authority = text.parse().map_err(|_| fault("there is no host in it"))?;
        let default = if way.scheme() == "http" { 80 } else { 443 };
        let port = authority.port_u16().unwrap_or(default);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let mut found = tokio::net::lookup_host((host, port)).await.map_err(ClientError::Connect)?;
        let addr = found.next().ok_or_else(|| fault("its name has no address"))?;
        Ok(Self { addr, authority: authority.to_string() })
    }

    /// The name without port and brackets, as certificates have it.
    pub fn name(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_read_from_a_url_or_an_address() {
        for (url, way, addr, name) in [
            ("http://127.0.0.1:81/x?y", Way::H1, "127.0.0.1:81", "127.0.0.1"),
            ("https://127.0.0.1", Way::H3, "127.0.0.1:443", "127.0.0.1"),
            ("[::1]:8443", Way::H2, "[::1]:8443", "::1"),
            ("https://[::1]/x", Way::H2, "[::1]:443", "::1"),
        ] {
            let server = Server::find(url, way).await.unwrap();
            assert_eq!((server.addr, server.name()), (addr.parse().unwrap(), name));
        }
        for (url, way) in [("https://127.0.0.1", Way::H1), ("http:///x", Way::H1), ("", Way::H3)] {
            let error = Server::find(url, way).await.unwrap_err();
            assert_eq!(error.word(), "url", "{url}");
        }
    }
}
