//! What the workers of one listener share, and how it is said to quinn-proto.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn_proto::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TimeSource, TransportConfig, ValidationTokenConfig,
    congestion,
};

use super::cid::{Seat, WorkerCids};
use super::keys::SharedKeys;
use crate::clock::Clock;
use crate::config::Limits;

/// QUIC version 1 (RFC 9000), the only one that is spoken.
const VERSIONS: [u32; 1] = [1];
/// Streams that a peer may open towards us in one direction: HTTP/3 needs three.
const UNI_STREAMS: u32 = 8;
/// Connection attempts that are known and not yet judged, and octets kept for all of them.
const INCOMING: (usize, u64) = (1_024, 16 << 20);
/// How long a Retry token is good for, and one for a later visit (RFC 9000 §8.1.3; at most a day).
const TOKEN_LIFE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(24 * 3_600));
/// Octets that a connection may hold unsent above its congestion window.
pub(super) const SEND_RESERVE: u64 = 256 << 10;

/// A place among the connections of the node; dropped when the connection is gone.
pub type Permit = Box<dyn Any + Send>;

/// Asks for a place for a peer; `None` refuses the connection.
pub type Admit = Arc<dyn Fn(IpAddr) -> Option<Permit> + Send + Sync>;

/// Who splits a large send into datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// The kernel or the network card (UDP GSO), as long as it works.
    Offloaded,
    /// We do: one system call for each datagram.
    Own,
}

/// What all workers of one listener share.
#[derive(Clone)]
pub struct Settings {
    /// TLS 1.3 with the ALPN protocols that are served; certificates may change behind its resolver.
    pub tls: Arc<rustls::ServerConfig>,
    /// Keys for resets and tokens.
    pub keys: SharedKeys,
    /// Bounds.
    pub limits: Limits,
    /// Who splits large sends.
    pub segmentation: Segmentation,
    /// Time.
    pub clock: Clock,
    /// Asked for each new connection, with the peer's address.
    pub admit: Admit,
    /// Counts processes that take over from each other on one port.
    pub generation: u8,
}

/// Why QUIC cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket refused an option.
    #[error("cannot prepare the UDP socket")]
    Socket(#[from] std::io::Error),
    /// The TLS configuration lacks TLS_AES_128_GCM_SHA256, which protects Initial packets (RFC 9001 §5.2).
    #[error("TLS has no cipher suite for QUIC")]
    Tls(#[from] NoInitialCipherSuite),
    /// A limit is beyond what QUIC can say (2^62 - 1).
    #[error("a limit is too large for QUIC")]
    Limit(#[from] quinn_proto::VarIntBoundsExceeded),
}

impl Settings {
    /// The endpoint of one worker.
    pub(super) fn endpoint(&self, seat: Seat) -> EndpointConfig {
        let generation = self.generation;
        let mut endpoint = EndpointConfig::new(self.keys.reset.clone());
        endpoint
            .cid_generator(move || Box::new(WorkerCids::new(seat, generation)))
            .supported_versions(VERSIONS.to_vec());
        endpoint
    }

    /// How connections are taken.
    pub(super) fn server(&self) -> Result<ServerConfig, StartError> {
        let crypto = QuicServerConfig::try_from(self.tls.clone())?;
        let mut tokens = ValidationTokenConfig::default();
        tokens.lifetime(TOKEN_LIFE.1).log(self.keys.used_tokens.clone()).sent(1);
        let mut server = ServerConfig::new(Arc::new(crypto), self.keys.token.clone());
        server
            .transport_config(Arc::new(self.transport()?))
            .validation_token_config(tokens)
            .retry_token_lifetime(TOKEN_LIFE.0)
            .migration(true)
            .max_incoming(INCOMING.0)
            .incoming_buffer_size_total(INCOMING.1)
            .time_source(Arc::new(Calendar(self.clock.clone())));
        Ok(server)
    }

    fn transport(&self) -> Result<TransportConfig, StartError> {
        let limits = &self.limits;
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(limits.h3_streams.into())
            .max_concurrent_uni_streams(UNI_STREAMS.into())
            .stream_receive_window(limits.stream_window.into())
            .receive_window(limits.connection_window.into())
            .send_window(limits.quic_send_window.min(SEND_RESERVE))
            .max_idle_timeout(Some(IdleTimeout::try_from(limits.quic_idle)?))
            .keep_alive_interval(None)
            .initial_mtu(1_200)
            .mtu_discovery_config(Some(MtuDiscoveryConfig::default()))
            .congestion_controller_factory(Arc::new(congestion::CubicConfig::default()))
            .datagram_receive_buffer_size(None)
            .datagram_send_buffer_size(0);
        Ok(transport)
    }
}

/// The calendar, for the age of tokens.
struct Calendar(Clock);

impl TimeSource for Calendar {
    fn now(&self) -> SystemTime {
        self.0.wall().system_time()
    }
}
