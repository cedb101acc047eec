//! A look into the cache that hits, with one object and with many, alone and from two threads.

use std::time::Duration;

use bytes::Bytes;
use divan::{Bencher, black_box};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use weir::cache::{Bells, Cache, CacheConfig, Lookup, ResponseHead, Sharing};
use weir::clock::{Clock, Tick, WallTime};
use weir::rules::caching::control::TARGETS;
use weir::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use weir::rules::caching::validator::Validators;
use weir::rules::caching::{Control, Key, Variant};

fn main() {
    divan::main();
}

fn key(index: usize) -> Key {
    Key::new("primary", "http", "origin.example", &format!("/live/v1/part-{index}-3.m4s"))
}

fn head() -> ResponseHead {
    let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"))]);
    let times = Times { requested: Tick::default(), responded: Tick::default(), responded_wall: WallTime::default() };
    let received = Received { status: StatusCode::OK, headers: &headers, times };
    ResponseHead {
        status: StatusCode::OK,
        lifetime: Lifetime::of(&received, &Control::of(&headers, &TARGETS), &Policy::MEDIA),
        validators: Validators::of(&headers, WallTime::default()),
        variant: Variant::of(&headers, &HeaderMap::new()).expect("it does not vary"),
        headers,
    }
}

fn filled(objects: usize) -> Cache {
    let config = CacheConfig {
        memory: 1 << 30,
        max_object: 128 << 20,
        fills_per_group: 512,
        fill_readers: 1_000,
        live_reserve: Duration::from_secs(60),
        apart: Duration::from_secs(10),
    };
    let cache = Cache::new(config, Bells::new(2), Clock::manual(WallTime::default()));
    for index in 0..objects {
        let Lookup::Lead(lead) = cache.lookup(&key(index), &HeaderMap::new(), |_| unreachable!("nothing is stored"))
        else {
            panic!("the cache is empty")
        };
        let (mut writer, _reader) = lead.start();
        writer.head(head(), Some(1_500), Sharing::Shared { store: true }).expect("there is room");
        writer.push(Bytes::from_static(&[7; 1_500])).expect("there is room");
        writer.complete();
    }
    cache.run_pending();
    cache
}

#[divan::bench(sample_size = 1_000, args = [1, 10_000], threads = [1, 2])]
fn hit(bencher: Bencher, objects: usize) {
    let cache = filled(objects);
    let keys: Vec<_> = (0..objects).map(key).collect();
    let now = Tick::at(Duration::from_secs(2));
    let next = std::sync::atomic::AtomicUsize::new(0);
    bencher.with_inputs(|| &keys[next.fetch_add(7_919, std::sync::atomic::Ordering::Relaxed) % objects]).bench_values(
        |key| {
            let found = cache.lookup(black_box(key), &HeaderMap::new(), |head| head.lifetime.freshness(now));
            assert!(matches!(found, Lookup::Hit(..)));
            found
        },
    );
}
