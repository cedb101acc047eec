//! HTTP/3 as browsers use it: one QUIC connection for everything, a new one when it has ended.
//!
//! A dropped exchange resets the half that is still sent with H3_REQUEST_CANCELLED (RFC 9114, 4.1.1), and stops the half that
//! is still received, by quinn and with code 0: h3-quinn lends the stream to its read, and panics if told to stop it meanwhile.

use std::future::poll_fn;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, StreamError};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, Request, Response};
use tokio::sync::Mutex;

use super::error::Stage;
use super::{ClientError, Parts};

type Sender = SendRequest<OpenStreams, Bytes>;
type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// The connection of one client, if it stands. The lock is held while connecting, so that only one is opened.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Connection>>);

#[derive(Clone)]
struct Connection {
    sender: Sender,
    quic: quinn::Connection,
}

/// A request and its answer on a stream.
pub(super) struct Exchange {
    stream: Stream,
    quic: quinn::Connection,
    sending: Sending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    Ended,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.sending == Sending::Open {
            self.stream.stop_stream(Code::H3_REQUEST_CANCELLED);
        }
    }
}

impl Exchange {
    async fn begin(stream: Stream, quic: quinn::Connection, body: Bytes) -> Result<(Response<()>, Self), ClientError> {
        let mut this = Self { stream, quic, sending: Sending::Open };
        match this.answer(body).await {
            Ok(answer) => Ok((answer, this)),
            Err(error) => Err(Stage::Head.h3(error, this.quic.close_reason())),
        }
    }

    async fn answer(&mut self, body: Bytes) -> Result<Response<()>, StreamError> {
        if !body.is_empty() {
            self.stream.send_data(body).await?;
        }
        self.stream.finish().await?;
        self.sending = Sending::Ended;
        loop {
            let answer = self.stream.recv_response().await?;
            if !answer.status().is_informational() {
                return Ok(answer);
            }
        }
    }

    /// The next piece of the body.
    pub(super) async fn chunk(&mut self, stage: Stage) -> Result<Option<Bytes>, ClientError> {
        match self.stream.recv_data().await {
            Ok(chunk) => Ok(chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))),
            Err(error) => Err(stage.h3(error, self.quic.close_reason())),
        }
    }

    /// The fields after the body; with them the stream has ended.
    pub(super) async fn trailers(&mut self, stage: Stage) -> Result<Option<HeaderMap>, ClientError> {
        let trailers = self.stream.recv_trailers().await;
        trailers.map_err(|error| stage.h3(error, self.quic.close_reason()))
    }
}

impl Shared {
    /// Makes sure that a connection stands.
    pub(super) async fn warm(&self, parts: &Parts) -> Result<(), ClientError> {
        self.connection(parts).await.map(drop)
    }

    async fn connection(&self, parts: &Parts) -> Result<Connection, ClientError> {
        let mut current = self.0.lock().await;
        let standing = current.as_ref().filter(|each| each.quic.close_reason().is_none());
        if let Some(connection) = standing {
            return Ok(connection.clone());
        }
        let connection = Connection::open(parts).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        parts: &Parts,
        request: Request<()>,
        body: Bytes,
    ) -> Result<(Response<()>, Exchange), ClientError> {
        let mut again = true;
        loop {
            let Connection { mut sender, quic } = self.connection(parts).await?;
            match sender.send_request(request.clone()).await {
                Ok(stream) => return Exchange::begin(stream, quic, body).await,
                // Never sent: the server had said GOAWAY (RFC 9114, 5.2) or closed. Streams of that connection go on.
                Err(_) if again => {
                    again = false;
                    self.0.lock().await.take();
                }
                Err(error) => return Err(Stage::Head.h3(error, quic.close_reason())),
            }
        }
    }
}

impl Connection {
    async fn open(parts: &Parts) -> Result<Self, ClientError> {
        let server = &parts.server;
        let connecting = parts.network.quic(server.addr, server.name()).map_err(ClientError::Connect)?;
        let quic = connecting.await.map_err(|error| ClientError::Handshake(error.into()))?;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(quic.clone()))
            .await
            .map_err(|error| ClientError::Handshake(error.into()))?;
        parts.opened();
        // Ends with the connection, which ends when the last sender and the last exchange are dropped.
        tokio::spawn(async move { drop(poll_fn(|cx| driver.poll_close(cx)).await) });
        Ok(Self { sender, quic })
    }
}
