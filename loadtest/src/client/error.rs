//! What can go wrong with a request, told apart so that a test can say which it wants to see.

use std::error::Error;
use std::io;

/// Why a connection, a request or a body failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL has no host, names a scheme the way cannot speak, or its name has no address.
    #[error("`{url}`: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The request could not be formed: a path, field name or value that HTTP does not allow.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// No connection at all: refused, unreachable, or out of sockets.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection stood, but TLS, QUIC or HTTP did not come about.
    #[error("handshake: {0}")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// The stream was reset by the server: RST_STREAM (RFC 9113, 6.4) or RESET_STREAM (RFC 9000, 19.4).
    #[error("reset with code {code:#x}")]
    Reset {
        /// The server's error code.
        code: u64,
    },
    /// The body ended before its announced or framed end.
    #[error("cut after {got} bytes")]
    Cut {
        /// Body bytes that had come.
        got: u64,
        /// `Content-Length`, where one was sent.
        announced: Option<u64>,
    },
    /// The connection ended before the answer's head, or under a body with a code: GOAWAY or CONNECTION_CLOSE.
    #[error("connection closed{}", .code.map(|code| format!(" with code {code:#x}")).unwrap_or_default())]
    Closed {
        /// The server's error code, where it gave one.
        code: Option<u64>,
    },
    /// The exchange was not over within its deadline.
    #[error("deadline passed")]
    Deadline,
    /// What the server sent is not HTTP.
    #[error("malformed: {0}")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
}

impl ClientError {
    /// A stable word for reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Request(_) => "request",
            Self::Connect(_) => "connect",
            Self::Handshake(_) => "handshake",
            Self::Reset { .. } => "reset",
            Self::Cut { .. } => "cut",
            Self::Closed { .. } => "closed",
            Self::Deadline => "deadline",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Whether it is a body that ended before its end, in whatever way the protocol says so.
    pub fn is_cut_body(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::Cut { .. })
    }
}

/// How far the exchange had come when it failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Head,
    Body { got: u64, announced: Option<u64> },
}

impl Stage {
    /// The connection ended without a code.
    pub(super) fn ended(self) -> ClientError {
        match self {
            Self::Head => ClientError::Closed { code: None },
            Self::Body { got, announced } => ClientError::Cut { got, announced },
        }
    }

    pub(super) fn hyper(self, error: hyper::Error) -> ClientError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(each) = cause {
            if let Some(found) = each.downcast_ref::<h2::Error>() {
                return self.h2(found, &error);
            }
            if each.is::<io::Error>() {
                return self.ended();
            }
            cause = each.source();
        }
        if error.is_parse() {
            return ClientError::Malformed(error.into());
        }
        self.ended()
    }

    fn h2(self, found: &h2::Error, whole: &hyper::Error) -> ClientError {
        let code = found.reason().map(|reason| u64::from(u32::from(reason)));
        match code {
            Some(code) if found.is_go_away() && found.is_remote() => ClientError::Closed { code: Some(code) },
            Some(code) if found.is_reset() && found.is_remote() => ClientError::Reset { code },
            Some(_) => ClientError::Malformed(whole.to_string().into()),
            None => self.ended(),
        }
    }

    /// `reason`: why the connection under the stream ended, if it did.
    pub(super) fn h3(self, error: h3::error::StreamError, reason: Option<quinn::ConnectionError>) -> ClientError {
        use h3::error::StreamError;
        use quinn::ConnectionError;
        match (error, reason) {
            (StreamError::RemoteTerminate { code, .. }, _) => ClientError::Reset { code: code.value() },
            (
                error @ (StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. }),
                None | Some(ConnectionError::LocallyClosed),
            ) => ClientError::Malformed(error.into()),
            (_, Some(ConnectionError::ApplicationClosed(close))) => {
                ClientError::Closed { code: Some(close.error_code.into_inner()) }
            }
            (_, Some(ConnectionError::ConnectionClosed(close))) => {
                ClientError::Closed { code: Some(close.error_code.into()) }
            }
            // We closed it, because what came broke the rules of HTTP/3 or QUIC.
            (error, Some(ConnectionError::LocallyClosed | ConnectionError::TransportError(_))) => {
                ClientError::Malformed(error.into())
            }
            (_, None | Some(_)) => self.ended(),
        }
    }
}
