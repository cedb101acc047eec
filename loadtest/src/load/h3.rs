//! HTTP/3 for load: many streams on one QUIC connection.

use std::future::poll_fn;
use std::time::Instant;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::Request;

use super::Shared;
use crate::client::{ClientError, Network, Server};

#[derive(Clone)]
pub(super) struct Connection(SendRequest<OpenStreams, Bytes>);

impl Connection {
    pub(super) async fn open(server: &Server, network: &Network) -> Result<Self, ClientError> {
        let connecting = network.quic(server.addr, server.name()).map_err(ClientError::Connect)?;
        let quic = connecting.await.map_err(|error| ClientError::Handshake(error.into()))?;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(quic))
            .await
            .map_err(|error| ClientError::Handshake(error.into()))?;
        // Ends with the connection, which ends when its last stream has gone.
        tokio::spawn(async move { drop(poll_fn(|cx| driver.poll_close(cx)).await) });
        Ok(Self(sender))
    }

    pub(super) async fn drive(mut self, request: &Request<()>, tally: &Shared) -> Result<(), ClientError> {
        loop {
            let asked = Instant::now();
            let sent = self.0.send_request(request.clone()).await;
            let mut stream = sent.map_err(|error| ClientError::Malformed(error.into()))?;
            stream.finish().await.map_err(told)?;
            let head = stream.recv_response().await.map_err(told)?;
            while let Some(bytes) = stream.recv_data().await.map_err(told)? {
                tally.bytes(bytes.remaining());
            }
            tally.answered(head.status(), asked);
        }
    }
}

fn told(error: h3::error::StreamError) -> ClientError {
    match error {
        h3::error::StreamError::RemoteTerminate { code, .. } => ClientError::Reset { code: code.value() },
        error => ClientError::Malformed(error.into()),
    }
}
