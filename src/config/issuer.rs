//! Issuers of an access, and where their keys are: keys of `[access.NAME]`, or of each of its `[[issuers]]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use zeroize::Zeroizing;

use crate::rules::token::Format;
use crate::rules::token::algorithm::Algorithm;
use crate::rules::token::jwk;
use crate::rules::token::jwt::{BadName, ClaimNames, JwtTerms};
use crate::rules::token::key::{BadKey, Key, KeySet};
use crate::rules::token::mint::SigningKey;
use crate::rules::token::terms::{CatrDeadline, FormatTerms, HdntsTerms};

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::suggest::nearest;
use super::{OriginTls, Secret, formats, material, origin};

const YEAR_MS: u64 = 366 * 86_400_000;
const SOURCES: &str = "one of `jwks`, `jwks_file`, `public_key_file` and `hmac_secret_file`";
/// More names than any issuer has.
const LONGEST_NAME: usize = 256;

/// An issuer of tokens, and its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its name in `iss`; `None`: not checked.
    pub issuer: Option<String>,
    /// Who this node is to it; `None`: not checked.
    pub audience: Option<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The algorithms that its keys may have; empty: those of the keys.
    pub algorithms: Vec<Algorithm>,
    /// The formats of its tokens; at least one.
    pub formats: Vec<Format>,
    /// The type that its tokens name (`typ`); `None`: `JWT` or none.
    pub token_type: Option<String>,
    /// What its claims are called, where not by their own names.
    pub claims: ClaimNames,
    /// How long a token may still live at most.
    pub max_lifetime: Option<Duration>,
    /// How the deadline of a renewal is read (`catr`).
    pub catr_deadline: Option<CatrDeadline>,
    /// What its edge tokens are like.
    pub hdnts: HdntsTerms,
    /// What tokens are renewed with, in the issuer's place; `None`: they are not.
    pub renewal_key: Option<SigningKey>,
}

impl Issuer {
    /// What its tokens are like, for those who verify them.
    pub fn terms(&self) -> FormatTerms {
        let token_type = self.token_type.as_deref().map(Into::into);
        FormatTerms {
            formats: self.formats.clone(),
            jwt: JwtTerms { token_type, names: self.claims.clone() },
            catr_deadline: self.catr_deadline,
            hdnts: self.hdnts.clone(),
        }
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// In a JWK set (RFC 7517) that is fetched.
    Jwks {
        /// From where: https, or http on this machine.
        url: Uri,
        /// TLS towards it.
        tls: OriginTls,
    },
    /// Here.
    Kept(KeptKeys),
}

/// Keys that are kept on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptKeys {
    /// How they are written.
    pub form: KeyForm,
    /// Where; at least one.
    pub places: Vec<KeyPlace>,
}

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// As a JWK set, which may hold shared secrets.
    JwkSet,
    /// As PEM.
    Public,
    /// As a shared secret.
    Shared(Encoding),
}

/// How a shared secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The octets of the first line are the secret.
    Text,
    /// Base64 or base64url, with or without padding.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// All octets of the file are the secret.
    Raw,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file, which is watched.
    File(PathBuf),
    /// In the environment; this is what was there.
    Environment(Secret),
}

/// Why keys that are kept here cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKeys {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// It is not written so.
    #[error("it is not {0}")]
    Encoding(&'static str),
    /// What it holds is no key that can be used.
    #[error("{0}")]
    Key(#[from] BadKey),
    /// It holds no key that can be used.
    #[error("there is no key in it that verifies signatures")]
    Empty,
}

impl KeptKeys {
    /// The keys, as they are now.
    ///
    /// # Errors
    /// The first place that is wrong, and why.
    pub fn read(&self, algorithms: &[Algorithm]) -> Result<KeySet, (usize, UnusableKeys)> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            keys.extend(self.form.read(place, algorithms).map_err(|error| (index, error))?);
        }
        KeySet::of(keys).map_err(|error| (self.places.len() - 1, error.into()))
    }

    /// The files that hold them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().filter_map(|place| match place {
            KeyPlace::File(path) => Some(path.as_path()),
            KeyPlace::Environment(_) => None,
        })
    }
}

