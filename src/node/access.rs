//! How the accesses of a node are, for `/status`.

use crate::access::{KeyFigures, KeysFigures};
use crate::admin::{AccessStatus, IssuerStatus, KeyStatus};

use super::Shared;

/// Each access with the keys of its issuers.
pub(super) fn status(shared: &Shared) -> Vec<AccessStatus> {
    let accesses = shared.edge.accesses.figures().into_iter();
    let status = |figures: crate::access::AccessFigures| AccessStatus {
        name: figures.name.to_string(),
        issuers: figures.issuers.into_iter().map(issuer).collect(),
    };
    accesses.map(status).collect()
}

fn issuer(figures: KeysFigures) -> IssuerStatus {
    IssuerStatus {
        issuer: figures.issuer,
        keys: figures.keys.into_iter().map(key).collect(),
        fetched_seconds_ago: figures.age.map(|age| age.as_secs_f64()),
        trouble: figures.trouble,
        alarm: figures.alarm,
    }
}

fn key(figures: KeyFigures) -> KeyStatus {
    let KeyFigures { kid, algorithm, used, last_used } = figures;
    KeyStatus { kid: kid.map(Into::into), algorithm, used, last_used }
}
