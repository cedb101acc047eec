//! The Cache-Status member of a hit and of a miss.

use divan::{Bencher, black_box};
use weir::rules::fields::cache_status::{CacheStatus, Forward, Handling, Joined, Kept};

fn main() {
    divan::main();
}

const HIT: CacheStatus<'static> = CacheStatus { handling: Handling::Hit, ttl: Some(5), detail: None, key: None };
const MISS: CacheStatus<'static> = CacheStatus {
    handling: Handling::Forwarded {
        why: Forward::UriMiss,
        status: None,
        kept: Kept::Stored,
        joined: Joined::Collapsed,
    },
    ttl: Some(5),
    detail: None,
    key: None,
};

#[divan::bench(sample_size = 1_000, args = [("hit", HIT), ("miss", MISS)].map(Named))]
fn member(bencher: Bencher, status: &Named) {
    bencher.bench(|| black_box(&status.0.1).member(black_box("edge-1")));
}

/// A status with its name in the table of results.
struct Named((&'static str, CacheStatus<'static>));

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.0)
    }
}
