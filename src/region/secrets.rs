//! What nodes of a region know and nobody else: one master secret, and the one before it, from which every key that they
//! share is derived (RFC 5869), each for one purpose.
//!
//! The secret is in the file that `secrets` in `[node]` names; the same file makes nodes a region. Without it a node makes
//! one of its own, once, and keeps it in its state folder; without that it lives as long as the process.
//!
//! A rotation puts a new secret above the old one. What is made from then on is made by the new one; what the old one made
//! is still taken. Prints and session identifiers keep coming from the older of the two, so that revocations and sessions
//! mean the same before and after: the second line goes when nothing of its time lives any more.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::config::{BadSecrets, Secrets};
use crate::rules::session::{PrintKey, Seals};

/// What the file in the state folder is called.
const FILE: &str = "node.keys";

/// A key of 32 octets, wiped when it is dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// The keys of the region, as they are now.
#[derive(Clone)]
pub struct RegionKeys {
    current: Prk,
    previous: Option<Prk>,
    /// Where they come from.
    pub source: Source,
}

/// Where the master secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the file that the configuration names.
    Configured(PathBuf),
    /// From a file that this node made for itself.
    Own(PathBuf),
    /// From nowhere: it was made for this process.
    Process,
}

/// Why a node's own secret cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file that an earlier process made cannot be used.
    #[error("the node's secrets in {path} cannot be used: {source}; restore the file, or remove it: sessions then end")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BadSecrets,
    },
    /// The file cannot be made.
    #[error("the node's secrets cannot be kept in {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Debug for RegionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionKeys").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The length of a key of ours.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl RegionKeys {
    /// The keys of a node: those that its configuration names, else its own from its state folder, made where there are
    /// none, else new ones.
    ///
    /// # Errors
    /// Where there is a state folder, and its file can be neither used nor made.
    pub fn of(configured: Option<&Secrets>, state: Option<&Path>) -> Result<Self, SecretsError> {
        match (configured, state) {
            (Some(secrets), _) => Ok(Self::from(secrets, Source::Configured(secrets.path.clone()))),
            (None, Some(folder)) => {
                let path = folder.join(FILE);
                Ok(Self::from(&own(&path)?, Source::Own(path)))
            }
            (None, None) => Ok(Self::random()),
        }
    }

    /// The keys of a node that has these, after its configuration was read again: what was made for this process, or kept
    /// in a file that is gone, stays.
    ///
    /// # Errors
    /// As [`RegionKeys::of`].
    pub fn again(&self, configured: Option<&Secrets>, state: Option<&Path>) -> Result<Self, SecretsError> {
        match (configured, state, &self.source) {
            (None, None, Source::Process) => Ok(self.clone()),
            (None, Some(folder), Source::Own(path)) if folder.join(FILE) == *path => Ok(match Secrets::read(path) {
                Ok(secrets) => Self::from(&secrets, self.source.clone()),
                Err(_) => self.clone(),
            }),
            _ => Self::of(configured, state),
        }
    }

    /// Keys for this process alone.
    pub fn random() -> Self {
        let master = random();
        Self { current: extract(master.as_ref()), previous: None, source: Source::Process }
    }

    fn from(secrets: &Secrets, source: Source) -> Self {
        let previous = secrets.previous.as_deref().map(|secret| extract(secret));
        Self { current: extract(&secrets.current), previous, source }
    }

    /// The keys that seal sessions.
    pub fn seals(&self) -> Seals {
        let previous = self.previous.as_ref().map(|secret| expand(secret, "session seal"));
        Seals::new(&expand(&self.current, "session seal"), previous.as_deref())
    }

    /// The key of prints and session identifiers.
    pub fn prints(&self) -> PrintKey {
        PrintKey::new(&expand(self.previous.as_ref().unwrap_or(&self.current), "prints"))
    }

    /// The key that another purpose has, by its name: the current one.
    pub fn key(&self, purpose: &str) -> Key {
        expand(&self.current, purpose)
    }

    /// The keys that a purpose has, the current one first: what any of them made is taken.
    pub fn keys(&self, purpose: &str) -> Vec<Key> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .map(|secret| expand(secret, purpose))
            .collect()
    }
}

