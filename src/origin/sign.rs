//! Signatures for private buckets: AWS Signature Version 4 by the library, over the request as it is about to be sent.
//!
//! Signed are Host, the operator's own `x-amz-*` fields, the date, and that the payload is not signed: bodies are
//! streamed, so their digest is not known beforehand. Range, conditions and the rest stay unsigned, as the scheme allows.
//! The path is sent in the form that a storage computes its signature from: encoded once, `%2F` and `//` as they are.
//! `x-amz-*` fields of viewers do not pass, for they would act in the node's name.
//!
//! Credentials rotate: at most every ten seconds a request has the file looked at, off the workers; what cannot be read
//! leaves the last good ones in force.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, Request, Uri};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Origin;
use crate::config::aws::{AwsCredentials, AwsSigV4};
use crate::tasks::Tasks;

/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_secs(10);
/// What the storage's own fields begin with.
const OWN: &str = "x-amz-";

/// Signs the requests to one origin.
pub(super) struct Signer {
    origin: Arc<str>,
    config: AwsSigV4,
    /// Fields of the storage that the operator sets.
    own: Vec<HeaderName>,
    kept: Arc<Kept>,
    /// When the file is looked at again, in milliseconds of the clock.
    next_look: AtomicU64,
}

/// Credentials, and the file that they were read from.
struct Kept {
    credentials: ArcSwapOption<AwsCredentials>,
    stamp: Mutex<Option<Stamp>>,
}

/// What tells that a file was written anew.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let meta = fs::metadata(file).ok()?;
        Some(Self { modified: meta.modified().ok(), length: meta.len() })
    }
}

impl Signer {
    /// Reads the credentials: not for a worker's thread.
    pub(super) fn new(origin: &Origin, config: &AwsSigV4) -> Self {
        let own = origin.set_headers.iter().map(|(name, _)| name).filter(|name| name.as_str().starts_with(OWN));
        let signer = Self {
            origin: origin.name.as_str().into(),
            config: config.clone(),
            own: own.cloned().collect(),
            kept: Arc::new(Kept { credentials: ArcSwapOption::empty(), stamp: Mutex::default() }),
            next_look: AtomicU64::new(0),
        };
        signer.kept.read(&signer.origin, &signer.config);
        signer
    }

    /// Signs a request that is about to be sent. One of a method that is not signed passes without a signature, and so
    /// does every one while there are no credentials; the storage then says no.
    pub(super) fn sign<B>(&self, request: &mut Request<B>, clock: &Clock, tasks: &Tasks) {
        self.look(clock, tasks);
        let headers = request.headers();
        let foreign = headers.keys().filter(|name| name.as_str().starts_with(OWN) && !self.own.contains(name));
        for name in foreign.cloned().collect::<Vec<_>>() {
            request.headers_mut().remove(name);
        }
        if !self.config.methods.contains(request.method()) {
            return;
        }
        request.headers_mut().remove(AUTHORIZATION);
        let Some(credentials) = self.kept.credentials.load_full() else { return };
        if let Some(uri) = encoded_once(request.uri()) {
            *request.uri_mut() = uri;
        }
        if let Err(why) = self.signed(request, &credentials, clock.wall().system_time()) {
            warn!(origin = %self.origin, %why, "a request cannot be signed");
        }
    }

