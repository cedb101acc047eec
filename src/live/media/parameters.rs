//! Which parameters of a query followed playlists write into the URIs that they list, by route.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Parameters remembered of one route; further ones count as if no playlist wrote them.
const OF_A_ROUTE: usize = 64;

type Table = BTreeMap<Arc<str>, BTreeSet<Box<str>>>;

/// The parameters of all routes. Read by every request with a query, written when a new one is seen.
#[derive(Default)]
pub(super) struct Parameters(ArcSwap<Table>);

impl Parameters {
    /// A playlist of the route lists `target`, which is in canonical form.
    pub fn note(&self, route: &Arc<str>, target: &str) {
        let Some((_, query)) = target.split_once('?') else { return };
        let names = || query.split('&').filter(|parameter| !parameter.is_empty()).map(name);
        let present = self.0.load();
        let of_route = present.get(route);
        let is_new = |name: &str| !of_route.is_some_and(|known| known.contains(name) || known.len() >= OF_A_ROUTE);
        if !names().any(is_new) {
            return;
        }
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            let known = table.entry(route.clone()).or_default();
            names().take(OF_A_ROUTE.saturating_sub(known.len())).for_each(|name| _ = known.insert(name.into()));
            table
        });
    }

    /// Whether a playlist of the route writes the parameter.
    pub fn writes(&self, route: &str, name: &str) -> bool {
        self.0.load().get(route).is_some_and(|known| known.contains(name))
    }
}

fn name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}
