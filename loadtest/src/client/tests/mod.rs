//! The client against the demo origin over TCP, and against a small HTTP/3 server.

mod http3;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Client, ClientError, Trust, Way};
use crate::origin::{Action, Origin, OriginConfig, Rule, Running, blob_bytes};

const BLOB: &str = "/blob/c?size=300000";

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    (made.cert.der().clone(), key)
}

pub(super) fn server_tls() -> (rustls::ServerConfig, Trust) {
    let (certificate, key) = certificate();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (config, Trust::certificate(certificate).unwrap())
}

pub(crate) async fn origin() -> (Running, Trust) {
    let (tls, trust) = server_tls();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = OriginConfig { https: Some((any, Arc::new(tls))), ..OriginConfig::default() };
    (Origin::start(config).await.unwrap(), trust)
}

/// The ways the origin speaks.
const WAYS: [Way; 4] = [Way::H1, Way::H1Tls, Way::H2, Way::H2Cleartext];

pub(crate) async fn connect(origin: &Running, way: Way, trust: &Trust) -> Client {
    let addr = match way.scheme() {
        "http" => origin.addr(),
        _ => origin.tls_addr().unwrap(),
    };
    Client::connect(&addr.to_string(), way, trust).await.unwrap()
}

/// The body at `path` over HTTP/2, as text.
pub(crate) async fn get(origin: &Running, path: &str) -> String {
    let client = connect(origin, Way::H2Cleartext, &Trust::AcceptAny).await;
    let body = client.get(path, &[]).await.unwrap().bytes().await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn blob(len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while (out.len() as u64) < len {
        out.extend_from_slice(&blob_bytes("c", out.len() as u64, len - out.len() as u64));
    }
    out
}

#[tokio::test]
async fn a_body_comes_whole_by_every_way_and_its_connection_is_kept() {
    let (origin, trust) = origin().await;
    for way in WAYS {
        let client = connect(&origin, way, &trust).await;
        for _ in 0..3 {
            let mut answer = client.get(BLOB, &[]).await.unwrap();
            assert_eq!((answer.status, answer.header("content-length")), (StatusCode::OK, "300000"));
            assert_eq!(answer.bytes().await.unwrap(), blob(300_000), "{way:?}");
            assert_eq!(answer.got(), 300_000);
        }
        let mut head = client.request(Method::HEAD, BLOB, &[], Bytes::new()).await.unwrap();
        assert_eq!(head.drain().await.unwrap(), 0);
        assert_eq!(client.connections(), 1, "{way:?}");
    }
    origin.stop().await;
}

#[tokio::test]
async fn http1_opens_six_connections_and_no_more() {
    let (origin, trust) = origin().await;
    let client = connect(&origin, Way::H1, &trust).await;
    let gate = origin.hold("/blob/*").unwrap();
    let asked: Vec<_> = (0..9)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(BLOB, &[]).await?.drain().await })
        })
        .collect();
    gate.arrived_times(6).await;
    gate.open();
    for each in asked {
        assert_eq!(each.await.unwrap().unwrap(), 300_000);
    }
    assert_eq!(client.connections(), 6);
    origin.stop().await;
}

#[tokio::test]
async fn a_cut_body_is_told_apart_from_a_reset_one() {
    let (origin, trust) = origin().await;
    let after = 1000;
    for action in [Action::Cut { after }, Action::Reset { after: Some(after) }] {
        origin.desk().clear();
        origin.desk().add(Rule::new("/blob/*", action.clone())).unwrap();
        for way in WAYS {
            let client = connect(&origin, way, &trust).await;
            let mut answer = client.get(BLOB, &[]).await.unwrap();
            let error = answer.bytes().await.unwrap_err();
            // A cut resets the stream where there are streams; the origin's reset is TCP's and ends the connection.
            let streams = matches!(way, Way::H2 | Way::H2Cleartext);
            match error {
                ClientError::Reset { code } => {
                    assert!(streams && matches!(action, Action::Cut { .. }) && code != 0);
                }
                ClientError::Cut { got, announced } => {
                    assert!(!streams || matches!(action, Action::Reset { .. }));
                    assert_eq!((got, announced), (answer.got(), Some(300_000)));
                }
                error => panic!("{way:?}, {action:?}: {error:?}"),
            }
            assert!(answer.chunk().await.is_err(), "a body that failed never ends well");
        }
    }
    origin.stop().await;
}

#[tokio::test]
async fn a_dropped_exchange_is_cancelled_and_the_client_goes_on() {
    let (origin, trust) = origin().await;
    for way in WAYS {
        let client = connect(&origin, way, &trust).await;
        let mut answer = client.get("/blob/c?size=3000000000&over_ms=60000", &[]).await.unwrap();
        answer.chunk().await.unwrap().unwrap();
        drop(answer);
        assert_eq!(client.get(BLOB, &[]).await.unwrap().drain().await.unwrap(), 300_000);
        let cancelled = |stats: &crate::origin::Stats| {
            let log = stats.log(0);
            let long = log.iter().rfind(|entry| entry.query.contains("over_ms"));
            long.is_some_and(|entry| !entry.complete)
        };
        assert!(cancelled(origin.stats()));
        let connections = if matches!(way, Way::H1 | Way::H1Tls) { 2 } else { 1 };
        assert_eq!(client.connections(), connections, "{way:?}");
    }
    origin.stop().await;
}

#[tokio::test]
async fn an_exchange_that_takes_too_long_ends_at_its_deadline() {
    let (origin, trust) = origin().await;
    let gate = origin.hold("/blob/*").unwrap();
    for way in WAYS {
        let client = connect(&origin, way, &trust).await.with_deadline(Duration::from_millis(50));
        let error = client.get(BLOB, &[]).await.unwrap_err();
        assert!(matches!(error, ClientError::Deadline), "{way:?}: {error:?}");
    }
    gate.open();
    origin.stop().await;
}

#[tokio::test]
async fn faults_of_connecting_are_told_apart() {
    let (origin, _) = origin().await;
    let tls = origin.tls_addr().unwrap().to_string();
    let (_, foreign) = server_tls();
    for way in [Way::H1Tls, Way::H2] {
        let error = Client::connect(&tls, way, &foreign).await.unwrap_err();
        assert_eq!(error.word(), "handshake");
        assert!(Client::connect(&tls, way, &Trust::AcceptAny).await.is_ok());
    }
    let unused = crate::port::Reserved::any().unwrap();
    let error = Client::connect(&unused.addr().to_string(), Way::H1, &Trust::AcceptAny).await.unwrap_err();
    assert_eq!(error.word(), "connect");
    origin.stop().await;
}
