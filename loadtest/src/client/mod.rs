//! One HTTP client for all ways of HTTP, which hides nothing: pieces of a body with their times, trailers, and errors that tell
//! a cut body from a reset one.
//!
//! A [`Client`] is one viewer's: up to six connections over HTTP/1.1, one over HTTP/2 and HTTP/3. Dropping a request's future
//! or its [`Response`] cancels the exchange on the wire. A connection that ended is replaced at the next request; a request is
//! sent a second time only if not a byte of it was ever written.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use weir_loadtest::client::{Client, Trust, Way};
//!
//! let client = Client::connect("https://127.0.0.1:8443", Way::H3, &Trust::AcceptAny).await?;
//! let mut answer = client.get("/live/master.m3u8", &[("accept-encoding", "gzip")]).await?;
//! assert_eq!(answer.status, 200);
//! while let Some(chunk) = answer.chunk().await? {
//!     println!("{} bytes {:?} after the head", chunk.bytes.len(), chunk.at - answer.head_at);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod h1;
mod h2;
mod h3;
mod network;
mod response;
mod server;
pub(crate) mod tcp;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;

pub use error::ClientError;
pub use network::{Network, Receive, Trust, TrustError};
pub use response::{Chunk, Response};
pub use server::{Server, Way};

use response::Source;

const DEADLINE: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("weir-loadtest/", env!("CARGO_PKG_VERSION"));

/// One viewer's connections to one server. Clones share them.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    deadline: Duration,
}

struct Inner {
    parts: Parts,
    transport: Transport,
}

/// What a connection is made from.
struct Parts {
    server: Server,
    way: Way,
    network: Network,
    opened: AtomicU64,
}

enum Transport {
    H1(h1::Pool),
    H2(h2::Shared),
    H3(h3::Shared),
}

impl Parts {
    async fn tcp(&self) -> Result<tcp::Stream, ClientError> {
        let tls = match self.way {
            Way::H1 | Way::H2Cleartext | Way::H3 => None,
            Way::H1Tls => Some(self.network.tls()),
            Way::H2 => Some(self.network.tls_h2()),
        };
        tcp::connect(&self.server, tls, self.network.receive()).await
    }

    fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.inner.parts.server)
            .field("way", &self.inner.parts.way)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the server that `url` names (`https://host:port`, or `host:port`), with settings and sockets of its own.
    /// Many clients share them better by [`Client::connect_to`].
    ///
    /// # Errors
    /// [`ClientError::Url`], [`ClientError::Connect`], [`ClientError::Handshake`], or [`ClientError::Deadline`] after 30 s.
    pub async fn connect(url: &str, way: Way, trust: &Trust) -> Result<Self, ClientError> {
        let server = Server::find(url, way).await?;
        Self::connect_to(server, way, &Network::new(trust)).await
    }

    /// Connects to `server` with shared settings and sockets.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_to(server: Server, way: Way, network: &Network) -> Result<Self, ClientError> {
        let transport = match way {
            Way::H1 | Way::H1Tls => Transport::H1(h1::Pool::new()),
            Way::H2 | Way::H2Cleartext => Transport::H2(h2::Shared::default()),
            Way::H3 => Transport::H3(h3::Shared::default()),
        };
        let parts = Parts { server, way, network: network.clone(), opened: AtomicU64::new(0) };
        let inner = Inner { parts, transport };
        let warm = async {
            match &inner.transport {
                Transport::H1(pool) => pool.warm(&inner.parts).await,
                Transport::H2(shared) => shared.warm(&inner.parts).await,
                Transport::H3(shared) => shared.warm(&inner.parts).await,
            }
        };
        let warm = tokio::time::timeout(DEADLINE, warm).await;
        warm.map_err(|_| ClientError::Deadline)??;
        Ok(Self { inner: Arc::new(inner), deadline: DEADLINE })
    }

    /// The same client with another deadline for each whole exchange; 30 s is the default.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.inner.parts.server
    }

    /// The way it is spoken to.
    pub fn way(&self) -> Way {
        self.inner.parts.way
    }

    /// Connections opened so far.
    pub fn connections(&self) -> u64 {
        self.inner.parts.opened.load(Ordering::Relaxed)
    }

    /// Asks for `path` (with its query) and waits for the head of the answer.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Cut`].
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response, ClientError> {
        self.request(Method::GET, path, headers, Bytes::new()).await
    }

    /// Sends any request and waits for the head of the answer. `User-Agent` and `Host` are added where `headers` has none.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.deadline;
        let request = self.form(&method, path, headers, body)?;
        let answer = tokio::time::timeout_at(deadline.into(), self.send(request)).await;
        let (head, source) = answer.map_err(|_| ClientError::Deadline)??;
        Ok(Response::new(self.clone(), &method, head, (source, deadline)))
    }

    fn form(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Bytes>, ClientError> {
        let Parts { server, way, .. } = &self.inner.parts;
        let (scheme, authority) = (way.scheme(), &server.authority);
        let request = Request::builder().method(method);
        let request = match &self.inner.transport {
            Transport::H1(_) => request.uri(path),
            Transport::H2(_) | Transport::H3(_) => request.uri(format!("{scheme}://{authority}{path}")),
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(body)?;
        let host = http::HeaderValue::try_from(authority).map_err(http::Error::from)?;
        let fields = request.headers_mut();
        if matches!(self.inner.transport, Transport::H1(_)) {
            fields.entry(header::HOST).or_insert(host);
        }
        let agent = http::HeaderValue::from_static(USER_AGENT);
        fields.entry(header::USER_AGENT).or_insert(agent);
        Ok(request)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<(http::response::Parts, Source), ClientError> {
        let parts = &self.inner.parts;
        match &self.inner.transport {
            Transport::H1(pool) => {
                let (answer, lease) = pool.send(parts, &request.map(Full::new)).await?;
                let (head, body) = answer.into_parts();
                Ok((head, Source::H1(body, lease)))
            }
            Transport::H2(shared) => {
                let answer = shared.send(parts, &request.map(Full::new)).await?;
                let (head, body) = answer.into_parts();
                Ok((head, Source::H2(body)))
            }
            Transport::H3(shared) => {
                let (head, body) = request.into_parts();
                let mut request = Request::from_parts(head, ());
                if !body.is_empty() {
                    request.headers_mut().entry(header::CONTENT_LENGTH).or_insert(body.len().into());
                }
                let (answer, exchange) = shared.send(parts, request, body).await?;
                Ok((answer.into_parts().0, Source::H3(Box::new(exchange))))
            }
        }
    }
}
