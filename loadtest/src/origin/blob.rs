//! `/blob/NAME?size=N&delay_ms=D&over_ms=T&chunked=1&cc=…`: bodies of any size for tests of caches, never held in memory.
//!
//! The bytes are a function of name and offset: pieces of one pseudo-random table, chosen by name and piece number.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{self, HeaderMap};

use super::answer::{Answer, extent};
use super::body::{OriginBody, steps};
use super::clock::Clock;

const PIECE: u64 = 64 << 10;
const TABLE: usize = 1 << 20;
const MAX_SIZE: u64 = 1 << 40;

static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
    let words = (0..TABLE as u64 / 8).flat_map(|index| mix(index).to_le_bytes());
    words.collect::<Vec<u8>>().into()
});

/// A number that looks random (SplitMix64).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)) // FNV-1a
}

/// Some of the bytes of the blob called `name` from `offset` on: at least one, at most `most` and at most 64 KiB.
/// Calling it again where the last one ended gives the whole blob, whatever its size.
pub fn blob_bytes(name: &str, offset: u64, most: u64) -> Bytes {
    piece(seed(name), offset, most)
}

fn piece(seed: u64, offset: u64, most: u64) -> Bytes {
    let (number, within) = (offset / PIECE, offset % PIECE);
    let start = mix(seed ^ number) % (TABLE as u64 - PIECE) + within;
    let start = usize::try_from(start).expect("within the table");
    let len = usize::try_from(most.clamp(1, PIECE - within)).expect("at most a piece");
    RANDOM.slice(start..start + len)
}

/// What the query asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    size: u64,
    delay_ms: u64,
    over_ms: u64,
    chunked: bool,
    life: Option<String>,
}

impl Wish {
    fn read(query: &str) -> Option<Self> {
        let mut wish = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "size" => wish.size = value.parse().ok().filter(|size| *size <= MAX_SIZE)?,
                "delay_ms" => wish.delay_ms = value.parse().ok()?,
                "over_ms" => wish.over_ms = value.parse().ok()?,
                "chunked" => wish.chunked = value == "1",
                "cc" => {
                    wish.life =
                        Some(value.replace("%20", " ").replace("%2C", ",").replace("%3D", "=").replace('+', " "))
                }
                _ => {}
            }
        }
        Some(wish)
    }
}

/// The answer for blob `name`; `None` is a query that cannot be met. Waits out the delay.
pub async fn answer(clock: &Clock, name: &str, query: &str, asked: &HeaderMap) -> Option<Answer> {
    let wish = Wish::read(query)?;
    clock.sleep(wish.delay_ms).await;
    let tag = format!("\"{:016x}-{}\"", seed(name), wish.size);
    let extent = extent(asked, &tag, wish.size);
    let body = stream(clock.clone(), seed(name), (extent.from, extent.to), wish.over_ms);
    let mut answer = extent.answer(body, wish.size, &tag);
    if wish.chunked && answer.response.status() == http::StatusCode::OK {
        answer.response.headers_mut().remove(header::CONTENT_LENGTH);
        answer.length = None;
    }
    let life = wish.life.as_deref().unwrap_or("public, max-age=3600");
    Some(answer.with(header::CONTENT_TYPE, "application/octet-stream").with(header::CACHE_CONTROL, life))
}

/// Bytes `from..to`, the first at once, the last after `over_ms`.
fn stream(clock: Clock, seed: u64, (from, to): (u64, u64), over_ms: u64) -> OriginBody {
    let (begin, size) = (clock.now(), to - from);
    // In time: a step each 10 ms; else a step each piece.
    let step = if over_ms == 0 { PIECE } else { (size / over_ms.div_ceil(10)).clamp(1 << 10, PIECE) };
    let clock = Arc::new(clock);
    steps(from, move |at| {
        let clock = clock.clone();
        async move {
            if at >= to {
                return None;
            }
            let bytes = piece(seed, at, step.min(to - at));
            let next = at + bytes.len() as u64;
            if over_ms > 0 && at > from {
                let share = u128::from(next - from) * u128::from(over_ms) / u128::from(size);
                clock.sleep_until(begin + u64::try_from(share).unwrap_or(over_ms)).await;
            }
            Some(Ok((bytes, next)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_blob_do_not_depend_on_how_it_is_cut() {
        let read = |from: u64, to: u64, most: u64| {
            let mut out = Vec::new();
            while from + (out.len() as u64) < to {
                let at = from + out.len() as u64;
                out.extend_from_slice(&blob_bytes("x", at, most.min(to - at)));
            }
            out
        };
        let whole = read(0, 300_000, u64::MAX);
        assert_eq!(whole, read(0, 300_000, 777));
        assert_eq!(whole[65_000..140_000], read(65_000, 140_000, u64::MAX));
        assert_ne!(whole[..1000], blob_bytes("y", 0, 1000)[..]);
    }

    #[test]
    fn wishes_are_read_from_the_query() {
        let wish = Wish::read("size=3221225472&delay_ms=5&over_ms=9&chunked=1&cc=max-age%3D5%2C+public").unwrap();
        assert_eq!(wish.life.as_deref(), Some("max-age=5, public"));
        assert_eq!((wish.size, wish.delay_ms, wish.over_ms, wish.chunked), (3 << 30, 5, 9, true));
        assert_eq!(Wish::read("size=-1"), None);
    }
}
