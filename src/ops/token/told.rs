//! A verdict in words: each step, what the token says, how far the clocks are apart, and what it comes to.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::moment::{distance, length, written};
use crate::ops::answers::{plain, row};
use crate::rules::token::any::Unverified;
use crate::rules::token::jws::{Compact, Header};
use crate::rules::token::steps::{Outcome, Skew, Step};
use crate::rules::token::{Algorithm, Claims, Format, Rejection, Scope};

/// All that is known of a token and its verdict.
pub(super) struct Told<'a> {
    pub(super) token: &'a str,
    pub(super) steps: &'a [Step],
    /// What it says; `None`: nobody vouches for that.
    pub(super) claims: Option<&'a Claims>,
    pub(super) skew: Skew,
    /// In seconds since 1970.
    pub(super) now: u64,
}

impl Told<'_> {
    /// The step that failed.
    pub(super) fn failure(&self) -> Option<Rejection> {
        self.steps.iter().find_map(|step| match step.outcome {
            Outcome::Fails(rejection) => Some(rejection),
            _ => None,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or_default();
        for Step { name, question, outcome } in self.steps {
            let line = match outcome {
                Outcome::Holds => format!("  ok      {name:width$}  {question}"),
                Outcome::Fails(rejection) => {
                    format!("  FAILED  {name:width$}  {}: {}", rejection.reason.word(), rejection.detail)
                }
                Outcome::NotReached => format!("  -       {name:width$}  not reached"),
                Outcome::NotAsked => format!("  ?       {name:width$}  {question} {}", ask(name)),
            };
            writeln!(text, "{line}").expect("a string takes everything");
        }
        if let Some(claims) = self.claims {
            text.push_str("\nit says\n");
            for (name, fact) in said(claims, self.now) {
                row(&mut text, name, &fact);
            }
        }
        if let Some(clocks) = self.clocks() {
            write!(text, "\n{clocks}\n").expect("a string takes everything");
        }
        text + "\n" + &self.verdict() + "\n"
    }

    pub(super) fn facts(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(step).collect();
        let failure = self.failure();
        let token = Unverified::read(self.token).ok();
        json!({
            "good": failure.is_none(),
            "reason": failure.map(|rejection| rejection.reason.word()),
            "detail": failure.map(|rejection| rejection.detail),
            "format": token.as_ref().map(|token| name(token.format())),
            "algorithm": self.algorithm().map(Algorithm::name),
            "kid": token.as_ref().and_then(Unverified::kid),
            "steps": steps,
            "claims": self.claims.map(|claims| {
                let facts = said(claims, self.now).into_iter();
                facts.map(|(name, fact)| (name.to_owned(), fact.into())).collect::<Map<_, _>>()
            }),
            "now": self.now,
            "skew": { "issued_at": self.skew.issued_at, "not_before": self.skew.not_before, "expires": self.skew.expires },
            "clocks": self.clocks(),
            "verdict": self.verdict(),
        })
    }

    /// What can be seen of it without a key.
    fn headline(&self) -> String {
        let Ok(token) = Unverified::read(self.token) else { return format!("{} characters", self.token.len()) };
        let kid = token.kid().map_or_else(|| "without kid".to_owned(), |kid| format!("kid {}", plain(kid)));
        match self.algorithm() {
            Some(algorithm) => format!("{}, {}, {kid}", name(token.format()), algorithm.name()),
            None => format!("{}, {kid}", name(token.format())),
        }
    }

    /// As its header says.
    fn algorithm(&self) -> Option<Algorithm> {
        Some(Header::read(&Compact::read(self.token).ok()?.header).ok()?.algorithm)
    }

    /// What its times tell of the issuer's clock.
    fn clocks(&self) -> Option<String> {
        let issued = self.skew.issued_at?;
        let here = written(self.now);
        Some(match issued {
            1.. => format!(
                "clocks: by its iat the issuer's clock is at least {} ahead of this one ({here}); set one of them right",
                length(issued.unsigned_abs())
            ),
            _ => format!("clocks: issued {}, by the issuer's clock; this one shows {here}", distance(issued)),
        })
    }

    fn verdict(&self) -> String {
        if let Some(rejection) = self.failure() {
            return format!("refused: {}: {}", rejection.reason.word(), rejection.detail);
        }
        let open: Vec<_> =
            self.steps.iter().filter(|step| step.outcome == Outcome::NotAsked).map(|step| step.name).collect();
        match open.as_slice() {
            [] => "good; whether it was revoked, used or has too many sessions, only a node knows".to_owned(),
            names => format!("good as far as it was asked; not asked: {}", names.join(", ")),
        }
    }
}

const fn name(format: Format) -> &'static str {
    match format {
        Format::Jwt => "JWT",
        Format::UriSigning => "URI signing",
        Format::Cat => "Common Access Token",
        Format::Hdnts => "edge token",
    }
}

/// How a step that was not asked can be.
fn ask(name: &str) -> &'static str {
    match name {
        "address" => "(say --url and --address)",
        "country" => "(say --url and --country)",
        "protocol" | "fields" => "(only a node knows)",
        _ => "(say --url)",
    }
}

fn step(step: &Step) -> Value {
    let (outcome, failure) = match step.outcome {
        Outcome::Holds => ("ok", None),
        Outcome::Fails(rejection) => ("failed", Some(rejection)),
        Outcome::NotReached => ("not-reached", None),
        Outcome::NotAsked => ("not-asked", None),
    };
    json!({
        "step": step.name,
        "question": step.question,
        "outcome": outcome,
        "reason": failure.map(|rejection| rejection.reason.word()),
        "detail": failure.map(|rejection| rejection.detail),
    })
}

/// What a token says, in words. Only what a signature vouches for comes here.
fn said(claims: &Claims, now: u64) -> Vec<(&'static str, String)> {
    let moment = |seconds: u64| {
        let away = seconds.cast_signed().saturating_sub_unsigned(now);
        format!("{}, {}", written(seconds), distance(away))
    };
    let text = |text: &Option<Box<str>>| text.as_deref().map(plain);
    let texts = |texts: &[Box<str>]| texts.iter().map(|text| plain(text)).collect::<Vec<_>>().join(", ");
    let facts = [
        ("issuer", text(&claims.issuer)),
        ("audience", (!claims.audience.is_empty()).then(|| texts(&claims.audience))),
        ("subject", text(&claims.subject)),
        ("identifier", text(&claims.id)),
        ("session", text(&claims.session)),
        ("covers", Some(covers(&claims.scope))),
        ("issued", claims.issued_at.map(moment)),
        ("not before", claims.not_before.map(moment)),
        ("opens until", claims.expires.map(moment)),
        ("plays until", claims.session_end.map(moment)),
        ("sessions", claims.max_sessions.map(|count| format!("at most {count} of its subject at once"))),
        ("methods", claims.methods.as_deref().map(texts)),
        (
            "addresses",
            claims
                .networks
                .as_ref()
                .map(|networks| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ),
        ("countries", claims.countries.as_deref().map(texts)),
        ("protocols", claims.alpn.as_deref().map(texts)),
        ("tier", text(&claims.tier)),
    ];
    facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
}

fn covers(scope: &Scope) -> String {
    match scope {
        Scope::Everything => "everything of the route".to_owned(),
        Scope::Paths(paths) => {
            paths.iter().map(|path| format!("{} and all below", plain(path))).collect::<Vec<_>>().join("; ")
        }
        Scope::Container(_) => "URIs by a hash or a regular expression".to_owned(),
        Scope::Acl(_) => "paths by patterns".to_owned(),
        Scope::Components(_) => "URIs by their components".to_owned(),
    }
}
