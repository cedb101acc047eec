//! Parts that are ranges of a segment that grows: three kinds of origin, one fill.

use super::*;

/// `seg-1` is open, its parts of four octets each ranges of it.
fn open(parts: u64) -> String {
    let mut text =
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXTINF:2,\nseg-0.m4s\n".to_owned();
    (0..parts).for_each(|part| {
        text.push_str(&format!("#EXT-X-PART:DURATION=0.5,URI=\"seg-1.m4s\",BYTERANGE=\"4@{}\"\n", part * 4));
    });
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg-1.m4s\",BYTERANGE-START={}\n", parts * 4)
}

/// `seg-1` is closed with two parts.
fn closed() -> String {
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXTINF:2,\nseg-0.m4s\n\
     #EXT-X-PART:DURATION=0.5,URI=\"seg-1.m4s\",BYTERANGE=\"4@0\"\n\
     #EXT-X-PART:DURATION=0.5,URI=\"seg-1.m4s\",BYTERANGE=\"4@4\"\n#EXTINF:1,\nseg-1.m4s\n\
     #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg-2.m4s\",BYTERANGE-START=0\n"
        .to_owned()
}

async fn reached(reader: &mut FillReader, octets: u64) -> u64 {
    poll_fn(|cx| reader.poll_reached(octets, cx)).await.unwrap();
    reader.arrived()
}

#[tokio::test]
async fn an_origin_that_streams_the_rest_is_asked_once() {
    let stage = Stage::new().await;
    stage.publish(&open(0), Watched::Now);
    assert_eq!(stage.find("seg-1.m4s").unwrap().kind, Kind::Growing);
    let request = stage.request().await;
    assert_eq!(request.range(), Some("bytes=0-9007199254740991"));
    let pen = request.begin(206, &[("content-range", "bytes 0-9007199254740991/*"), ("etag", "\"growing\"")]);
    let mut reader = stage.ask("seg-1.m4s").reader();
    pen.send(Bytes::from_static(b"aaaabb")).unwrap();
    settle().await;
    assert_eq!(reader.arrived(), 0, "the playlist has not said where the part ends");
    stage.publish(&open(1), Watched::Now);
    assert_eq!(reached(&mut reader, 4).await, 4, "whole parts alone");
    assert_eq!(stage.find("seg-1.m4s").unwrap().kind, Kind::Growing);
    pen.send(Bytes::from_static(b"bb")).unwrap();
    drop(pen);
    stage.publish(&closed(), Watched::NotNow);
    let object = stage.stored("seg-1.m4s").await;
    assert_eq!(text(&object), "aaaabbbb");
    assert!(!object.head.headers.contains_key("etag") && !object.head.headers.contains_key("content-range"));
    assert_eq!(object.head.status, 200);
    assert_eq!(stage.find("seg-1.m4s").unwrap().kind, Kind::Segment);
    assert!(stage.is_quiet());
    assert_eq!(stage.figure("weir_grown_segments"), 1);
}

