//! A thousand viewers with a thousand tokens cost the origin what one costs.

use super::{Stream, body, gated, named, resolved, token};
use crate::stage::{Stage, WAYS, tell};

/// How many there are, over each protocol.
const VIEWERS: usize = 1_000;
/// A stream that is over: what it costs does not depend on how long it is watched.
const MAIN: &str = "/live/a/over/main.m3u8";

#[tokio::test]
async fn a_thousand_tokens_cost_the_origin_what_one_costs() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let mut cost = 0;
            // They come one after the other by one connection: what they cost the origin is all that counts.
            let viewer = stage.viewer().await;
            for number in 0..VIEWERS {
                let token = token(&format!("viewer-{number}"));
                let bearer = format!("Bearer {token}");
                let (path, fields) = match number % 3 {
                    0 => (format!("/.weir/t/{token}{MAIN}"), None),
                    1 => (MAIN.to_owned(), Some(("authorization", bearer.as_str()))),
                    _ => (format!("{MAIN}?token={token}"), None),
                };
                let main = body(viewer.get(&path, fields.as_slice()).await.unwrap()).await;
                let hi = named(&main, "hi.m3u8");
                let playlist = body(viewer.get(&hi, &[]).await.unwrap()).await;
                for piece in ["init.mp4", "s100.m4s", "s101.m4s"] {
                    let target = resolved(&hi, &named(&playlist, piece));
                    assert!(body(viewer.get(&target, &[]).await.unwrap()).await.starts_with("octets of"), "{target}");
                }
                if number == 0 {
                    cost = stream.origin.count();
                }
            }
            assert_eq!(stream.origin.count(), cost, "{}", stream.heard());
            assert!(cost <= 7, "the playlists, what was asked for, and what may be fetched ahead: {}", stream.heard());
        })
        .await;
    }
}
