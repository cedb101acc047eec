//! Purges of playlists. A purged one is let go, and whoever asks next has its origin asked: the sequence goes on, for its
//! numbers are remembered. One that is made stale is sent while its origin is asked, where there is one to ask: a
//! followed playlist is asked for all the time anyway.

use std::sync::Arc;

use http::HeaderMap;

use crate::cache::Act;
use crate::rules::caching::purge::{Mode, Selector};

use super::Live;
use super::playlist::Playlist;
use super::state::State;

impl Live {
    /// Purges the playlists that `selector` covers, or counts them; how many there are.
    pub fn purge(self: &Arc<Self>, selector: &Selector, act: Act) -> usize {
        let covered: Vec<_> = self.table.all().into_iter().filter(|playlist| is_covered(selector, playlist)).collect();
        for playlist in &covered {
            match act {
                Act::Purge(Mode::Hard) => self.let_go(playlist),
                Act::Purge(Mode::Soft) => playlist.set_due(self.clock.now()),
                Act::Count => {}
            }
        }
        covered.len()
    }

    fn let_go(self: &Arc<Self>, playlist: &Arc<Playlist>) {
        let now = self.clock.now();
        self.table.remove_if(playlist, |_| true);
        playlist.dismiss();
        if playlist.is_warm(now)
            && let Ok(anew) = self.open_known(&playlist.asked, now)
        {
            anew.keep_warm(playlist.warm_until());
        }
    }
}

fn is_covered(selector: &Selector, playlist: &Playlist) -> bool {
    let key = &playlist.asked.key;
    match &*playlist.state() {
        State::Media(edition) => selector.covers_response(key, &edition.headers),
        State::Multivariant(document) => selector.covers_response(key, &document.headers),
        State::Asked | State::PerViewer | State::Failed(_) => selector.covers_response(key, &HeaderMap::new()),
    }
}
