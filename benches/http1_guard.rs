//! The reader beneath HTTP/1.1: a head as players send it, whole and in two pieces.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use weir::rules::http1::{Bounds, Guard};

fn main() {
    divan::main();
}

const BOUNDS: Bounds = Bounds { head_size: 32 << 10, fields: 100, request_line: 16 << 10 };
const HEAD: &[u8] = b"GET /live/v1/part-1234-3.m4s?token=abcdefghijklmnopqrstuvwxyz HTTP/1.1\r\n\
    Host: live.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Origin: https://player.example.com\r\n\
    Referer: https://player.example.com/watch/1\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-site\r\n\
    Connection: keep-alive\r\n\r\n";

#[divan::bench(sample_size = 1_000, args = [HEAD.len(), HEAD.len() / 2])]
fn a_head_in_pieces_of(bencher: Bencher, length: usize) {
    let mut guard = Guard::new(BOUNDS);
    bencher.counter(BytesCount::new(HEAD.len())).bench_local(|| {
        for piece in black_box(HEAD).chunks(length) {
            black_box(guard.feed(piece));
        }
    });
    assert!(guard.between() && guard.heads() > 0);
}