fn extract(secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, b"weir region").extract(secret)
}

fn expand(secret: &Prk, purpose: &str) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    let info = [purpose.as_bytes()];
    let okm = secret.expand(&info, Length).expect("32 octets are not too many for HKDF");
    okm.fill(key.as_mut()).expect("the key has the length that was asked for");
    key
}

fn random() -> Key {
    let mut octets = Zeroizing::new([0; 32]);
    rand::fill(octets.as_mut()).expect("the system has random numbers");
    octets
}

/// The node's own secret, made where there is none. Only its owner reads it.
fn own(path: &Path) -> Result<Secrets, SecretsError> {
    match Secrets::read(path) {
        Ok(secrets) => return Ok(secrets),
        Err(BadSecrets::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(SecretsError::Unusable { path: path.to_owned(), source }),
    }
    let unwritable = |source| SecretsError::Unwritable { path: path.to_owned(), source };
    make(path).map_err(unwritable)?;
    Secrets::read(path).map_err(|source| SecretsError::Unusable { path: path.to_owned(), source })
}

/// Written beside its place and then renamed: another process, or a crash, never finds half of it.
fn make(path: &Path) -> io::Result<()> {
    let secret = random();
    let digits = Zeroizing::new(secret.iter().map(|octet| format!("{octet:02x}")).collect::<String>());
    let beside = path.with_extension("new");
    let text = Zeroizing::new(format!("# The secret of this node: it seals sessions. Keep it.\n{}\n", digits.as_str()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::rules::session::Named;

    const OLD: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff\n";
    const NEW: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0ffeeddccbbaa99887766554433221100\n";

    fn keys(folder: &Path, text: &str) -> RegionKeys {
        let path = folder.join("shared.keys");
        fs::write(&path, text).unwrap();
        RegionKeys::of(Some(&Secrets::read(&path).unwrap()), None).unwrap()
    }

    fn print(keys: &RegionKeys) -> u64 {
        keys.prints().print("a", Named::Subject, "alice")
    }

    #[test]
    fn the_same_file_gives_the_same_keys_and_each_purpose_another() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (keys(folder.path(), OLD), keys(folder.path(), OLD));
        assert_eq!(one.key("quic"), two.key("quic"));
        assert_ne!(one.key("quic"), one.key("tickets"));
        assert_ne!(one.key("quic"), keys(folder.path(), NEW).key("quic"));
        assert_eq!(print(&one), print(&two));
        assert!(!format!("{one:?}").contains("Prk"), "no key is printed");
    }

    #[test]
    fn a_rotation_changes_the_keys_and_leaves_the_names_of_things() {
        let folder = tempfile::tempdir().unwrap();
        let old = keys(folder.path(), OLD);
        let both = keys(folder.path(), &format!("{NEW}{OLD}"));
        let new = keys(folder.path(), NEW);
        assert_eq!(both.key("quic"), new.key("quic"));
        assert_eq!(print(&both), print(&old));
        assert_ne!(print(&both), print(&new));
    }

    #[test]
    fn a_node_makes_its_secret_once_and_keeps_it_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let one = RegionKeys::of(None, Some(folder.path())).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(one.source, Source::Own(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let again = RegionKeys::of(None, Some(folder.path())).unwrap();
        assert_eq!(one.key("quic"), again.key("quic"));
        fs::write(&path, "damaged!").unwrap();
        assert!(matches!(RegionKeys::of(None, Some(folder.path())), Err(SecretsError::Unusable { .. })));
        let nowhere = folder.path().join("none");
        assert!(matches!(RegionKeys::of(None, Some(&nowhere)), Err(SecretsError::Unwritable { .. })));
    }

    #[test]
    fn without_a_place_each_process_has_its_own() {
        let (one, two) = (RegionKeys::of(None, None).unwrap(), RegionKeys::random());
        assert_eq!(one.source, Source::Process);
        assert_ne!(one.key("quic"), two.key("quic"));
    }
}
