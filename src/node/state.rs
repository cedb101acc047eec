//! The folder of what must survive a restart: made at the start, and one node's alone until that has stopped. Two that
//! wrote there would take each other's files.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::disk;

use super::StartError;

/// How long a node that starts waits for one that is about to end.
const ENDING: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the folder and takes it, where there is to be one. It is free again when what is returned is dropped.
pub(super) async fn take(config: &Config, clock: &Clock) -> Result<Option<File>, StartError> {
    match &config.node.state {
        Some(folder) => take_folder(folder, clock).await.map(Some),
        None => Ok(None),
    }
}

async fn take_folder(folder: &Path, clock: &Clock) -> Result<File, StartError> {
    let name = || folder.display().to_string();
    let failed = |source| StartError::State { folder: name(), source };
    // What it holds is nobody else's to read.
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let until = clock.now() + ENDING;
    loop {
        if let Some(lock) = disk::lock(folder).map_err(failed)? {
            return Ok(lock);
        }
        if clock.now() >= until {
            return Err(StartError::Taken { folder: name() });
        }
        clock.sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::tasks::Tasks;

    #[tokio::test]
    async fn a_second_node_waits_a_moment_for_the_first_to_end_and_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let clock = Clock::manual(WallTime::default());
        // A process that is made elsewhere may have what was open here, until it runs a program.
        let take = || {
            let (state, clock) = (state.clone(), clock.clone());
            Tasks::current().spawn("start", async move { take_folder(&state, &clock).await })
        };
        let pass = async |starting: &tokio::task::JoinHandle<_>| {
            while !starting.is_finished() {
                clock.advance(PAUSE);
                tokio::task::yield_now().await;
            }
        };
        let first = take().await.unwrap().unwrap();
        let began = clock.now();
        let second = take();
        pass(&second).await;
        let refused = second.await.unwrap().unwrap_err();
        assert!(
            matches!(&refused, StartError::Taken { folder } if *folder == state.display().to_string()),
            "{refused}"
        );
        assert!(clock.now().since(began) >= ENDING);
        let third = take();
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        pass(&third).await;
        third.await.unwrap().unwrap();
    }
}