impl KeyForm {
    fn read(self, place: &KeyPlace, algorithms: &[Algorithm]) -> Result<Vec<Key>, UnusableKeys> {
        let octets = Zeroizing::new(match place {
            KeyPlace::File(path) => material::read(path).map_err(UnusableKeys::Unreadable)?,
            KeyPlace::Environment(secret) => secret.reveal().as_bytes().to_vec(),
        });
        let keys = match self {
            Self::JwkSet => jwk::read_set(&octets, algorithms)?.keys().to_vec(),
            Self::Public => jwk::read_pem(&octets, None, algorithms)?.keys().to_vec(),
            Self::Shared(encoding) => vec![jwk::read_secret(&encoding.decode(&octets)?, None, algorithms)?],
        };
        if keys.is_empty() { Err(UnusableKeys::Empty) } else { Ok(keys) }
    }
}

impl Encoding {
    fn decode(self, octets: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnusableKeys> {
        let line = octets.trim_ascii();
        Ok(Zeroizing::new(match self {
            Self::Raw => octets.to_vec(),
            Self::Text if line.iter().all(|octet| !octet.is_ascii_control()) => line.to_vec(),
            Self::Text => return Err(UnusableKeys::Encoding("one line of text")),
            Self::Base64 => material::base64(line).ok_or(UnusableKeys::Encoding("base64"))?,
            Self::Hex => material::hex(line).ok_or(UnusableKeys::Encoding("hexadecimal digits"))?,
        }))
    }
}

/// What stands in `[access.NAME]` for each of its issuers that does not say otherwise.
#[derive(Clone, Default)]
struct Common {
    audience: Option<String>,
    algorithms: Option<Vec<Algorithm>>,
    formats: Option<Vec<Format>>,
    token_type: Option<String>,
    claims: Option<ClaimNames>,
    max_lifetime: Option<Duration>,
    catr_deadline: Option<CatrDeadline>,
    hdnts: Option<HdntsTerms>,
    renewal_key: Option<SigningKey>,
}

/// Who issues the tokens of an access; `None`: that is said wrongly.
pub(super) fn issuers(section: &mut Section<'_>, base: &Path) -> Option<Vec<Issuer>> {
    let issuer = section.value("issuer");
    let typed_list = section.value("issuers");
    let common = common(section, base);
    let need = if typed_list.is_none() { Need::Required } else { Need::Free };
    let source = source(section, base, common.algorithms.as_deref().unwrap_or_default(), need);
    let Some(list) = typed_list else {
        let place = section.place.clone();
        let issuer = issuer.as_ref().map(name);
        let built = build(issuer.flatten(), source?, common);
        warn_of_gaps(&built, &place);
        return Some(vec![built]);
    };
    for value in [issuer.as_ref(), source.as_ref().map(|source| &source.value)].into_iter().flatten() {
        let complaint = Complaint::new("issuers are listed, and one stands beside the list");
        value.place.refuse(complaint.remedy("move it into a `[[issuers]]` of its own"));
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    let tables = list.tables();
    if tables.is_empty() {
        list.place.refuse(Complaint::new("nobody issues tokens").remedy("name an issuer, or remove the key"));
    }
    let count = tables.len();
    for table in tables {
        let place = table.place.clone();
        let Some((built, typed)) = listed(table, base, &common) else { continue };
        let is_nameless = built.issuer.is_none() && built.formats != [Format::Hdnts];
        if count > 1 && is_nameless {
            let complaint = Complaint::new("one of several issuers has no name: whose token is it?");
            place.refuse(complaint.remedy("add `issuer = \"https://…\"`, as its tokens say in `iss`"));
        } else {
            warn_of_gaps(&built, &place);
        }
        if let (Some(name), Some(value)) = (&built.issuer, &typed)
            && issuers.iter().any(|other| other.issuer.as_ref() == Some(name))
        {
            let complaint = Complaint::new("the issuer is listed twice").found(value.place.typed());
            value.place.refuse(complaint.remedy("list it once; a JWK set, or a list of files, holds several keys"));
        }
        issuers.push(built);
    }
    (issuers.len() == count && count > 0).then_some(issuers)
}

/// An entry of `[[issuers]]`, with where its name stands.
fn listed<'a>(mut section: Section<'a>, base: &Path, common: &Common) -> Option<(Issuer, Option<Value<'a>>)> {
    let issuer = section.value("issuer");
    let own = self::common(&mut section, base);
    let merged = Common {
        audience: own.audience.or_else(|| common.audience.clone()),
        algorithms: own.algorithms.or_else(|| common.algorithms.clone()),
        formats: own.formats.or_else(|| common.formats.clone()),
        token_type: own.token_type.or_else(|| common.token_type.clone()),
        claims: own.claims.or_else(|| common.claims.clone()),
        max_lifetime: own.max_lifetime.or(common.max_lifetime),
        catr_deadline: own.catr_deadline.or(common.catr_deadline),
        hdnts: own.hdnts.or_else(|| common.hdnts.clone()),
        renewal_key: own.renewal_key.or_else(|| common.renewal_key.clone()),
    };
    let source = source(&mut section, base, merged.algorithms.as_deref().unwrap_or_default(), Need::Required);
    section.finish();
    let name = issuer.as_ref().and_then(name);
    Some((build(name, source?, merged), issuer))
}

fn build(issuer: Option<String>, source: Source<'_>, common: Common) -> Issuer {
    Issuer {
        issuer,
        audience: common.audience,
        keys: source.keys,
        algorithms: common.algorithms.unwrap_or_default(),
        formats: common.formats.unwrap_or_else(|| vec![Format::Jwt]),
        token_type: common.token_type,
        claims: common.claims.unwrap_or_default(),
        max_lifetime: common.max_lifetime,
        catr_deadline: common.catr_deadline,
        hdnts: common.hdnts.unwrap_or_default(),
        renewal_key: common.renewal_key,
    }
}

fn warn_of_gaps(issuer: &Issuer, place: &super::finding::Place<'_>) {
    if issuer.issuer.is_none() && issuer.formats != [Format::Hdnts] {
        let complaint = Complaint::new("`issuer` is left out: who issued a token is not checked, only its signature");
        place.warn(complaint.remedy("add `issuer = \"https://…\"`, as its tokens say in `iss`"));
    }
    if issuer.audience.is_none() && matches!(issuer.keys, KeySource::Jwks { .. }) {
        let complaint = Complaint::new("`audience` is left out: tokens that the issuer made for others open this too");
        place.warn(complaint.remedy("add `audience = \"weir-edge\"`, and have the issuer say so in `aud`"));
    }
}

fn common(section: &mut Section<'_>, base: &Path) -> Common {
    let claims = section.table("claims");
    let deadlines = [("absolute", CatrDeadline::Absolute), ("before_exp", CatrDeadline::BeforeExpiry)];
    Common {
        audience: section.value("audience").as_ref().and_then(name),
        algorithms: section.value("algorithms").and_then(|value| algorithms(&value)),
        formats: section.value("formats").and_then(|value| formats::list(&value)),
        token_type: section.value("token_type").and_then(|value| formats::token_type(&value)),
        claims: claims.and_then(claim_names),
        max_lifetime: section.value("max_lifetime").and_then(|value| value.time(ms(1_000..YEAR_MS))),
        catr_deadline: section.value("catr_deadline").and_then(|value| value.choice(&deadlines)),
        hdnts: section.table("hdnts").map(|table| formats::hdnts(table, base)),
        renewal_key: section.value("renewal_key_file").and_then(|value| formats::renewal_key(&value, base)),
    }
}

/// What is compared octet by octet.
fn name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.len() > LONGEST_NAME || text.trim() != text {
        let complaint = Complaint::new("not a name that a token could say").found(value.place.typed());
        value.place.refuse(complaint.accepted("up to 256 octets, without white space around them"));
        return None;
    }
    Some(text.to_owned())
}

