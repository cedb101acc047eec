//! Requests and frames of HTTP/3, said octet by octet over a foreign QUIC.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, ReadError, ReadToEndError, RecvStream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use weir::transport::h3::code;
use weir::transport::h3::frame::{kind, put_head, varint};
use weir::transport::h3::qpack;

use crate::corpus::{Case, Seen, cases, octets, written_out};
use crate::sections::{fields, qpack as section};
use crate::stage::Stage;
use crate::{all, within};

#[derive(Clone, Deserialize)]
struct Told {
    send: Vec<String>,
    #[serde(default)]
    stays: bool,
    control: Option<String>,
    #[serde(default)]
    streams: Vec<String>,
    expect: Option<String>,
    #[serde(flatten)]
    seen: Seen,
}

/// The control stream with empty SETTINGS.
const CONTROL: &[u8] = &[0, 4, 0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_http_3_is_taken_for_another_or_for_two() {
    let stage = Stage::start().await;
    let address = stage.node.address("h3").unwrap();
    let authority = stage.folder.path().join("ca.pem");
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.set_default_client_config(trusting(&CertificateDer::from_pem_file(authority).unwrap()));
    let cases = cases::<Told>("http3.toml");
    assert!(cases.len() >= 90, "{} cases", cases.len());
    let faults = all(&cases, |case| {
        let endpoint = endpoint.clone();
        async move { within(&case.name, tell(&endpoint, address, &case)).await }
    });
    let faults = faults.await;
    endpoint.close(0u8.into(), b"");
    stage.judge(&cases, |told| &told.seen, faults).await;
}

fn trusting(authority: &CertificateDer<'static>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let client = client.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h3".to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()))
}

/// What a viewer sees whose datagram with the close was lost and who asked again too late: nothing is known of the case
/// then. A busy machine drops datagrams of loopback too.
const CLOSE_WAS_LOST: &str = "reset by peer";
/// How often a case is told where the close is lost.
const TELLINGS: usize = 5;

async fn tell(endpoint: &Endpoint, address: SocketAddr, case: &Case<Told>) -> Result<(), String> {
    let expected = case.told.expect.clone().unwrap_or_else(|| "200".to_owned());
    let mut outcome = String::new();
    for _ in 0..TELLINGS {
        outcome = outcome_of(endpoint, address, case).await?;
        if outcome != CLOSE_WAS_LOST {
            break;
        }
    }
    match expected.split(" or ").any(|expected| expected == outcome) {
        true => Ok(()),
        false => Err(format!("{outcome:?}, not {expected:?}")),
    }
}

/// How `case` ends on a connection of its own.
async fn outcome_of(endpoint: &Endpoint, address: SocketAddr, case: &Case<Told>) -> Result<String, String> {
    let told = &case.told;
    let connection = endpoint.connect(address, "localhost").unwrap().await.map_err(|error| error.to_string())?;
    let control = told.control.as_ref().map_or_else(|| CONTROL.to_vec(), |text| octets(text, &case.id));
    let mut one_way = Vec::new();
    for send in std::iter::once(control).chain(told.streams.iter().map(|text| octets(text, &case.id))) {
        let mut stream = connection.open_uni().await.map_err(|error| error.to_string())?;
        // The node may close before it has all of it.
        _ = stream.write_all(&send).await;
        one_way.push(stream);
    }
    Ok(match told.stays {
        true => closed(&connection.closed().await),
        false => match connection.open_bi().await {
            Err(error) => closed(&error),
            Ok((mut send, receive)) => {
                let frames: Vec<_> = told.send.iter().flat_map(|text| frame(text, &case.id)).collect();
                _ = send.write_all(&frames).await;
                _ = send.finish();
                heard(receive).await
            }
        },
    })
}

/// How a request stream ended: with a status, a reset, or the connection.
async fn heard(mut receive: RecvStream) -> String {
    match receive.read_to_end(1 << 20).await {
        Ok(octets) => status(&octets).map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
        Err(ReadToEndError::Read(ReadError::Reset(reset))) => format!("reset {}", name(reset.into_inner())),
        Err(ReadToEndError::Read(ReadError::ConnectionLost(error))) => closed(&error),
        Err(error) => error.to_string(),
    }
}

fn closed(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => format!("close {}", name(close.error_code.into_inner())),
        other => other.to_string(),
    }
}

fn name(code: u64) -> String {
    let named = code::NAMES.iter().find(|(known, _)| *known == code);
    named.map_or_else(|| code.to_string(), |(_, name)| name.to_ascii_uppercase().replace('-', "_"))
}

fn status(mut octets: &[u8]) -> Option<u16> {
    let mut status = None;
    while !octets.is_empty() {
        let (found, length) = (varint(&mut octets)?, varint(&mut octets)? as usize);
        let payload = octets.get(..length)?;
        octets = &octets[length..];
        if found == kind::HEADERS {
            let bounds = qpack::Bounds { size: 1 << 16, fields: 100 };
            let decoded = qpack::decode::<()>(payload, bounds, |name, value| {
                if name.octets() == b":status" {
                    status = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
                Ok(())
            });
            decoded.ok()?;
        }
    }
    status
}

/// The frame that a text stands for.
fn frame(text: &str, id: &str) -> Vec<u8> {
    let text = written_out(text);
    let (head, rest) = text.split_once(" |").unwrap_or((&text, ""));
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (kind, payload) = match head.split_once(' ') {
        None if head == "headers" => (kind::HEADERS, section(&fields(rest, id))),
        None if head == "section" => (kind::HEADERS, octets(rest, id)),
        None if head == "data" => (kind::DATA, octets(rest, id)),
        None if head == "raw" => return octets(rest, id),
        Some(("frame", kind)) => (kind.parse().unwrap(), octets(rest, id)),
        _ => panic!("no such frame: {head}"),
    };
    let mut frame = Vec::new();
    put_head(kind, payload.len() as u64, &mut frame);
    frame.extend(payload);
    frame
}
