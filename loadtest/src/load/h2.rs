//! HTTP/2 for load: many streams on one connection, its windows given back as fast as they are used.

use std::time::Instant;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::{Request, StatusCode};

use super::{RECEIVE, Shared};
use crate::client::{ClientError, tcp::Stream};

#[derive(Clone)]
pub(crate) struct Connection(SendRequest<Bytes>);

impl Connection {
    pub(crate) async fn new(stream: Stream) -> Result<Self, ClientError> {
        let (sender, connection) = Builder::new()
            .initial_window_size(RECEIVE.stream)
            .initial_connection_window_size(RECEIVE.connection)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| ClientError::Handshake(error.into()))?;
        // Ends when the last stream has gone; how it ended, the streams tell.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    /// Asks, and waits for nothing.
    pub(crate) async fn ask(mut self, request: &Request<()>) -> Result<ResponseFuture, ClientError> {
        self.0 = self.0.ready().await.map_err(told)?;
        Ok(self.0.send_request(request.clone(), true).map_err(told)?.0)
    }

    /// An answer: its status, when its head came, and its body.
    pub(crate) async fn answer(answer: ResponseFuture) -> Result<(StatusCode, Instant, Vec<u8>), ClientError> {
        let (head, mut body) = answer.await.map_err(told)?.into_parts();
        let (first, mut octets) = (Instant::now(), Vec::new());
        while let Some(bytes) = body.data().await {
            let bytes = bytes.map_err(told)?;
            body.flow_control().release_capacity(bytes.len()).map_err(told)?;
            octets.extend_from_slice(&bytes);
        }
        Ok((head.status, first, octets))
    }

    pub(super) async fn drive(mut self, request: &Request<()>, tally: &Shared) -> Result<(), ClientError> {
        loop {
            self.0 = self.0.ready().await.map_err(told)?;
            let asked = Instant::now();
            let (answer, _) = self.0.send_request(request.clone(), true).map_err(told)?;
            let (head, mut body) = answer.await.map_err(told)?.into_parts();
            while let Some(bytes) = body.data().await {
                let count = bytes.map_err(told)?.len();
                body.flow_control().release_capacity(count).map_err(told)?;
                tally.bytes(count);
            }
            tally.answered(head.status, asked);
        }
    }
}

fn told(error: h2::Error) -> ClientError {
    let code = error.reason().map(|reason| u64::from(u32::from(reason)));
    match code {
        Some(code) if error.is_reset() && error.is_remote() => ClientError::Reset { code },
        code if error.is_io() || error.is_remote() => ClientError::Closed { code },
        _ => ClientError::Malformed(error.into()),
    }
}
