//! Which certificate answers which handshake: by name, then by what signatures the viewer can check.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

/// The pairs in the order of the configuration, and who answers for which name.
#[derive(Debug, Default)]
pub(super) struct Table {
    pairs: Vec<Arc<CertifiedKey>>,
    /// `example.com` → the pairs that name it.
    exact: HashMap<String, Vec<usize>>,
    /// `example.com` → the pairs that name `*.example.com`.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Table {
    pub(super) fn new(pairs: Vec<Arc<CertifiedKey>>) -> Self {
        let mut table = Self { pairs, ..Self::default() };
        for place in 0..table.pairs.len() {
            for name in names(&table.pairs[place]) {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent.to_owned()),
                    None => (&mut table.exact, name),
                };
                names.entry(name).or_default().push(place);
            }
        }
        // Where a viewer can check both, the cheaper signature wins; the sort keeps the order otherwise.
        let is_rsa = |place: &usize| table.pairs[*place].key.algorithm() == SignatureAlgorithm::RSA;
        table.exact.values_mut().chain(table.wildcard.values_mut()).for_each(|places| places.sort_by_key(is_rsa));
        table
    }

    /// The pair for a name: one that names it, else one whose wildcard does (RFC 9525 §6.3: one label), else the first
    /// of the configuration. Of several, one whose signature the viewer can check. RFC 6066 §3 allows to go on with
    /// another certificate where the name is unknown; a viewer that minds refuses it.
    pub(super) fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let parent = name.as_ref().and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        let named = exact.into_iter().chain(wildcard).flatten().map(|place| &self.pairs[*place]);
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        named.chain(&self.pairs).find(fits).or(self.pairs.first()).cloned()
    }
}

/// The names of a leaf, in lower case.
fn names(pair: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = pair.cert.first() else { return Vec::new() };
    let Ok(leaf) = webpki::EndEntityCert::try_from(leaf) else { return Vec::new() };
    leaf.valid_dns_names().map(str::to_ascii_lowercase).collect()
}