    fn signed<B>(&self, request: &mut Request<B>, keys: &AwsCredentials, time: SystemTime) -> Result<(), String> {
        let (id, secret) = (keys.access_key_id.clone(), keys.secret_access_key.clone());
        let identity = Credentials::new(id, secret, keys.session_token.clone(), None, "file").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.config.region)
            .name(&self.config.service)
            .time(time)
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let host = match (request.headers().get(HOST), request.uri().authority()) {
            (Some(host), _) => host.to_str().map_err(|error| error.to_string())?.to_owned(),
            (None, Some(authority)) => authority.as_str().to_owned(),
            (None, None) => return Err("it has no Host".to_owned()),
        };
        let url = format!("https://{host}{}", request.uri().path_and_query().map_or("/", PathAndQuery::as_str));
        let own = self.own.iter().filter_map(|name| Some((name.as_str(), request.headers().get(name)?.to_str().ok()?)));
        let fields = own.chain([(HOST.as_str(), host.as_str())]);
        let signable = SignableRequest::new(request.method().as_str(), url, fields, SignableBody::UnsignedPayload);
        let signed = sign(signable.map_err(|error| error.to_string())?, &params).map_err(|error| error.to_string())?;
        signed.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }

    /// Has the file looked at, if it is time.
    fn look(&self, clock: &Clock, tasks: &Tasks) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (now, next) = (millis(clock.now().since_start()), self.next_look.load(Relaxed));
        let then = now.saturating_add(millis(LOOK));
        if now < next || self.next_look.compare_exchange(next, then, Relaxed, Relaxed).is_err() {
            return;
        }
        let (kept, origin, config) = (self.kept.clone(), self.origin.clone(), self.config.clone());
        drop(tasks.spawn_blocking("credentials", move || kept.read(&origin, &config)));
    }
}

impl Kept {
    /// Reads the file if it was written anew.
    fn read(&self, origin: &str, config: &AwsSigV4) {
        let file = &config.credentials_file;
        let stamp = Stamp::of(file);
        if stamp.is_some() && *self.stamp.lock() == stamp {
            return;
        }
        match AwsCredentials::read(file, &config.profile) {
            Ok(read) => {
                *self.stamp.lock() = stamp;
                let before = self.credentials.swap(Some(Arc::new(read)));
                if before.is_some() {
                    info!(origin, "credentials were read again");
                }
            }
            Err(why) => warn!(origin, %why, "the last good credentials stay in force"),
        }
    }
}

