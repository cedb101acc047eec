//! Answers of HTTP/2 origins, said octet by octet beneath TLS, each by an origin of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answers::{got, is};
use crate::corpus::{Case, cases};
use crate::http2::{END_STREAM, HEADERS, PREFACE, SETTINGS, frame, frames, next};
use crate::stage::{files, node, short};
use crate::{all, within};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    send: Vec<String>,
    gets: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_malformed_answer_of_http_2_is_passed_on_or_stored() {
    let cases = cases::<Told>("answers2.toml");
    assert!(cases.len() >= 35, "{} cases", cases.len());
    let (_authority, folder) = files();
    let acceptor = acceptor(folder.path());
    let mut tables = String::new();
    for case in &cases {
        let address = origin(case, acceptor.clone()).await;
        tables += &format!("[origins.{}]\nurl = \"https://{address}\"\ntls = {{ ca = \"ca.pem\" }}\n", case.id);
    }
    for Case { id, .. } in &cases {
        tables += &format!("[[route]]\nname = \"{id}\"\nhost = [\"{id}.x\"]\norigins = [\"{id}\"]\n");
    }
    let node = node(folder.path(), &tables).await;
    let address = node.address("http").unwrap();
    let faults = all(&cases, |case| async move { within(&case.name, tell(address, &case)).await }).await;
    node.stop().await;
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(folder.join("edge.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("edge.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(server))
}

async fn origin(case: &Case<Told>, acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let case = Arc::new(Case { id: case.id.clone(), name: case.name.clone(), told: case.told.clone() });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone(), case.clone()));
        }
    });
    address
}

/// Answers every request of a connection with the case's frames.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, case: Arc<Case<Told>>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let (mut read, mut write) = tokio::io::split(stream);
    let mut preface = [0; PREFACE.len()];
    _ = write.write_all(&frame(SETTINGS, 0, 0, &[])).await;
    _ = read.read_exact(&mut preface).await;
    while let Some((kind, flags, stream, _)) = next(&mut read).await {
        let octets = match kind {
            SETTINGS if flags == 0 => frame(SETTINGS, 1, 0, &[]),
            HEADERS if flags & END_STREAM != 0 => {
                case.told.send.iter().flat_map(|text| frames(text, &case.id, |_| stream)).collect()
            }
            _ => continue,
        };
        // The node may close before it has all of it.
        _ = write.write_all(&octets).await;
        _ = write.flush().await;
    }
}

/// A bad answer, a look whether the node lives, the bad one again; what of them is not as expected.
async fn tell(address: SocketAddr, case: &Case<Told>) -> Result<(), String> {
    for (path, expected) in [("/bad", &case.told.gets[..]), ("/.weir/live", "200"), ("/bad", &case.told.gets[..])] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}.x\r\nConnection: close\r\n\r\n", case.id);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        // A cut may be a reset.
        while let Ok(1..) = stream.read_buf(&mut octets).await {}
        let got = got(&octets, "GET");
        if !expected.split(" or ").any(|expected| is(&got, expected)) {
            return Err(format!("{path} got {got:?}, not {expected:?}: {:?}", short(&octets)));
        }
    }
    Ok(())
}