#[tokio::test]
async fn an_origin_that_answers_with_one_part_is_asked_for_each() {
    let stage = Stage::new().await;
    stage.publish(&open(0), Watched::Now);
    let mut reader = stage.ask("seg-1.m4s").reader();
    stage.request().await.say(206, &[("content-range", "bytes 0-3/*"), ("content-length", "4")], "aaaa");
    settle().await;
    stage.publish(&open(1), Watched::Now);
    assert_eq!(reached(&mut reader, 4).await, 4);
    let request = stage.request().await;
    assert_eq!(request.range(), Some("bytes=4-9007199254740991"));
    // The last part and the end of the segment at once.
    request.say(206, &[("content-range", "bytes 4-7/8"), ("content-length", "4")], "bbbb");
    settle().await;
    stage.publish(&closed(), Watched::NotNow);
    assert_eq!(text(&stage.stored("seg-1.m4s").await), "aaaabbbb");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn a_file_that_grows_is_never_taken_for_whole_before_the_playlist_closes_it() {
    let stage = Stage::new().await;
    stage.publish(&open(0), Watched::Now);
    let mut reader = stage.ask("seg-1.m4s").reader();
    stage.request().await.say(416, &[("content-range", "bytes */0")], "");
    let asked = stage.clock.now();
    // The length of the moment, in the middle of a part.
    let request = stage.request_later().await;
    assert!(request.at.since(asked).as_millis() >= 125);
    request.say(200, &[("content-length", "2")], "aa");
    let asked = stage.clock.now();
    let request = stage.request_later().await;
    assert!(request.at.since(asked).as_millis() >= 125);
    assert_eq!(reader.arrived(), 0);
    assert_eq!(request.range(), Some("bytes=2-9007199254740991"));
    request.say(206, &[("content-range", "bytes 2-3/4"), ("content-length", "2")], "aa");
    stage.publish(&open(1), Watched::Now);
    assert_eq!(reached(&mut reader, 4).await, 4);
    let request = stage.request().await;
    stage.publish(&closed(), Watched::NotNow);
    request.say(206, &[("content-range", "bytes 4-5/6"), ("content-length", "2")], "bb");
    let request = stage.request().await;
    assert_eq!(request.range(), Some("bytes=6-7"), "its end is known");
    request.say(206, &[("content-range", "bytes 6-7/8"), ("content-length", "2")], "bb");
    assert_eq!(text(&stage.stored("seg-1.m4s").await), "aaaabbbb");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn a_segment_that_is_come_upon_in_the_middle_is_asked_for_from_its_start() {
    let stage = Stage::new().await;
    stage.publish(&open(1), Watched::Now);
    let request = stage.request().await;
    assert_eq!(request.range(), Some("bytes=0-9007199254740991"));
    let mut reader = stage.ask("seg-1.m4s").reader();
    request.say(206, &[("content-range", "bytes 0-3/*"), ("content-length", "4")], "aaaa");
    assert_eq!(reached(&mut reader, 4).await, 4);
    assert_eq!(stage.request().await.range(), Some("bytes=4-9007199254740991"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_goes_on_where_it_broke() {
    let stage = Stage::new().await;
    stage.publish(&open(2), Watched::Now);
    let pen = stage.request().await.begin(206, &[("content-range", "bytes 0-7/*"), ("content-length", "8")]);
    pen.send(Bytes::from_static(b"aaaabb")).unwrap();
    let mut reader = stage.ask("seg-1.m4s").reader();
    assert_eq!(reached(&mut reader, 6).await, 6);
    drop(pen);
    let request = stage.request().await;
    assert_eq!(request.range(), Some("bytes=6-9007199254740991"));
    request.say(206, &[("content-range", "bytes 6-7/*"), ("content-length", "2")], "bb");
    assert_eq!(reached(&mut reader, 8).await, 8);
}

#[tokio::test]
async fn a_segment_that_is_withdrawn_fails_for_all() {
    let stage = Stage::new().await;
    stage.publish(&open(0), Watched::Now);
    let held = stage.request().await;
    let viewer = Tasks::current().spawn("viewer", whole(stage.ask("seg-1.m4s").reader()));
    settle().await;
    stage.publish(&open(0).replace("seg-1.m4s", "seg-9.m4s"), Watched::NotNow);
    assert!(matches!(viewer.await.unwrap(), Err(FillEnd::Failed(_))));
    drop(held);
}

#[tokio::test]
async fn an_origin_that_never_comes_further_is_given_up() {
    let stage = Stage::new().await;
    stage.publish(&open(0), Watched::Now);
    let viewer = Tasks::current().spawn("viewer", whole(stage.ask("seg-1.m4s").reader()));
    while !viewer.is_finished() {
        if let Ok(request) = stage.requests.lock().try_recv() {
            request.say(404, &[], "");
        }
        stage.clock.advance(Duration::from_millis(25));
        settle().await;
    }
    assert!(stage.clock.now() < Tick::at(TD * 5));
    assert!(matches!(viewer.await.unwrap(), Err(FillEnd::Failed(_))));
}