/// The same target with its path in the form that storages sign: everything but unreserved characters and slashes is
/// encoded, once. Escapes stay, in upper case, so that `%2F` does not become a slash. `None` where it is so already.
fn encoded_once(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let octets = path.as_bytes();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'/' | b'-' | b'_' | b'.' | b'~');
    let mut encoded = String::with_capacity(path.len() + 16);
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        let digits = (octet == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let escape = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(meant) if is_plain(meant) && meant != b'/' => encoded.push(char::from(meant)),
            Some(meant) => encoded.push_str(&format!("%{meant:02X}")),
            None if is_plain(octet) => encoded.push(char::from(octet)),
            None => encoded.push_str(&format!("%{octet:02X}")),
        }
        at += if escape.is_some() { 3 } else { 1 };
    }
    if encoded == path {
        return None;
    }
    if let Some(query) = uri.query() {
        encoded.push('?');
        encoded.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(encoded).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::origin::tests::origin_at;

    const KEYS: &str = "[default]\naws_access_key_id = AKIDEXAMPLE\n\
                        aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n";

    /// 2015-08-30T12:36:00Z
    fn clock() -> Clock {
        Clock::manual(WallTime::at(Duration::from_secs(1_440_938_160)))
    }

    fn signer(file: &Path, own: &[(&'static str, &'static str)]) -> Signer {
        let aws = AwsSigV4 {
            region: "eu-central-1".into(),
            service: "s3".into(),
            credentials_file: file.to_owned(),
            profile: "default".into(),
            methods: vec![http::Method::GET, http::Method::HEAD],
        };
        let own = own.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Signer::new(&Origin { set_headers: own.collect(), ..origin_at(80) }, &aws)
    }

    fn request(method: &str, host: &str, target: &str) -> Request<()> {
        Request::builder().method(method).uri(target).header("host", host).body(()).unwrap()
    }

    fn field<'r>(request: &'r Request<()>, name: &str) -> &'r str {
        request.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn signatures_are_those_that_other_implementations_compute() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let token = format!("{KEYS}aws_session_token = TOKEN/+=\n");
        let payer = [("x-amz-request-payer", "requester")];
        let (bucket, local) = ("bucket.s3.example", "127.0.0.1:9000");
        // From botocore 1.44.8, S3SigV4Auth with an unsigned payload.
        for (keys, own, (method, host, target), sent, signed, signature) in [
            (
                KEYS,
                &[][..],
                ("GET", bucket, "/live/a.m4s"),
                "/live/a.m4s",
                "",
                "e12ebbe4fbc640d22e49f11b6f67217586dbc114ec3b8d9a4d259a89c8abb9a2",
            ),
            (
                token.as_str(),
                &[],
                ("HEAD", bucket, "/live//a%2fb(1)+.m4s"),
                "/live//a%2Fb%281%29%2B.m4s",
                ";x-amz-security-token",
                "e6a5b8cac3223be8a3f0167f010f41b8ab37907d567c66b55e4b997c3fabc49f",
            ),
            (
                KEYS,
                &[],
                ("GET", local, "/b/x?z=1&a=%20y&versionId=&b"),
                "/b/x?z=1&a=%20y&versionId=&b",
                "",
                "219d162fa228c54ff5384afd040ebb283523d15b723f7e2aa4d43758b90ad69f",
            ),
            (
                KEYS,
                &payer,
                ("GET", local, "/b/%78"),
                "/b/x",
                ";x-amz-request-payer",
                "eac3e96e38760d0d413be10c640f19af0b7d312b86e67419ec2645fcfd83621f",
            ),
        ] {
            fs::write(&file, keys).unwrap();
            let mut request = request(method, host, target);
            for (name, value) in own {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            for name in ["range", "authorization", "x-amz-copy-source"] {
                request.headers_mut().insert(name, "the viewer's".parse().unwrap());
            }
            signer(&file, own).sign(&mut request, &clock(), &Tasks::current());
            assert_eq!(request.uri(), sent);
            assert_eq!(field(&request, "x-amz-date"), "20150830T123600Z");
            assert_eq!(field(&request, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
            assert_eq!(field(&request, "x-amz-copy-source"), "", "a viewer's word does not act in the node's name");
            assert_eq!(field(&request, "range"), "the viewer's");
            let said = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date{signed}, Signature={signature}"
            );
            assert_eq!(field(&request, "authorization"), said, "{target}");
        }
    }

    #[tokio::test]
    async fn what_would_write_passes_unsigned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, KEYS).unwrap();
        let mut request = request("PUT", "b", "/x(1)");
        signer(&file, &[]).sign(&mut request, &clock(), &Tasks::current());
        assert_eq!((request.uri().path(), request.headers().len()), ("/x(1)", 1));
    }

    #[tokio::test]
    async fn credentials_that_rotate_are_taken_on_and_bad_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, KEYS).unwrap();
        let (clock, signer) = (clock(), signer(&file, &[]));
        let used = async |text: &str| {
            fs::write(&file, text).unwrap();
            let tasks = Tasks::current();
            clock.advance(LOOK);
            signer.sign(&mut request("GET", "b", "/x"), &clock, &tasks);
            tasks.close();
            tasks.joined().await;
            let mut request = request("GET", "b", "/x");
            signer.sign(&mut request, &clock, &Tasks::current());
            let said = field(&request, "authorization");
            said.split(['=', '/']).nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(used("[default]\n").await, "AKIDEXAMPLE");
        assert_eq!(used(&KEYS.replace("AKIDEXAMPLE", "SECOND")).await, "SECOND");
        assert_eq!(used("").await, "SECOND");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_leaves_requests_unsigned() {
        let mut request = request("GET", "b", "/x");
        signer(Path::new("/nonexistent/keys"), &[]).sign(&mut request, &clock(), &Tasks::current());
        assert_eq!(field(&request, "authorization"), "");
    }
}
