//! Where viewers are: what a trusted proxy says of it, else a database (MaxMind DB) of addresses.
//!
//! The database is read whole, looked at again from time to time, and replaced where its file has changed. One that
//! cannot be read leaves the old one in place.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderMap, HeaderName};
use maxminddb::Reader;
use serde::Deserialize;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{Geo, read_up_to};
use crate::rules::admission::country::Country;
use crate::tasks::Tasks;

/// The largest database that is read.
const LARGEST: u64 = 512 << 20;
/// Between two looks at the file: databases come out once a week.
const LOOKS: Duration = Duration::from_secs(60);

/// Where viewers are.
pub struct Countries {
    geo: ArcSwap<Geo>,
    database: ArcSwapOption<Database>,
    outdated: AtomicU64,
}

/// A database, and the file that it was read from.
struct Database {
    path: PathBuf,
    stamp: Stamp,
    reader: Reader<Vec<u8>>,
}

/// What tells one version of a file from another.
type Stamp = (Option<SystemTime>, u64);

/// What a database says of an address, as far as it matters here.
#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    country: Option<Code<'a>>,
    /// Where the address was registered: for those of which it is not known where they are used.
    #[serde(borrow)]
    registered_country: Option<Code<'a>>,
}

#[derive(Deserialize)]
struct Code<'a> {
    iso_code: Option<&'a str>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// What is in it.
    #[error("{0}")]
    Content(#[from] maxminddb::MaxMindDbError),
}

impl Countries {
    /// Where viewers are, by a checked configuration.
    pub fn new(geo: &Geo) -> Arc<Self> {
        let countries = Self {
            geo: ArcSwap::from_pointee(geo.clone()),
            database: ArcSwapOption::empty(),
            outdated: AtomicU64::new(0),
        };
        countries.refresh();
        Arc::new(countries)
    }

    /// Follows a new configuration.
    pub fn configure(&self, geo: &Geo) {
        self.geo.store(Arc::new(geo.clone()));
        self.refresh();
    }

    /// Whether anything says where viewers are.
    pub fn is_known(&self) -> bool {
        self.geo.load().is_known()
    }

    /// The country of a viewer at `address`; `said` are the fields of a proxy that is believed.
    pub fn of(&self, address: IpAddr, said: Option<&HeaderMap>) -> Option<Country> {
        let geo = self.geo.load();
        if let (Some(name), Some(fields)) = (&geo.header, said) {
            let said = one(fields, name).and_then(Country::of);
            if said.is_some() {
                return said;
            }
        }
        self.database.load().as_ref()?.country(address.to_canonical())
    }

    /// Looks at the file again and again, until the future is dropped.
    pub async fn keep(self: Arc<Self>, clock: Clock, tasks: Tasks) {
        loop {
            clock.sleep(LOOKS).await;
            let countries = self.clone();
            if tasks.spawn_blocking("countries", move || countries.refresh()).await.is_err() {
                return;
            }
        }
    }

    /// How often a database could not be used.
    pub fn outdated(&self) -> u64 {
        self.outdated.load(Relaxed)
    }

    /// Reads the database where it is another one than before.
    pub fn refresh(&self) {
        let Some(path) = self.geo.load().database.clone() else {
            self.database.store(None);
            return;
        };
        let stamp = stamp(&path);
        let is_same = |known: &Arc<Database>| known.path == path && Some(known.stamp) == stamp;
        if self.database.load().as_ref().is_some_and(is_same) {
            return;
        }
        match Database::read(&path) {
            Ok(database) => {
                info!(path = %path.display(), built = database.reader.metadata.build_epoch, "countries are known");
                self.database.store(Some(Arc::new(database)));
            }
            Err(error) => {
                self.outdated.fetch_add(1, Relaxed);
                warn!(path = %path.display(), %error, "the database of countries cannot be used: the old one stays");
            }
        }
    }
}

impl Database {
    fn read(path: &Path) -> Result<Self, DatabaseError> {
        // Stamped before it is read: what is written meanwhile is seen the next time.
        let stamp = stamp(path).unwrap_or_default();
        let reader = Reader::from_source(read_up_to(path, LARGEST)?)?;
        Ok(Self { path: path.to_owned(), stamp, reader })
    }

    fn country(&self, address: IpAddr) -> Option<Country> {
        let place: Place<'_> = self.reader.lookup(address).ok().flatten()?;
        let code = |code: Option<Code<'_>>| code.and_then(|code| Country::of(code.iso_code?.as_bytes()));
        code(place.country).or_else(|| code(place.registered_country))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

/// The only value of a field: of two, one may be the viewer's own.
fn one<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f [u8]> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const DATABASE: &str = "tests/fixtures/geo/countries.mmdb";
    const FIELD: HeaderName = HeaderName::from_static("cf-ipcountry");

    fn by_both(database: &Path) -> Geo {
        Geo { header: Some(FIELD), database: Some(database.to_owned()), ..Geo::default() }
    }

    fn code(countries: &Countries, address: &str, said: Option<&HeaderMap>) -> Option<String> {
        countries.of(address.parse().unwrap(), said).map(|country| country.code().to_owned())
    }

    #[test]
    fn a_database_says_where_an_address_is() {
        let countries = Countries::new(&by_both(Path::new(DATABASE)));
        for (address, expected) in [
            ("203.0.113.7", Some("DE")),
            ("::ffff:203.0.113.7", Some("DE")),
            ("198.51.100.1", Some("US")),
            ("192.0.2.1", Some("CH")),
            ("2001:db8::1", Some("AT")),
            ("8.8.8.8", None),
            ("100.64.0.1", None),
        ] {
            assert_eq!(code(&countries, address, None).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_says_goes_first_where_it_is_a_country() {
        let countries = Countries::new(&by_both(Path::new(DATABASE)));
        let said = |value: &'static str| HeaderMap::from_iter([(FIELD, HeaderValue::from_static(value))]);
        assert_eq!(code(&countries, "203.0.113.7", Some(&said("fr"))).as_deref(), Some("FR"));
        assert_eq!(code(&countries, "203.0.113.7", Some(&said("XX"))).as_deref(), Some("DE"));
        let mut twice = said("FR");
        twice.append(FIELD, HeaderValue::from_static("US"));
        assert_eq!(code(&countries, "203.0.113.7", Some(&twice)).as_deref(), Some("DE"));
    }

    #[test]
    fn a_new_database_replaces_the_old_one_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.mmdb");
        let whole = std::fs::read(DATABASE).unwrap();
        std::fs::write(&path, &whole).unwrap();
        let countries = Countries::new(&by_both(&path));
        let known = || code(&countries, "203.0.113.7", None);
        assert_eq!(known().as_deref(), Some("DE"));
        std::fs::write(&path, &whole[..100]).unwrap();
        countries.refresh();
        assert_eq!((known().as_deref(), countries.outdated()), (Some("DE"), 1));
        // The same places under other names: "DE" is where the record says so.
        let at = whole.windows(2).position(|octets| octets == b"DE").unwrap();
        let mut changed = whole.clone();
        changed[at..at + 2].copy_from_slice(b"FI");
        changed.push(0);
        std::fs::write(&path, &changed).unwrap();
        countries.refresh();
        assert_eq!(known().as_deref(), Some("FI"));
        countries.configure(&Geo::default());
        assert_eq!((known(), countries.is_known()), (None, false));
    }
}
