//! The verdict step by step, for a developer whose token is refused: what was asked in which order, what held, what did
//! not, and how far the clocks are apart.

use super::claims::Claims;
use super::reason::{Reason, Rejection};
use super::verdict::{self, Facts, Question, Terms};

/// What became of a token before its claims were judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    /// It could not be taken apart.
    Unreadable(Rejection),
    /// It could, but no key or no signature was found, or its claims could not be read.
    Refused(Rejection),
    /// Its signature holds, and these are its claims.
    Verified(Box<Claims>),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not.
    Fails(Rejection),
    /// An earlier one did not.
    NotReached,
    /// It is about a request, and none was given.
    NotAsked,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// A word for it.
    pub name: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// How far a token's moments lie from now, in seconds; negative: in the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// `iat` − now. Above zero the issuer's clock is ahead of this one.
    pub issued_at: Option<i64>,
    /// `nbf` − now.
    pub not_before: Option<i64>,
    /// `exp` − now.
    pub expires: Option<i64>,
}

impl Skew {
    /// Of these claims, now.
    pub fn of(claims: &Claims, now: u64) -> Self {
        let from_now = |moment: Option<u64>| moment.map(|moment| moment.cast_signed().saturating_sub_unsigned(now));
        Self {
            issued_at: from_now(claims.issued_at),
            not_before: from_now(claims.not_before),
            expires: from_now(claims.expires),
        }
    }
}

/// What is asked before claims are judged.
const BEFORE: [(&str, &str); 5] = [
    ("size", "is it at most 8192 octets?"),
    ("form", "can it be taken apart, and is its header one that is accepted?"),
    ("key", "has its issuer a key with its kid and its algorithm?"),
    ("signature", "does the signature hold by that key?"),
    ("claims", "is it of the right type, and can all its claims be read?"),
];

/// Every step in the order in which a node takes them. Whether a token was used, revoked or has too many sessions is not
/// among them: only a node knows.
pub fn steps(checked: &Checked, terms: &Terms<'_>, facts: Option<&Facts<'_>>, now: u64) -> Vec<Step> {
    let failed = match checked {
        Checked::Unreadable(rejection) if rejection.reason == Reason::TokenTooLarge => Some((0, *rejection)),
        Checked::Unreadable(rejection) => Some((1, *rejection)),
        Checked::Refused(rejection) => Some((place(rejection.reason), *rejection)),
        Checked::Verified(_) => None,
    };
    let before = BEFORE.iter().enumerate().map(|(index, (name, question))| {
        let outcome = match failed {
            Some((at, rejection)) if at == index => Outcome::Fails(rejection),
            Some((at, _)) if at < index => Outcome::NotReached,
            _ => Outcome::Holds,
        };
        Step { name, question, outcome }
    });
    let mut steps: Vec<_> = before.collect();
    let claims = if let Checked::Verified(claims) = checked { Some(&**claims) } else { None };
    judge(&mut steps, &verdict::of_time_and_party_asks(), claims, Some(terms), now);
    judge(&mut steps, &verdict::of_request_asks(), claims, facts, now);
    steps
}

/// Where a token fails that could be taken apart.
const fn place(reason: Reason) -> usize {
    match reason {
        Reason::KeyUnknown | Reason::KeysUnavailable | Reason::AlgRefused | Reason::IssuerUnknown => 2,
        Reason::SignatureBad => 3,
        _ => 4,
    }
}

fn judge<T>(steps: &mut Vec<Step>, questions: &[Question<T>], claims: Option<&Claims>, by: Option<&T>, now: u64) {
    for Question { name, question, judge } in questions {
        let has_failed = steps.iter().any(|step| matches!(step.outcome, Outcome::Fails(_)));
        let outcome = match (claims, by) {
            (Some(claims), Some(by)) if !has_failed => match judge(claims, by, now) {
                Ok(()) => Outcome::Holds,
                Err(rejection) => Outcome::Fails(rejection),
            },
            (Some(_), None) if !has_failed => Outcome::NotAsked,
            _ => Outcome::NotReached,
        };
        steps.push(Step { name, question, outcome });
    }
}
