//! Certificates over real handshakes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use tempfile::TempDir;

use super::*;

/// A certificate authority for tests, with the folder that its pairs lie in.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), root, folder: tempfile::tempdir().unwrap() }
    }

    fn pair(&self, file: &str) -> Certificate {
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        Certificate { cert: path("pem"), key: path("key") }
    }

    fn issue(&self, file: &str, names: &[&str], key: &KeyPair) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = CertificateParams::new(names).unwrap().signed_by(key, &self.issuer).unwrap();
        let pair = self.pair(file);
        std::fs::write(&pair.cert, cert.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    /// One ECDSA pair for each set of names.
    pub(crate) fn certificates(&self, sets: &[&[&str]]) -> Arc<Certificates> {
        let issue =
            |(place, names): (usize, &&[&str])| self.issue(&place.to_string(), names, &KeyPair::generate().unwrap());
        Certificates::load(&sets.iter().enumerate().map(issue).collect::<Vec<_>>()).unwrap()
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&[&TLS12, &TLS13])
    }

    fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// What a client and our configuration agree on: the leaf that was shown.
fn shown(
    server: &Arc<ServerConfig>,
    client: ClientConfig,
    name: &str,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(client.peer_certificates().unwrap()[0].clone().into_owned())
}

fn leaf(pair: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&pair.cert).unwrap()
}

fn ecdsa() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()
}

fn without_sni(mut client: ClientConfig) -> ClientConfig {
    client.enable_sni = false;
    client
}

#[test]
fn certificates_are_chosen_by_name() {
    let authority = Authority::new();
    let first = authority.issue("first", &["first.example"], &ecdsa());
    let second = authority.issue("second", &["second.example", "*.second.example"], &ecdsa());
    let deep = authority.issue("deep", &["deep.second.example"], &ecdsa());
    let certificates = Certificates::load(&[first.clone(), second.clone(), deep.clone()]).unwrap();
    let server = certificates.server_config(TlsVersion::V12);
    for (name, pair) in [
        ("first.example", &first),
        ("SECOND.example", &second),
        ("any.second.example", &second),
        ("deep.second.example", &deep),
    ] {
        assert_eq!(shown(&server, authority.client(), name).unwrap(), leaf(pair), "{name}");
    }
    // Unknown names get the first; a wildcard covers one label.
    for name in ["other.example", "a.b.second.example"] {
        let error = shown(&server, authority.client(), name).unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
        assert_eq!(certificates.table.load().choose(Some(name), ALL).unwrap().cert[0], leaf(&first));
    }
    assert_eq!(shown(&server, without_sni(authority.client()), "first.example").unwrap(), leaf(&first));
}

const ALL: &[rustls::SignatureScheme] =
    &[rustls::SignatureScheme::ECDSA_NISTP256_SHA256, rustls::SignatureScheme::RSA_PSS_SHA256];

#[test]
fn an_rsa_and_an_ecdsa_certificate_share_a_name() {
    let authority = Authority::new();
    let with_rsa = authority.issue("rsa", &["live.example"], &rsa());
    let with_ecdsa = authority.issue("ecdsa", &["live.example"], &ecdsa());
    let certificates = Certificates::load(&[with_rsa.clone(), with_ecdsa.clone()]).unwrap();
    let server = certificates.server_config(TlsVersion::V12);
    assert_eq!(shown(&server, authority.client(), "live.example").unwrap(), leaf(&with_ecdsa));
    let only_rsa = |mut provider: CryptoProvider| {
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("_RSA_"));
        provider
    };
    let old_client = || {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(only_rsa(aws_lc_rs::default_provider())))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    assert_eq!(shown(&server, old_client(), "live.example").unwrap(), leaf(&with_rsa));
    // An old client without SNI is served too, wherever the RSA pair stands.
    let server = Certificates::load(&[with_ecdsa, with_rsa.clone()]).unwrap().server_config(TlsVersion::V12);
    assert_eq!(shown(&server, without_sni(old_client()), "live.example").unwrap(), leaf(&with_rsa));
}

#[test]
fn tls_1_2_is_refused_where_1_3_is_the_lowest() {
    let authority = Authority::new();
    let certificates = authority.certificates(&[&["localhost"]]);
    let old = || authority.client_of(&[&TLS12]);
    assert!(shown(&certificates.server_config(TlsVersion::V12), old(), "localhost").is_ok());
    assert!(shown(&certificates.server_config(TlsVersion::V13), old(), "localhost").is_err());
    let quic = certificates.quic_server_config();
    assert_eq!((quic.alpn_protocols.as_slice(), quic.max_early_data_size), ([b"h3".to_vec()].as_slice(), 0));
}

