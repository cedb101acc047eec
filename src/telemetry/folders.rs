//! Where the streams of a route are: the folders in which its multivariant playlists were found. What lies below such a
//! folder is of that stream, whatever folders a packager makes there for its renditions.

use std::collections::HashSet;

use arc_swap::ArcSwap;

/// Folders that are remembered for one route; what is below further ones is told by its first folder.
const MOST: usize = 4_096;

/// The folders of one route's multivariant playlists.
#[derive(Debug, Default)]
pub struct Folders(ArcSwap<HashSet<Box<str>, foldhash::quality::RandomState>>);

impl Folders {
    /// A multivariant playlist was found at a path.
    pub fn learn(&self, path: &str) {
        let Some((folder, _)) = path.rsplit_once('/') else { return };
        let known = self.0.load();
        if known.contains(folder) || known.len() >= MOST {
            return;
        }
        self.0.rcu(|known| {
            let mut known = HashSet::clone(known);
            known.insert(folder.into());
            known
        });
    }

    /// The folder of the stream to which a path belongs, the innermost where there are several.
    pub fn of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let known = self.0.load();
        if known.is_empty() {
            return None;
        }
        let mut rest = path;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if known.contains(folder) {
                return Some(folder);
            }
            rest = folder;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_multivariant_playlist_is_of_its_stream() {
        let folders = Folders::default();
        assert_eq!(folders.of("/live/one/v0/p1.m4s"), None);
        folders.learn("/live/one/master.m3u8");
        folders.learn("/live/one/extra/master.m3u8");
        assert_eq!(folders.of("/live/one/v0/p1.m4s"), Some("/live/one"));
        assert_eq!(folders.of("/live/one/master.m3u8"), Some("/live/one"));
        assert_eq!(folders.of("/live/one/extra/v0/p1.m4s"), Some("/live/one/extra"));
        assert_eq!(folders.of("/live/onex/p1.m4s"), None);
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let folders = Folders::default();
        (0..=MOST).for_each(|number| folders.learn(&format!("/{number}/master.m3u8")));
        assert_eq!(folders.of("/0/x"), Some("/0"));
        assert_eq!(folders.of(&format!("/{MOST}/x")), None);
    }
}
