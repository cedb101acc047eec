//! Issuers of an access: keys of `[access.NAME]`, or of each of its `[[issuers]]`.

use std::path::Path;
use std::time::Duration;

use crate::rules::token::Format;
use crate::rules::token::algorithm::Algorithm;
use crate::rules::token::jwt::{BadName, ClaimNames, JwtTerms};
use crate::rules::token::mint::SigningKey;
use crate::rules::token::terms::{CatrDeadline, FormatTerms, HdntsTerms};

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::formats;
use super::key_source::{KeySource, Need, Source, source};
use super::suggest::nearest;

const YEAR_MS: u64 = 366 * 86_400_000;
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
    let need = if typed_list.is_none() { Need::Required } else { Need::Elsewhere };
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
                let lower = names.map(str::to_ascii_lowercase);
                let near = || nearest(text, lower.iter().map(String::as_str));
                let near = || near().and_then(|near| names.into_iter().find(|name| name.eq_ignore_ascii_case(near)));
                let meant = names.into_iter().find(|name| *name == upper).or_else(near);
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