fn algorithms(value: &Value<'_>) -> Option<Vec<Algorithm>> {
    let names = Algorithm::ALL.map(Algorithm::name);
    let mut algorithms = Vec::new();
    let list = value.list()?;
    for item in &list {
        let Some(text) = item.text() else { continue };
        match Algorithm::named(text) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let complaint = Complaint::new("not an algorithm that is used here").found(item.place.typed());
                let upper = text.to_ascii_uppercase();
                let meant = names.into_iter().find(|name| *name == upper).or_else(|| nearest(text, names.into_iter()));
                let remedy = meant.map(|meant| format!("did you mean \"{meant}\"?"));
                item.place.refuse(complaint.accepted(names.join(", ")).perhaps(remedy));
            }
        }
    }
    if list.is_empty() {
        let remedy = "leave the key out: each key has one algorithm anyway";
        value.place.refuse(Complaint::new("no key may have any algorithm").remedy(remedy));
    }
    Some(algorithms)
}

fn claim_names(section: Section<'_>) -> Option<ClaimNames> {
    let place = section.place.clone();
    let values = section.named_values();
    let pairs: Vec<_> = values.iter().filter_map(|(ours, value)| Some((ours.as_str(), value.text()?, value))).collect();
    for (ours, theirs, value) in &pairs {
        if let Err(error @ (BadName::Unknown | BadName::Taken)) = ClaimNames::new([(*ours, *theirs)]) {
            value.place.refuse(
                Complaint::new(error.to_string())
                    .found(format!("{ours} = \"{theirs}\""))
                    .remedy("write what is called otherwise as `ours = \"theirs\"`"),
            );
            return None;
        }
    }
    let names = ClaimNames::new(pairs.iter().map(|(ours, theirs, _)| (*ours, *theirs)));
    names.map_err(|error| place.refuse(Complaint::new(error.to_string()).remedy("give each a name of its own"))).ok()
}

