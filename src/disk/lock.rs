//! A folder for one process alone, for as long as that lives.

use std::fs;
use std::io;
use std::path::Path;

/// Takes a folder until what is returned is dropped; `None` where another process has it.
///
/// # Errors
/// What the system says.
pub fn lock(folder: &Path) -> io::Result<Option<fs::File>> {
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}
