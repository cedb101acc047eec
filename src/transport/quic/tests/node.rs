//! A worker's driver on loopback, and clients for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::echo::{MakeEcho, Signal, Told};
use crate::clock::Clock;
use crate::config::Limits;
use crate::tasks::Tasks;
use crate::transport::quic::{Driver, Handle, QuicKeys, Seat, Segmentation, Settings, SharedKeys};
use crate::transport::steer::Group;

/// A certificate for `localhost`, and who trusts it.
pub(super) struct Trust {
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

impl Trust {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        server.alpn_protocols = vec![b"h3".to_vec()];
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h3".to_vec()];
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            tls: self.server.clone(),
            keys: SharedKeys::new(&QuicKeys::random()),
            limits: Limits::default(),
            segmentation: Segmentation::Offloaded,
            clock: Clock::system(),
            admit: Arc::new(|_| Some(Box::new(()))),
            generation: 0,
        }
    }

    /// How clients connect; `window` is what they take on a stream before it is read.
    pub(super) fn client(&self, window: u32) -> quinn::ClientConfig {
        self.client_by(window, quinn::TransportConfig::default())
    }

    fn client_by(&self, window: u32, mut transport: quinn::TransportConfig) -> quinn::ClientConfig {
        let crypto = QuicClientConfig::try_from(self.client.clone()).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        transport.stream_receive_window(window.into()).receive_window(window.into());
        config.transport_config(Arc::new(transport));
        config
    }
}

pub(super) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// One worker that serves a port alone.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) handle: Handle,
    pub(super) told: UnboundedReceiver<Told>,
    pub(super) signal: Arc<Mutex<Signal>>,
    pub(super) running: JoinHandle<std::io::Result<()>>,
    trust: Trust,
    /// What clients take on a stream before it is read.
    pub(super) window: u32,
}

impl Node {
    pub(super) fn start() -> Self {
        Self::with(loopback(), |_| {})
    }

    pub(super) fn with(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Group::bind(address, NonZeroU8::MIN).unwrap().sockets.remove(0), change)
    }

    pub(super) fn on(socket: std::net::UdpSocket, change: impl FnOnce(&mut Settings)) -> Self {
        let address = socket.local_addr().unwrap();
        let trust = Trust::new();
        let mut settings = trust.settings();
        change(&mut settings);
        let (told, told_here) = unbounded_channel();
        let signal = Arc::default();
        let make = MakeEcho { told, signal: Arc::clone(&signal) };
        let (driver, handle) = Driver::new(socket, Seat::ALONE, &settings, make).unwrap();
        let running = Tasks::current().spawn("quic", driver.run());
        Self { address, handle, told: told_here, signal, running, trust, window: 1 << 20 }
    }

    pub(super) fn client(&self) -> quinn::Endpoint {
        self.client_of(quinn::EndpointConfig::default())
    }

    pub(super) fn client_of(&self, config: quinn::EndpointConfig) -> quinn::Endpoint {
        let socket = std::net::UdpSocket::bind(loopback()).unwrap();
        let runtime = Arc::new(quinn::TokioRuntime);
        let mut client = quinn::Endpoint::new(config, None, socket, runtime).unwrap();
        client.set_default_client_config(self.trust.client(self.window));
        client
    }

    /// Waits until the driver has ended.
    pub(super) async fn over(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.running).await.expect("it ends").unwrap().unwrap();
    }

    pub(super) async fn connect(&self) -> quinn::Connection {
        self.connect_to(IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap()
    }

    pub(super) async fn connect_to(&self, ip: IpAddr) -> Result<quinn::Connection, quinn::ConnectionError> {
        let address = SocketAddr::new(ip, self.address.port());
        self.client().connect(address, "localhost").unwrap().await
    }

    /// Connects with a first packet that is sent once only: no node of a busy machine is that late with its answer.
    pub(super) fn connecting_once(&self, address: SocketAddr) -> quinn::Connecting {
        let mut transport = quinn::TransportConfig::default();
        transport.initial_rtt(Duration::from_secs(30));
        let config = self.trust.client_by(self.window, transport);
        self.client().connect_with(config, address, "localhost").unwrap()
    }

    pub(super) async fn connect_once(&self) -> Result<quinn::Connection, quinn::ConnectionError> {
        self.connecting_once(self.address).await
    }

    /// Waits until a layer has told something for which `wanted` gives an answer.
    pub(super) async fn hears<T>(&mut self, wanted: impl Fn(Told) -> Option<T>) -> T {
        let listen = async {
            loop {
                let told = self.told.recv().await.expect("the node lives");
                if let Some(answer) = wanted(told) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, listen).await.expect("it happens")
    }
}

/// Carries datagrams between clients and a node until it is cut: then what the node says is lost.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Relay {
    pub(super) async fn to(node: SocketAddr) -> Self {
        let socket = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
        let address = socket.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        Tasks::current().spawn("relay", async move {
            let mut client = None;
            let mut buffer = [0; 65_535];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let to = if from == node { client } else { Some(node) };
                if from != node {
                    client = Some(from);
                } else if is_cut.load(Relaxed) {
                    continue;
                }
                _ = socket.send_to(&buffer[..length], to.unwrap()).await;
            }
        });
        Self { address, cut }
    }

    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
    }
}

/// Says `words` on a new stream, and hears the whole answer.
pub(super) async fn ask(connection: &quinn::Connection, words: &[u8]) -> Vec<u8> {
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let say = async {
            send.write_all(words).await.unwrap();
            send.finish().unwrap();
        };
        tokio::join!(say, receive.read_to_end(usize::MAX)).1.unwrap()
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer comes")
}

/// A test that waits longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
