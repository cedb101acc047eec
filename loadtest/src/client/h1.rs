//! HTTP/1.1 as browsers use it: at most six connections to a server, kept and used again.
//!
//! A connection is leased to one exchange. It goes back when the body was read to its end; an exchange that is dropped before
//! closes its connection, which is HTTP/1.1's only way to cancel.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::error::Stage;
use super::{ClientError, Parts};

const CONNECTIONS: usize = 6;

/// The connections of one client to its server.
pub(super) struct Pool {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection at work for one exchange.
pub(super) struct Lease {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// The exchange is over; the connection may serve another.
    pub(super) fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            lock(&self.idle).push(connection);
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(CONNECTIONS)), idle: Arc::default() }
    }

    /// Opens a first connection, so that a server that cannot be reached is known at once.
    pub(super) async fn warm(&self, parts: &Parts) -> Result<(), ClientError> {
        let connection = Connection::open(parts).await?;
        lock(&self.idle).push(connection);
        Ok(())
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        parts: &Parts,
        request: &Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Lease), ClientError> {
        let permit = self.permits.clone().acquire_owned().await;
        let mut lease = Lease {
            connection: None,
            idle: self.idle.clone(),
            _permit: permit.expect("the semaphore is never closed"),
        };
        loop {
            let (mut connection, kept) = match self.kept().await {
                Some(connection) => (connection, true),
                None => (Connection::open(parts).await?, false),
            };
            let answer = connection.sender.send_request(request.clone());
            lease.connection = Some(connection);
            match answer.await {
                Ok(answer) => return Ok((answer, lease)),
                // The server closed the kept connection before anything was written: as good as never used.
                Err(error) if kept && error.is_canceled() => lease.connection = None,
                Err(error) => return Err(Stage::Head.hyper(error)),
            }
        }
    }

    /// A kept connection that is still open.
    async fn kept(&self) -> Option<Connection> {
        loop {
            let mut connection = lock(&self.idle).pop()?;
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }
}

impl Connection {
    async fn open(parts: &Parts) -> Result<Self, ClientError> {
        let stream = parts.tcp().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ClientError::Handshake(error.into()))?;
        parts.opened();
        // How it ended, the exchange on it tells.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, task: task.abort_handle() })
    }
}
