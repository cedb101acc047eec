//! What a node may do on a player's word: warm what it will ask for next (`nor`), and pace what it is sent (`rtp`). A
//! player's word is a wish (CTA-5004-B §6): it moves nothing beyond its own stream, and slows nothing that is late already.

use super::report::Next;
use crate::rules::uri::{Strictness, Target};

/// The most objects that are warmed for a session at a time.
pub const MOST_AHEAD: usize = 2;

/// Where an object is in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// At the live edge: whoever asked waits for it.
    Live,
    /// Behind it, or of a stream that is complete.
    Behind,
}

/// The targets that a player will ask for, canonical, as long as they are below the stream's prefix and of this host.
/// `asked`: the canonical path of its request. Whether a playlist lists them is for the caller to look up.
pub fn targets(asked: &str, prefix: &str, next: &[Next]) -> Vec<String> {
    let base = &asked[..=asked.rfind('/').unwrap_or_default()];
    let target = |next: &Next| {
        let (path, query) = match next.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*next.path, None),
        };
        if path.is_empty() || path.starts_with("//") || path.split('/').next()?.contains(':') {
            return None;
        }
        let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}{path}") };
        // Dots are resolved first; what is left must not be readable in two ways.
        let resolved = Target::canonical(&whole, query, Strictness::Lenient).ok()?;
        let target = Target::canonical(&resolved.path, query, Strictness::Strict).ok()?;
        target.path.starts_with(prefix).then(|| target.path_and_query())
    };
    next.iter().filter_map(target).take(MOST_AHEAD).collect()
}

/// How fast an object may be sent, in kbit/s, where a player asks for no more than `rtp`; `None`: as fast as can be. Never
/// slower than half as fast again as it plays, which `br` says.
pub fn pace_kbps(rtp: Option<u64>, br: Option<u64>, edge: Edge) -> Option<u64> {
    let (rtp, br) = (rtp?, br?);
    (edge == Edge::Behind && rtp > 0).then(|| rtp.max(br.saturating_add(br.div_ceil(2))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uris: &[&str]) -> Vec<String> {
        let next: Vec<_> = uris.iter().map(|uri| Next { path: (*uri).into(), range: None }).collect();
        targets("/live/720p/seg-41.m4s", "/live/", &next)
    }

    #[test]
    fn what_a_player_asks_for_next_is_found_beside_what_it_asks_for_now() {
        assert_eq!(of(&["seg-42.m4s", "../1080p/seg-42.m4s"]), ["/live/720p/seg-42.m4s", "/live/1080p/seg-42.m4s"]);
        assert_eq!(of(&["/live/720p/seg-42.m4s?v=2"]), ["/live/720p/seg-42.m4s?v=2"]);
        assert_eq!(of(&["./seg%2D42.m4s"]), ["/live/720p/seg-42.m4s"]);
    }

    #[test]
    fn nothing_beyond_its_own_stream_is_asked_for_on_a_players_word() {
        for uri in [
            "../../other/seg.m4s",
            "../../../../etc/passwd",
            "/admin",
            "/live",
            "//evil.example.org/live/seg.m4s",
            "https://evil.example.org/live/seg.m4s",
            "/live/..%2F..%2Fadmin",
            "/live/%2e%2e/admin",
            "..\\..\\admin",
            "seg.m4s;x=y",
            "a//b",
            "a b",
            "",
            "?x=1",
            "#x",
            "data:,x",
        ] {
            assert!(of(&[uri]).is_empty(), "{uri}: {:?}", of(&[uri]));
        }
    }

    #[test]
    fn no_more_is_warmed_for_one_player_than_its_share() {
        assert_eq!(of(&["a", "/x", "b", "c", "d"]), ["/live/720p/a", "/live/720p/b"]);
    }

    #[test]
    fn pacing_keeps_a_player_fed_and_leaves_the_live_edge_alone() {
        assert_eq!(pace_kbps(Some(25_000), Some(5_000), Edge::Behind), Some(25_000));
        assert_eq!(pace_kbps(Some(5_000), Some(5_000), Edge::Behind), Some(7_500));
        assert_eq!(pace_kbps(Some(1), Some(3), Edge::Behind), Some(5));
        assert_eq!(pace_kbps(Some(25_000), Some(5_000), Edge::Live), None);
        assert_eq!(pace_kbps(Some(25_000), None, Edge::Behind), None);
        assert_eq!(pace_kbps(None, Some(5_000), Edge::Behind), None);
        assert_eq!(pace_kbps(Some(0), Some(5_000), Edge::Behind), None);
        assert_eq!(pace_kbps(Some(1), Some(u64::MAX), Edge::Behind), Some(u64::MAX));
    }
}