/// Whether a table must name keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    /// The issuers of its list name theirs.
    Free,
}

/// Where keys are, and where that stands.
struct Source<'a> {
    keys: KeySource,
    value: Value<'a>,
}

/// The one source of keys that is named. Where one is needed and there is none, that is reported.
fn source<'a>(section: &mut Section<'a>, base: &Path, algorithms: &[Algorithm], need: Need) -> Option<Source<'a>> {
    let jwks = section.value("jwks");
    let tls = section.table("jwks_tls");
    let file = section.value("jwks_file");
    let public = section.value("public_key_file");
    let secret = section.value("hmac_secret_file");
    let encoding = section.value("hmac_encoding");
    let given: Vec<_> = [&jwks, &file, &public, &secret].into_iter().flatten().collect();
    if let [first, second, ..] = given.as_slice() {
        let complaint = Complaint::new("the keys are in two places at once");
        let found = format!("{} beside {}", second.place.key, first.place.key);
        second.place.refuse(complaint.found(found).accepted(SOURCES).remedy("keep one of them"));
        return None;
    }
    if let (Some(tls), None) = (&tls, &jwks) {
        tls.place.refuse(Complaint::new("nothing is fetched over TLS here").remedy("remove the key, or set `jwks`"));
    }
    if let (Some(encoding), None) = (&encoding, &secret) {
        let remedy = "remove the key, or set `hmac_secret_file`";
        encoding.place.refuse(Complaint::new("there is no shared secret to be read so").remedy(remedy));
    }
    let tls = origin::tls(tls, base);
    let words =
        [("text", Encoding::Text), ("base64", Encoding::Base64), ("hex", Encoding::Hex), ("raw", Encoding::Raw)];
    let encoding = encoding.and_then(|value| value.choice(&words)).unwrap_or(Encoding::Text);
    let kept = |value: Value<'a>, form| {
        let keys = kept(&value, form, base, algorithms).map(KeySource::Kept)?;
        Some(Source { keys, value })
    };
    match (jwks, file, public, secret) {
        (Some(value), ..) => Some(Source { keys: KeySource::Jwks { url: url(&value)?, tls }, value }),
        (_, Some(value), ..) => kept(value, KeyForm::JwkSet),
        (_, _, Some(value), _) => kept(value, KeyForm::Public),
        (.., Some(value)) => kept(value, KeyForm::Shared(encoding)),
        (None, None, None, None) => {
            if need == Need::Required {
                let complaint = Complaint::new("no key says whose tokens count").accepted(SOURCES);
                let remedy = "add `jwks = \"https://paywall.example/.well-known/jwks.json\"`, or another source";
                section.place.refuse_absence(complaint.remedy(remedy));
            }
            None
        }
    }
}

