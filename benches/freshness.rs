//! What a hit asks of its lifetime: whether it is fresh, and its Age.

use std::time::Duration;

use divan::{Bencher, black_box};
use http::header::{AGE, CACHE_CONTROL, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use weir::clock::{Tick, WallTime};
use weir::rules::caching::Control;
use weir::rules::caching::control::TARGETS;
use weir::rules::caching::freshness::{Lifetime, Policy, Received, Times};

fn main() {
    divan::main();
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=6, stale-while-revalidate=3")),
        (DATE, HeaderValue::from_static("Wed, 03 Jul 2024 09:46:40 GMT")),
        (AGE, HeaderValue::from_static("1")),
    ])
}

fn lifetime(headers: &HeaderMap) -> Lifetime {
    let wall = WallTime::at(Duration::from_secs(1_720_000_000));
    let times = Times { requested: Tick::default(), responded: Tick::default(), responded_wall: wall };
    let received = Received { status: StatusCode::OK, headers, times };
    Lifetime::of(&received, &Control::of(headers, &TARGETS), &Policy::MEDIA)
}

/// Once for each answer from the store.
#[divan::bench(sample_size = 1_000)]
fn of_a_hit(bencher: Bencher) {
    let lifetime = lifetime(&headers());
    let now = Tick::at(Duration::from_secs(2));
    bencher.bench(|| (black_box(&lifetime).freshness(black_box(now)), lifetime.age_seconds(black_box(now))));
}

/// Once for each response that is stored.
#[divan::bench(sample_size = 1_000)]
fn of_a_response(bencher: Bencher) {
    let headers = headers();
    bencher.bench(|| lifetime(black_box(&headers)));
}
