//! What a node keeps secret when it starts: the region's keys, and the certificates whose tickets come from them.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::region::secrets::{RegionKeys, SecretsError, Source};
use crate::transport::tls::{CertificateError, Certificates, Tickets};

/// What the region's keys are derived from. Where nothing keeps it, sessions end with this process.
pub(super) fn of(config: &Config) -> Result<RegionKeys, SecretsError> {
    let secrets = RegionKeys::of(config.node.secrets.as_ref(), config.node.state.as_deref())?;
    if secrets.source == Source::Process && !config.accesses.is_empty() {
        tracing::warn!("a restart ends the sessions of all viewers: neither `state` nor `secrets` is set in [node]");
    }
    Ok(secrets)
}

/// The certificates; `None`: there are none. Where the secret is kept, their tickets are those of the region.
pub(super) fn certificates(
    config: &Config,
    secrets: &RegionKeys,
    clock: &Clock,
) -> Result<Option<Arc<Certificates>>, CertificateError> {
    match (config.tls.certificates.as_slice(), &secrets.source) {
        ([], _) => Ok(None),
        (pairs, Source::Process) => Certificates::load(pairs).map(Some),
        (pairs, Source::Configured(_) | Source::Own(_)) => {
            let tickets = Tickets::new(&secrets.key("tls tickets"), clock.clone());
            Certificates::load_with(pairs, tickets).map(Some)
        }
    }
}
