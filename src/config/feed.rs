//! `[access.NAME.feed]`: from where an access learns what its backend takes back.

use std::path::Path;
use std::time::Duration;

use http::Uri;

use super::file::{Section, ms};
use super::finding::Complaint;
use super::key_source::{self, Encoding, KeptKeys, KeyForm};
use super::{OriginTls, origin};

const HOUR_MS: u64 = 3_600_000;
const SOURCES: &str = "`hmac_secret_file`, `public_key_file` or `jwks_file`";

/// `[access.NAME.feed]`
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// What is asked for.
    pub url: Uri,
    /// What its batches are signed with.
    pub keys: KeptKeys,
    /// Between two times that it is asked for.
    pub interval: Duration,
    /// TLS towards it.
    pub tls: OriginTls,
}

/// `feed` of an access.
pub(super) fn feed(mut section: Section<'_>, base: &Path) -> Option<Feed> {
    let place = section.place.clone();
    let url = section.required("url", "\"https://paywall.example/revoked\"");
    let secret = section.value("hmac_secret_file");
    let public = section.value("public_key_file");
    let set = section.value("jwks_file");
    let interval = section.value("interval").and_then(|value| value.time(ms(500..HOUR_MS)));
    let tls = origin::tls(section.table("tls"), base);
    section.finish();
    let url = url.and_then(|value| key_source::url(&value));
    let given = [
        secret.map(|value| (value, KeyForm::Shared(Encoding::Text))),
        public.map(|value| (value, KeyForm::Public)),
        set.map(|value| (value, KeyForm::JwkSet)),
    ];
    let given: Vec<_> = given.into_iter().flatten().collect();
    let keys = match given.as_slice() {
        [(value, form)] => key_source::kept(value, *form, base, &[]),
        [] => {
            let complaint = Complaint::new("no key says whose batches count").accepted(SOURCES);
            place.refuse_absence(complaint.remedy("add `hmac_secret_file = \"feed.secret\"`"));
            None
        }
        [_, (value, _), ..] => {
            let complaint = Complaint::new("the keys are in two places at once").accepted(SOURCES);
            value.place.refuse(complaint.remedy("keep one of them"));
            None
        }
    };
    Some(Feed { url: url?, keys: keys?, interval: interval.unwrap_or(Duration::from_secs(10)), tls })
}
