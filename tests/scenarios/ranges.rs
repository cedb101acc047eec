//! HEAD, preconditions and single ranges, on what is stored and on what still arrives.

use http::Method;
use weir_loadtest::client::Response;
use weir_loadtest::origin::{Action, Gate, Rule};

use crate::script::{Script, reply};
use crate::stage::{Blob, Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell};

const SIZE: u64 = 100_000;

fn stall(stage: &Stage, blob: &Blob, after: u64) -> Gate {
    stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after })).unwrap()
}

async fn range(stage: &Stage, blob: &Blob, range: &str) -> Response {
    stage.get_with(&blob.path, &[("range", range)]).await
}

#[tokio::test]
async fn head_tells_what_get_would_and_asks_the_origin_once_for_both() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SIZE, "&cc=max-age=60");
        let mut head = stage.ask(Method::HEAD, &blob.path, &[], b"").await;
        assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "100000"));
        assert_eq!(head.bytes().await.unwrap().len(), 0);
        let mut get = stage.get(&blob.path).await;
        for field in ["content-length", "etag", "content-type", "accept-ranges"] {
            assert_eq!(head.header(field), get.header(field), "{field}");
        }
        blob.read_all(&mut get).await.unwrap();
        let told = (head.header("cache-status"), get.header("cache-status"));
        assert_eq!(stage.origin.requests_for(&blob.path), 1, "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn who_has_it_already_gets_no_body() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SIZE, "");
        let mut first = stage.get(&blob.path).await;
        blob.read_all(&mut first).await.unwrap();
        stage.settled().await;
        let tag = first.header("etag").to_owned();
        for (field, value, status) in [
            ("if-none-match", tag.as_str(), 304),
            ("if-none-match", &format!("\"other\", W/{tag}"), 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"other\"", 200),
        ] {
            let mut answer = stage.get_with(&blob.path, &[(field, value)]).await;
            assert_eq!(answer.status.as_u16(), status, "{field}: {value}");
            match status {
                200 => blob.read_all(&mut answer).await.unwrap(),
                _ => assert_eq!(answer.bytes().await.unwrap().len(), 0),
            }
            assert!(status != 304 || answer.header("etag") == tag);
        }
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn what_has_not_been_modified_since_is_not_sent_again() {
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    for way in WAYS {
        let fields = [("last-modified", MODIFIED), ("cache-control", "max-age=60")];
        let origin = Script::start(move |_| reply(200, &fields, "dated")).await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            stage.get("/dated").await.bytes().await.unwrap();
            for (since, status) in [(MODIFIED, 304), ("Sun, 06 Nov 1994 08:49:36 GMT", 200), ("no date", 200)] {
                let answer = stage.get_with("/dated", &[("if-modified-since", since)]).await;
                assert_eq!(answer.status.as_u16(), status, "{since}");
            }
            assert_eq!(origin.count(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn ranges_of_what_is_stored() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SIZE, "");
        let mut first = stage.get(&blob.path).await;
        blob.read_all(&mut first).await.unwrap();
        stage.settled().await;
        for (asked, status, content_range, (from, to)) in [
            ("bytes=0-", 206, "bytes 0-99999/100000", (0, SIZE)),
            ("bytes=10-19", 206, "bytes 10-19/100000", (10, 20)),
            ("bytes=99990-200000", 206, "bytes 99990-99999/100000", (99_990, SIZE)),
            ("bytes=-10", 206, "bytes 99990-99999/100000", (99_990, SIZE)),
            ("bytes=100000-", 416, "bytes */100000", (0, 0)),
            ("bytes=-0", 416, "bytes */100000", (0, 0)),
            ("lines=1-2", 200, "", (0, SIZE)),
        ] {
            let mut answer = range(stage, &blob, asked).await;
            assert_eq!((answer.status.as_u16(), answer.header("content-range")), (status, content_range), "{asked}");
            let body = answer.bytes().await.unwrap();
            assert!(status == 416 || body == blob.bytes(from, to), "{asked}");
        }
        let tag = first.header("etag").to_owned();
        for (validator, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
            let fields = [("range", "bytes=10-19"), ("if-range", validator)];
            assert_eq!(stage.get_with(&blob.path, &fields).await.status.as_u16(), status, "{validator}");
        }
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn ranges_of_what_arrives_are_served_as_soon_as_they_are_there() {
    on_every_protocol(async |stage| {
        for rest in ["", "&chunked=1"] {
            let blob = fresh_blob(SIZE, rest);
            let length = if rest.is_empty() { "100000" } else { "*" };
            let gate = stall(stage, &blob, 50_000);
            let mut leader = range(stage, &blob, "bytes=0-").await;
            blob.read_to(&mut leader, 50_000).await.unwrap();
            let mut early = range(stage, &blob, "bytes=10-19").await;
            let content_range = format!("bytes 10-19/{length}");
            assert_eq!((early.status.as_u16(), early.header("content-range")), (206, &*content_range), "{rest}");
            assert_eq!(early.bytes().await.unwrap(), blob.bytes(10, 20));
            let mut late = range(stage, &blob, "bytes=60000-60009").await;
            let mut last = range(stage, &blob, "bytes=-10").await;
            gate.open();
            assert_eq!(late.bytes().await.unwrap(), blob.bytes(60_000, 60_010));
            // Where the end of an object is not known yet, its last octets are not either: all of it is sent.
            let expected = if rest.is_empty() { blob.bytes(SIZE - 10, SIZE) } else { blob.whole() };
            assert_eq!(last.bytes().await.unwrap(), expected);
            blob.read_all(&mut leader).await.unwrap();
            assert_eq!(stage.origin.requests_for(&blob.path), 1, "{rest}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_range_of_a_cold_object_fetches_the_whole_once() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SIZE, "");
        let mut part = range(stage, &blob, "bytes=500-999").await;
        assert_eq!((part.status.as_u16(), part.header("content-range")), (206, "bytes 500-999/100000"));
        assert_eq!(part.bytes().await.unwrap(), blob.bytes(500, 1_000));
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}