#[test]
fn a_pair_that_does_not_fit_together_keeps_its_predecessor() {
    let authority = Authority::new();
    let pair = authority.issue("pair", &["localhost"], &ecdsa());
    let certificates = Certificates::load(std::slice::from_ref(&pair)).unwrap();
    let server = certificates.server_config(TlsVersion::V12);
    let old = shown(&server, authority.client(), "localhost").unwrap();
    // The certificate is replaced first, its key later.
    let next = authority.issue("next", &["localhost"], &ecdsa());
    std::fs::copy(&next.cert, &pair.cert).unwrap();
    certificates.reload();
    assert_eq!(certificates.outdated(), 1);
    assert_eq!(shown(&server, authority.client(), "localhost").unwrap(), old);
    std::fs::copy(&next.key, &pair.key).unwrap();
    certificates.reload();
    assert_eq!(certificates.outdated(), 0);
    assert_eq!(shown(&server, authority.client(), "localhost").unwrap(), leaf(&next));
    std::fs::write(&pair.cert, "no PEM").unwrap();
    certificates.reload();
    assert_eq!(certificates.outdated(), 1);
    assert_eq!(shown(&server, authority.client(), "localhost").unwrap(), leaf(&next));
}

#[test]
fn a_changed_configuration_is_followed_whole_or_not_at_all() {
    let authority = Authority::new();
    let certificates = authority.certificates(&[&["localhost"]]);
    let server = certificates.server_config(TlsVersion::V12);
    let other = authority.issue("other", &["localhost"], &ecdsa());
    let missing = authority.pair("missing");
    assert!(certificates.replace(&[other.clone(), missing]).is_err());
    assert_ne!(shown(&server, authority.client(), "localhost").unwrap(), leaf(&other));
    certificates.replace(std::slice::from_ref(&other)).unwrap();
    assert_eq!(shown(&server, authority.client(), "localhost").unwrap(), leaf(&other));
}

#[test]
fn an_error_names_the_file_and_the_remedy() {
    let authority = Authority::new();
    let good = authority.issue("good", &["localhost"], &ecdsa());
    let other = authority.issue("other", &["localhost"], &ecdsa());
    let text = |cert: &PathBuf, key: &PathBuf| {
        let pair = Certificate { cert: cert.clone(), key: key.clone() };
        Certificates::load(&[pair]).unwrap_err().to_string()
    };
    let missing = authority.pair("missing");
    assert!(text(&missing.cert, &good.key).contains("missing.pem"));
    assert!(text(&good.key, &good.key).contains("BEGIN CERTIFICATE"));
    assert!(text(&good.cert, &good.cert).contains("BEGIN PRIVATE KEY"));
    let mismatch = text(&good.cert, &other.key);
    assert!(mismatch.contains("good.pem") && mismatch.contains("other.key"), "{mismatch}");
    assert!(Certificates::load(&[]).unwrap_err().to_string().contains("tls.certificates"));
}

#[tokio::test]
async fn a_turned_link_brings_new_certificates_without_a_dropped_connection() {
    let authority = Authority::new();
    let old = authority.issue("old", &["localhost"], &ecdsa());
    let new = authority.issue("new", &["localhost"], &ecdsa());
    let mount = tempfile::tempdir().unwrap();
    let lay = |folder: &str, pair: &Certificate| {
        let folder = mount.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(&pair.cert, folder.join("tls.crt")).unwrap();
        std::fs::copy(&pair.key, folder.join("tls.key")).unwrap();
    };
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, mount.path().join(name)).unwrap();
    lay("..1", &old);
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let pair = Certificate { cert: mount.path().join("tls.crt"), key: mount.path().join("tls.key") };
    let certificates = Certificates::load(&[pair]).unwrap();
    let server = certificates.server_config(TlsVersion::V12);
    let tasks = crate::tasks::Tasks::current();
    let watching = watch(certificates.clone(), crate::clock::Clock::system(), tasks.clone());
    let watching = tasks.spawn("certificates", watching);
    let becomes = async |pair: &Certificate| {
        let becoming = async {
            while shown(&server, authority.client(), "localhost").unwrap() != leaf(pair) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(120), becoming).await.expect("the new certificate");
    };
    becomes(&old).await;
    lay("..2", &new);
    link("..2", "..next");
    std::fs::rename(mount.path().join("..next"), mount.path().join("..data")).unwrap();
    std::fs::remove_dir_all(mount.path().join("..1")).unwrap();
    becomes(&new).await;
    // And again, in the folder that was not there before.
    lay("..3", &old);
    link("..3", "..next");
    std::fs::rename(mount.path().join("..next"), mount.path().join("..data")).unwrap();
    becomes(&old).await;
    watching.abort();
}
