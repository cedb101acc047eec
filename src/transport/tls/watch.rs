//! Notices that certificate files changed. The folders are watched, not the files: files are replaced by renaming, and
//! orchestrators replace whole folders by turning a symbolic link (`..data`). Every folder in which a link on the way
//! to a file lies is watched too. A burst of changes is one reload.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

use super::Certificates;
use crate::clock::Clock;
use crate::tasks::Tasks;

/// A burst is over after so much silence.
const SILENCE: Duration = Duration::from_millis(200);
/// A burst that does not end is not waited for any longer.
const BURST: Duration = Duration::from_secs(2);
/// Links on the way to one file.
const LINKS_MAX: usize = 40;

/// Watches the files of `certificates` and reloads them when they change, until the future is dropped.
pub async fn watch(certificates: Arc<Certificates>, clock: Clock, tasks: Tasks) {
    let changed = Arc::new(Notify::new());
    let seen = changed.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change; our own reload would wake us for ever.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            seen.notify_one();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "certificate files are not watched; reload by hand");
            return;
        }
    };
    let mut watched = BTreeSet::new();
    loop {
        follow(&mut watcher, &mut watched, &certificates);
        // What changed while nothing was watched is seen by reading once more.
        let reloading = certificates.clone();
        if tasks.spawn_blocking("certificates", move || reloading.reload()).await.is_err() {
            return;
        }
        changed.notified().await;
        let burst = clock.sleep(BURST);
        tokio::pin!(burst);
        loop {
            tokio::select! {
                biased;
                () = &mut burst => break,
                () = changed.notified() => {}
                () = clock.sleep(SILENCE) => break,
            }
        }
    }
}

/// Watches the folders that matter now, and no others.
fn follow(watcher: &mut RecommendedWatcher, watched: &mut BTreeSet<PathBuf>, certificates: &Certificates) {
    let wanted: BTreeSet<PathBuf> = certificates.files().iter().flat_map(|file| folders(file)).collect();
    watched.retain(|folder| {
        let stays = wanted.contains(folder);
        if !stays {
            // A folder that is gone is watched no longer anyway.
            _ = watcher.unwatch(folder);
        }
        stays
    });
    for folder in wanted {
        // Watching again is harmless, and needed where a folder was replaced under its name.
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => _ = watched.insert(folder),
            Err(error) => warn!(%error, folder = %folder.display(), "a folder of certificates is not watched"),
        }
    }
}

/// The folder of a file and of each link on the way to it.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    for _ in 0..LINKS_MAX {
        let Some((link, target, rest)) = first_link(&path) else { break };
        let folder = link.parent().unwrap_or(Path::new("/")).to_owned();
        path = folder.join(target).join(rest);
        folders.insert(folder);
    }
    if let Some(folder) = path.parent() {
        folders.insert(folder.to_owned());
    }
    folders
}

/// The first symbolic link of a path, what it points to, and what of the path comes after it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let mut seen = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            Component::ParentDir => _ = seen.pop(),
            other => seen.push(other),
        }
        if let Ok(target) = std::fs::read_link(&seen) {
            return Some((seen, target, components.as_path().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_all_links_on_the_way_are_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("mount/..2024")).unwrap();
        std::fs::write(root.join("mount/..2024/tls.crt"), "").unwrap();
        std::os::unix::fs::symlink("..2024", root.join("mount/..data")).unwrap();
        std::os::unix::fs::symlink("..data/tls.crt", root.join("mount/tls.crt")).unwrap();
        std::os::unix::fs::symlink(root.join("mount"), root.join("current")).unwrap();
        let expected = [root.clone(), root.join("mount"), root.join("mount/..2024")];
        assert_eq!(folders(&root.join("current/tls.crt")), BTreeSet::from(expected));
    }
}
