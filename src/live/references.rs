//! How playlists of a route write what they name: in the node's terms, and, where viewers carry a session in the path,
//! relative, so that whoever asks below a session stays below it and all viewers still share one edition.

use std::borrow::Cow;

use crate::origin::supply::Supply;
use crate::rules::hls::rewrite::{relative, rewrite};
use crate::rules::session::Reach;
use crate::rules::token::carrier::CarrierPosition;

/// How what playlists name is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum References {
    /// What names an origin becomes rooted; the rest stays.
    #[default]
    Rooted,
    /// What such a session opens is relative.
    Relative(Reach, CarrierPosition),
}

impl References {
    /// A playlist with its URIs in the node's terms. `own` is its public target, `viewer` what a viewer called the edge.
    pub fn write<'t>(&self, text: &'t str, supply: &Supply, (own, viewer): (&str, Option<&str>)) -> Cow<'t, str> {
        rewrite(text, |uri| {
            let public = supply.public(uri, viewer);
            let Self::Relative(reach, position) = self else { return public };
            let local = public.as_deref().or_else(|| reach.local(uri, viewer))?;
            let front = reach.front(local).filter(|_| !local.starts_with("//"));
            let is_below = match position {
                CarrierPosition::Root => front.is_some(),
                CarrierPosition::Route => front.is_some() && front == reach.front(own),
            };
            if is_below { Some(relative(own, local)) } else { public }
        })
    }
}
