//! What a version of a playlist costs before it can be sent: a short live one, and a DVR window of 7,200 segments; made
//! for the first time, after one more segment, and where only the rendition reports are new. And what it takes to let
//! 10,000 held reloads go.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use http::HeaderMap;
use weir::cache::Bells;
use weir::clock::Tick;
use weir::live::edition::{Coding, Edition, Form};
use weir::live::parking::{Fate, Held, Parking, Want};
use weir::live::state::State;
use weir::rules::hls::parse::parse;
use weir::rules::hls::reload::Wanted;
use weir::rules::hls::reports::Sibling;
use weir::rules::hls::{Position, Published};

const CODINGS: [Coding; 2] = [Coding::Identity, Coding::Gzip];
const LENGTHS: [u64; 2] = [12, 7_200];

fn main() {
    divan::main();
}

fn text(first: u64, count: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,PART-HOLD-BACK=1.5\n\
         #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-MAP:URI=\"init-v1.mp4\"\n"
    );
    for msn in first..first + count {
        let seconds = msn * 4;
        text += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-25T{:02}:{:02}:{:02}.000Z\n",
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60
        );
        text += &format!("#EXTINF:4.00000,\nvideo/1080p/segment-{msn}.m4s\n");
    }
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video/1080p/segment-{}.0.m4s\"\n", first + count)
}

fn edition(first: u64, count: u64, before: Option<&Edition>) -> Edition {
    let playlist =
        parse(&text(first, count), before.map(|before| &before.published.playlist)).expect("it is a playlist");
    Edition::new(Arc::new(Published { playlist, ..Published::default() }), HeaderMap::new(), before)
}

fn siblings(msn: u64) -> Vec<Sibling> {
    let sibling = |name: &str| Sibling {
        uri: format!("{name}.m3u8").into(),
        next: Position::new(msn, 3),
        has_parts: true,
        closed_parts: 8,
    };
    ["1080p", "720p", "360p", "audio"].map(sibling).into()
}

fn form(edition: &Edition, coding: Coding, stamp: u64) -> u64 {
    edition.form(Form { skipping: None, coding }, stamp, || siblings(stamp), Tick::default()).length
}

#[divan::bench(args = LENGTHS, consts = [0, 1])]
fn for_the_first_time<const CODING: usize>(bencher: Bencher, count: u64) {
    bencher.with_inputs(|| edition(1_000, count, None)).bench_refs(|edition| form(edition, CODINGS[CODING], 1));
}

#[divan::bench(args = LENGTHS, consts = [0, 1])]
fn after_one_more_segment<const CODING: usize>(bencher: Bencher, count: u64) {
    let before = edition(1_000, count, None);
    form(&before, CODINGS[CODING], 1);
    bencher
        .with_inputs(|| edition(1_001, count, Some(&before)))
        .bench_refs(|edition| form(edition, CODINGS[CODING], 1));
}

#[divan::bench(args = LENGTHS, consts = [0, 1])]
fn where_reports_alone_are_new<const CODING: usize>(bencher: Bencher, count: u64) {
    let edition = edition(1_000, count, None);
    let stamp = AtomicU64::new(1);
    bencher.bench(|| form(&edition, CODINGS[CODING], stamp.fetch_add(1, Relaxed)));
}

#[divan::bench(args = LENGTHS)]
fn once_it_is_made(bencher: Bencher, count: u64) {
    let edition = edition(1_000, count, None);
    form(&edition, Coding::Gzip, 1);
    bencher.bench(|| form(black_box(&edition), Coding::Gzip, 1));
}

type Sleeper = Pin<Box<dyn Future<Output = Arc<State>> + Send>>;

#[divan::bench(args = [10_000])]
fn held_reloads_go(bencher: Bencher, held: usize) {
    let want = Want::Reload(Wanted::Segment(7));
    let parking = Parking::new(Bells::new(0), Held::new(held));
    let state = Arc::new(State::Asked);
    let sleepers = || -> Vec<Sleeper> {
        (0..held)
            .map(|_| {
                let mut sleeper: Sleeper = Box::pin(parking.park(want).expect("there is room").released());
                assert!(sleeper.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                sleeper
            })
            .collect()
    };
    bencher.counter(ItemsCount::new(held)).with_inputs(sleepers).bench_values(|sleepers| {
        parking.release(&state, |_| Fate::Release);
        for mut sleeper in sleepers {
            assert!(sleeper.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    });
}