pub(super) fn url(value: &Value<'_>) -> Option<Uri> {
    let text = value.text()?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let plain = uri.authority().is_some_and(|authority| {
            let explicit = authority.as_str().len() > authority.host().len();
            !authority.as_str().contains('@') && (!explicit || authority.port_u16().is_some_and(|port| port > 0))
        });
        matches!(uri.scheme_str(), Some("http" | "https")) && plain && !text.contains('#')
    });
    let Some(uri) = uri else {
        let complaint = Complaint::new("not a URL that keys can be fetched from").found(value.place.typed());
        let file = Path::new(text).extension().map(|_| "a file is named by `jwks_file`".to_owned());
        value.place.refuse(complaint.accepted("\"https://HOST[:PORT]/PATH\", without credentials").perhaps(file));
        return None;
    };
    if uri.scheme_str() == Some("http") && !material::is_this_machine(uri.host().unwrap_or_default()) {
        let complaint = Complaint::new("keys that came in cleartext may be anybody's").found(value.place.typed());
        let remedy = format!("write \"{}\"", text.replacen("http:", "https:", 1));
        value.place.refuse(complaint.accepted("https; http on this machine alone").remedy(remedy));
        return None;
    }
    Some(uri)
}

/// Keys in files, or in the environment: each is read, so that a wrong one is a finding.
pub(super) fn kept(value: &Value<'_>, form: KeyForm, base: &Path, algorithms: &[Algorithm]) -> Option<KeptKeys> {
    let values = if value.is_table() { vec![value.clone()] } else { value.one_or_many()? };
    if values.is_empty() {
        value.place.refuse(Complaint::new("no file is named").remedy("name one"));
        return None;
    }
    let read = |value: &Value<'_>| -> Option<KeyPlace> {
        let place = match value.is_table() {
            true => KeyPlace::Environment(material::secret(value, base)?),
            false => KeyPlace::File(base.join(value.text()?)),
        };
        if let (KeyPlace::File(path), KeyForm::Shared(_) | KeyForm::JwkSet) = (&place, form) {
            material::warn_of_readers(path, value);
        }
        match form.read(&place, algorithms) {
            Ok(_) => Some(place),
            Err(error) => {
                value.place.refuse(unusable(&error, &place, form));
                None
            }
        }
    };
    let places: Vec<_> = values.iter().map(read).collect::<Option<_>>()?;
    let keys = KeptKeys { form, places };
    match keys.read(algorithms) {
        Ok(_) => Some(keys),
        Err((_, error)) => {
            value.place.refuse(Complaint::new(error.to_string()).remedy("give each key a `kid` of its own"));
            None
        }
    }
}

fn unusable(error: &UnusableKeys, place: &KeyPlace, form: KeyForm) -> Complaint {
    let complaint = match place {
        KeyPlace::File(path) => {
            Complaint::new(format!("the key cannot be used: {error}")).found(path.display().to_string())
        }
        KeyPlace::Environment(_) => Complaint::new(format!("the key cannot be used: {error}")),
    };
    complaint.remedy(match (error, form) {
        (UnusableKeys::Unreadable(io), _) if io.kind() == std::io::ErrorKind::NotFound => {
            "relative names start at the folder of this file"
        }
        (UnusableKeys::Unreadable(_), _) => "let the node's user read it",
        (UnusableKeys::Encoding(_), _) => {
            "say by `hmac_encoding` how it is written: \"text\", \"base64\", \"hex\" or \"raw\""
        }
        (UnusableKeys::Key(BadKey::Short), _) => "make one with `openssl rand -hex 32`",
        (_, KeyForm::Shared(_)) => "a public key goes to `public_key_file`, a JWK set to `jwks_file`",
        (_, KeyForm::Public) => "accepted is PEM; a JWK set goes to `jwks_file`, a shared secret to `hmac_secret_file`",
        (_, KeyForm::JwkSet) => "accepted is {\"keys\": […]}; PEM goes to `public_key_file`",
    })
}
