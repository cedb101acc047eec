//! The certificates of a node: read with what its region shares, and watched.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Config;
use crate::region::secrets::{self, RegionKeys};
use crate::tasks::Tasks;
use crate::transport::tls::{self, CertificateError, Certificates};

use super::doors::Hall;

/// Nodes of a region take each other's tickets.
pub(super) fn open(
    config: &Config,
    secrets: &RegionKeys,
    clock: &Clock,
) -> Result<Option<Arc<Certificates>>, CertificateError> {
    match (config.tls.certificates.as_slice(), &secrets.source) {
        ([], _) => Ok(None),
        (pairs, secrets::Source::Process) => Certificates::load(pairs).map(Some),
        (pairs, _) => {
            let tickets = tls::Tickets::new(&secrets.key("tls tickets"), clock.clone());
            Certificates::load_with(pairs, tickets).map(Some)
        }
    }
}

/// Follows their files until the node has stopped.
pub(super) fn watch(hall: &Hall, clock: &Clock, tasks: &Tasks) {
    if let Some(certificates) = &hall.certificates {
        tasks.spawn("certificate-watch", tls::watch(certificates.clone(), clock.clone(), tasks.clone()));
    }
}
