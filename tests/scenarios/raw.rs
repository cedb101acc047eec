//! A viewer who writes its target as it likes: libraries refuse what curl and some players send.

use std::net::Ipv4Addr;
use std::sync::Arc;

use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir::transport::h3::frame::{kind, put_head, varint};
use weir::transport::h3::qpack::{self, huffman, prefix_int};
use weir_loadtest::client::Way;

use crate::stage::Stage;

/// Status and body of the answer to `GET target`, by the story's way.
pub async fn get(stage: &Stage, target: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let address = stage.server(stage.way).addr;
    if stage.way == Way::H3 {
        return h3(stage, target, fields).await;
    }
    let stream = TcpStream::connect(address).await.unwrap();
    if stage.way == Way::H1 {
        return h1(stream, target, fields).await;
    }
    let alpn: &[u8] = if stage.way == Way::H2 { b"h2" } else { b"http/1.1" };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(trusting(stage, alpn))).connect(name, stream).await.unwrap();
    if stage.way == Way::H2 { h2(stream, target, fields).await } else { h1(stream, target, fields).await }
}

fn trusting(stage: &Stage, alpn: &[u8]) -> ClientConfig {
    let authority = stage.authority.file(stage.folder(), "ca.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

async fn h1(mut stream: impl AsyncRead + AsyncWrite + Unpin, target: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}

/// As curl writes a request: literals without indexing, in Huffman's code.
fn block(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // GET, https, and the name of :path.
    let mut block = vec![0x82, 0x87, 0x04];
    string(target, &mut block);
    block.push(0x01);
    string("localhost", &mut block);
    for (name, value) in fields {
        block.push(0x00);
        string(name, &mut block);
        string(value, &mut block);
    }
    block
}

fn string(text: &str, block: &mut Vec<u8>) {
    prefix_int::encode(7, 0x80, huffman::encoded_len(text.as_bytes()) as u64, block);
    huffman::encode(text.as_bytes(), block);
}

async fn h2(mut stream: impl AsyncRead + AsyncWrite + Unpin, target: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    const END_STREAM: u8 = 1;
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let head = frame(1, 4 | END_STREAM, 1, &block(target, fields));
    let said = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[]), &frame(4, 1, 0, &[]), &head].concat();
    stream.write_all(&said).await.unwrap();
    let (mut status, mut body) = (0, Vec::new());
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        match kind {
            0 => body.extend(payload),
            // Behind changes of the table's size, the index of 200.
            1 => {
                status = payload
                    .iter()
                    .find(|octet| !(0x20..0x40).contains(*octet))
                    .map_or(0, |octet| if *octet == 0x88 { 200 } else { 0 })
            }
            3 | 7 => return (0, body),
            _ => {}
        }
        if kind < 2 && flags & END_STREAM != 0 {
            return (status, body);
        }
    }
}

async fn h3(stage: &Stage, target: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = QuicClientConfig::try_from(trusting(stage, b"h3")).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    let connection = endpoint.connect(stage.server(Way::H3).addr, "localhost").unwrap().await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", target)];
    let mut section = vec![0, 0];
    for (name, value) in pseudo.iter().chain(fields) {
        prefix_int::encode(3, 0x20, name.len() as u64, &mut section);
        section.extend_from_slice(name.as_bytes());
        prefix_int::encode(7, 0, value.len() as u64, &mut section);
        section.extend_from_slice(value.as_bytes());
    }
    let mut head = Vec::new();
    put_head(kind::HEADERS, section.len() as u64, &mut head);
    send.write_all(&[head, section].concat()).await.unwrap();
    send.finish().unwrap();
    let answer = receive.read_to_end(1 << 20).await.unwrap();
    endpoint.close(0u8.into(), b"");
    let (mut rest, mut status, mut body) = (&answer[..], 0, Vec::new());
    while !rest.is_empty() {
        let (found, length) = (varint(&mut rest).unwrap(), varint(&mut rest).unwrap() as usize);
        let payload = rest.split_off(..length).unwrap();
        if found == kind::DATA {
            body.extend_from_slice(payload);
        }
        if found == kind::HEADERS {
            let bounds = qpack::Bounds { size: 1 << 16, fields: 100 };
            let decoded = qpack::decode::<()>(payload, bounds, |name, value| {
                if name.octets() == b":status" {
                    status = std::str::from_utf8(value).unwrap().parse().unwrap();
                }
                Ok(())
            });
            decoded.unwrap();
        }
    }
    (status, body)
}
