//! TLS towards an origin: what it must prove, what we prove to it, what ALPN chooses.

use super::*;

use std::io::Write;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Certificate;
use crate::origin::Framing;

/// A throw-away authority, its certificate in a file.
pub(super) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: CertificateDer<'static>,
    file: NamedTempFile,
}

fn file_of(pem: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    file
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            file: file_of(&certificate.pem()),
            certificate: certificate.der().clone(),
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// An origin's TLS that trusts it alone.
    pub fn trusted(&self) -> OriginTls {
        OriginTls { ca: Some(self.file.path().to_owned()), ..OriginTls::default() }
    }

    fn leaf(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server's side for `name` that offers these protocols; with `clients`, who must show a certificate of theirs.
    fn server(&self, name: &str, alpn: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(clients.certificate.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (leaf, key) = self.leaf(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(vec![leaf.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An origin that speaks TLS.
pub(super) struct Secure {
    origin: ByHand,
    acceptor: TlsAcceptor,
}

impl Secure {
    /// For 127.0.0.1, with the protocols of `alpn`.
    pub async fn new(authority: &Authority, alpn: &[&str]) -> Self {
        Self::with(authority.server("127.0.0.1", alpn, None)).await
    }

    async fn with(acceptor: TlsAcceptor) -> Self {
        Self { origin: ByHand::new().await, acceptor }
    }

    /// Accepts one connection and shakes hands.
    pub async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(self.origin.accept().await.0).await
    }

    /// Its configuration on the edge.
    pub fn config(&self, tls: OriginTls) -> Origin {
        Origin { scheme: OriginScheme::Https, tls, ..origin_at(self.origin.port) }
    }
}

/// Reads a request head and says `answer`.
async fn answer_by_hand(stream: &mut TlsStream<TcpStream>, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn http_1_is_spoken_where_alpn_says_so_or_nothing() {
    let authority = Authority::new();
    for alpn in [&["http/1.1"] as &[&str], &[]] {
        let secure = Secure::new(&authority, alpn).await;
        let edge = Edge::new(&[secure.config(authority.trusted())]);
        let fetch = edge.fetching(get("/"));
        let mut stream = secure.accept().await.unwrap();
        answer_by_hand(&mut stream, EMPTY).await;
        assert_eq!(fetch.await.unwrap().unwrap().version, http::Version::HTTP_11);
    }
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let secure = Secure::new(&unknown, &["h2", "http/1.1"]).await;
    let edge = Edge::new(&[secure.config(known.trusted())]);
    let (fetched, accepted) = tokio::join!(edge.fetch(get("/")), secure.accept());
    let error = fetched.map(|answer| answer.status).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }), "{error:?}");
    assert!(accepted.is_err());
    assert_eq!(edge.counted(Outcome::Tls), 1);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let secure = Secure::with(authority.server("other.test", &["h2"], None)).await;
    let edge = Edge::new(&[secure.config(authority.trusted())]);
    let (fetched, _) = tokio::join!(edge.fetch(get("/")), secure.accept());
    let error = fetched.map(|answer| answer.status).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_a_throw_away_one() {
    let authority = Authority::new();
    let secure = Secure::new(&authority, &["h2"]).await;
    // Where a machine has no authorities at all, the origin cannot even be set up.
    if let Ok(origins) =
        Origins::new(&[secure.config(OriginTls::default())], &Limits::default(), Clock::manual(WallTime::default()))
    {
        let tasks = Tasks::current();
        let (fetched, _) = tokio::join!(origins.fetch(&tasks, &["primary"], get("/")), secure.accept());
        assert!(matches!(fetched, Err(FetchError::Tls { .. })));
    }
}

#[tokio::test]
async fn another_name_may_be_asked_for_and_proven() {
    let authority = Authority::new();
    let secure = Secure::with(authority.server("inner.test", &["http/1.1"], None)).await;
    let tls = OriginTls { sni: Some("inner.test".into()), ..authority.trusted() };
    let edge = Edge::new(&[secure.config(tls)]);
    let fetch = edge.fetching(get("/"));
    let mut stream = secure.accept().await.unwrap();
    assert_eq!(stream.get_ref().1.server_name(), Some("inner.test"));
    answer_by_hand(&mut stream, EMPTY).await;
    assert_eq!(fetch.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_configured() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let acceptor = || servers.server("127.0.0.1", &["http/1.1"], Some(&clients));
    let (leaf, key) = clients.leaf("edge.test");
    let (cert, key) = (file_of(&leaf.pem()), file_of(&key.serialize_pem()));
    let client = Certificate { cert: cert.path().to_owned(), key: key.path().to_owned() };

    let secure = Secure::with(acceptor()).await;
    let edge = Edge::new(&[secure.config(OriginTls { client: Some(client), ..servers.trusted() })]);
    let fetch = edge.fetching(get("/"));
    let mut stream = secure.accept().await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), [leaf.der().clone()]);
    answer_by_hand(&mut stream, EMPTY).await;
    assert_eq!(fetch.await.unwrap().unwrap().status, 200);

    let secure = Secure::with(acceptor()).await;
    let edge = Edge::new(&[secure.config(servers.trusted())]);
    let fetch = edge.fetching(get("/"));
    assert!(secure.accept().await.is_err());
    drop(secure);
    assert!(fetch.await.unwrap().is_err());
}

#[tokio::test]
async fn a_tls_connection_tells_an_end_from_a_cut() {
    let authority = Authority::new();
    let secure = Secure::new(&authority, &["http/1.1"]).await;
    let edge = Edge::new(&[secure.config(authority.trusted())]);
    let said = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";

    let fetch = edge.fetching(get("/"));
    let mut stream = secure.accept().await.unwrap();
    answer_by_hand(&mut stream, said).await;
    stream.shutdown().await.unwrap();
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.framing, Framing::ClosedProven);
    assert_eq!(whole(answer).await.unwrap(), "hello");

    let fetch = edge.fetching(get("/"));
    let mut stream = secure.accept().await.unwrap();
    answer_by_hand(&mut stream, said).await;
    let answer = fetch.await.unwrap().unwrap();
    drop(stream);
    let error = whole(answer).await.unwrap_err();
    assert!(matches!(error, FetchError::CutShort { got: 5, .. }), "{error:?}");
}

#[tokio::test]
async fn a_reload_sees_that_a_certificate_file_changed() {
    let (old, new) = (Authority::new(), Authority::new());
    let secure = Secure::new(&new, &["http/1.1"]).await;
    let file = file_of(&std::fs::read_to_string(old.file.path()).unwrap());
    let config = secure.config(OriginTls { ca: Some(file.path().to_owned()), ..OriginTls::default() });
    let mut edge = Edge::new(std::slice::from_ref(&config));
    let (fetched, _) = tokio::join!(edge.fetch(get("/")), secure.accept());
    assert!(matches!(fetched, Err(FetchError::Tls { .. })));

    std::fs::copy(new.file.path(), file.path()).unwrap();
    edge.origins = Arc::new(edge.origins.reconfigured(&[config], &Limits::default()).unwrap());
    let fetch = edge.fetching(get("/"));
    let mut stream = secure.accept().await.unwrap();
    answer_by_hand(&mut stream, EMPTY).await;
    assert_eq!(fetch.await.unwrap().unwrap().status, 200);
}
