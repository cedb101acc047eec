//! An origin that is late, wrong or gone, and what is stale.

use std::net::SocketAddr;
use std::sync::Mutex;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::Value;
use weir_loadtest::client::Response;
use weir_loadtest::origin::{Action, Rule};
use weir_loadtest::port::Reserved;

use crate::script::{Script, reply};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell, with};

/// The word of a refusal.
async fn reason(answer: &mut Response) -> String {
    assert_eq!(answer.header("content-type"), "application/json");
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    body["reason"].as_str().unwrap().to_owned()
}

/// An address where nobody listens for as long as the stories run.
fn nowhere() -> SocketAddr {
    static TAKEN: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());
    let port = Reserved::any().unwrap();
    let address = port.addr();
    TAKEN.lock().unwrap().push(port);
    address
}

#[tokio::test]
async fn what_is_stale_is_asked_about_and_not_fetched_again() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(1_000, "&cc=max-age=0");
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        stage.settled().await;
        let mut again = stage.get(&blob.path).await;
        let told = again.header("cache-status").to_owned();
        assert!(told.starts_with("edge-test;fwd=stale;fwd-status=304;stored"), "{told}");
        blob.read_all(&mut again).await.unwrap();
        let statuses: Vec<_> = stage.origin.stats().log(0).iter().map(|entry| entry.status).collect();
        assert_eq!(statuses, [200, 304]);
    })
    .await;
}

#[tokio::test]
async fn a_whole_answer_to_a_question_about_what_is_stale_takes_its_place() {
    for way in WAYS {
        let version = Arc::new(AtomicUsize::new(1));
        let of_origin = version.clone();
        let origin = Script::start(move |seen| {
            let tag = format!("\"{}\"", of_origin.load(SeqCst));
            let fields = [("etag", tag.as_str()), ("cache-control", "max-age=0")];
            match seen.field("if-none-match") == tag {
                true => reply(304, &fields, ""),
                false => reply(200, &fields, format!("version {tag}")),
            }
        })
        .await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            for (current, asked, status) in
                [(1, "", ""), (1, "\"1\"", ";fwd-status=304"), (2, "\"1\"", ""), (2, "\"2\"", "")]
            {
                version.store(current, SeqCst);
                let mut answer = stage.get("/versioned").await;
                assert_eq!(answer.bytes().await.unwrap(), format!("version \"{current}\""));
                assert!(answer.header("cache-status").contains(status), "{}", answer.header("cache-status"));
                assert_eq!(origin.last().field("if-none-match"), asked);
                stage.settled().await;
            }
            assert_eq!(origin.count(), 4);
        })
        .await;
    }
}

#[tokio::test]
async fn what_may_be_stale_while_it_is_asked_about_waits_for_nobody() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(1_000, "&cc=max-age=0,stale-while-revalidate=60");
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        stage.settled().await;
        let gate = stage.origin.hold(&blob.path).unwrap();
        for _ in 0..3 {
            let mut stale = stage.get(&blob.path).await;
            assert!(stale.header("cache-status").starts_with("edge-test;hit;ttl="), "{}", stale.header("cache-status"));
            blob.read_all(&mut stale).await.unwrap();
        }
        gate.arrived().await;
        assert_eq!(stage.origin.requests_for(&blob.path), 2, "it is asked about once, and behind their backs");
        gate.open();
    })
    .await;
}

#[tokio::test]
async fn what_may_be_stale_on_errors_stands_in_for_an_origin_that_fails() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(1_000, "&cc=max-age=0,stale-if-error=60");
        let lost = fresh_blob(1_000, "&cc=max-age=0");
        for blob in [&blob, &lost] {
            blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        }
        stage.settled().await;
        let desk = stage.origin.desk();
        for trouble in [Action::Status { code: 503, location: None }, Action::Reset { after: None }, Action::Die] {
            let id = desk.add(Rule::new("*", trouble.clone())).unwrap();
            let mut stale = stage.get(&blob.path).await;
            assert_eq!(stale.status.as_u16(), 200, "{trouble:?}");
            assert!(stale.header("cache-status").starts_with("edge-test;hit;ttl="), "{}", stale.header("cache-status"));
            blob.read_all(&mut stale).await.unwrap();
            assert!(stage.get(&lost.path).await.status.is_server_error(), "nothing allows this one: {trouble:?}");
            desk.remove(&id);
        }
    })
    .await;
}

#[tokio::test]
async fn an_origin_that_is_gone_or_silent_is_named_as_the_one_at_fault() {
    let setup = || Setup { upstream: Some(nowhere()), ..Setup::default() };
    with(setup, async |stage| {
        let mut answer = stage.get("/blob/x?size=1").await;
        assert_eq!((answer.status.as_u16(), reason(&mut answer).await.as_str()), (502, "origin-unreachable"));
    })
    .await;
    let setup = || Setup { origin: "first_byte = \"100ms\"".to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let gate = stage.origin.hold("/blob/late").unwrap();
        let mut answer = stage.get("/blob/late?size=1").await;
        assert_eq!((answer.status.as_u16(), reason(&mut answer).await.as_str()), (504, "origin-timeout"));
        gate.open();
        // Nothing of it was stored. A tenth of a second is short for a busy machine's origin: it is asked until it keeps to it.
        let mut answer = stage.get("/blob/late?size=1").await;
        while answer.status == 504 {
            answer = stage.get("/blob/late?size=1").await;
        }
        assert_eq!(answer.status.as_u16(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_silence_in_a_body_is_an_error_and_not_an_end() {
    let setup = || Setup { origin: "idle = \"100ms\"".to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let blob = fresh_blob(100_000, "");
        let gate = stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 50_000 })).unwrap();
        let mut answer = stage.get(&blob.path).await;
        let error = blob.read_all(&mut answer).await.unwrap_err();
        assert!(error.is_cut_body(), "{error:?}");
        gate.open();
        // On a busy machine the origin may be as silent without meaning to be.
        while let Err(error) = blob.read_all(&mut stage.get(&blob.path).await).await {
            assert!(error.is_cut_body(), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_next_origin_answers_where_the_first_is_gone() {
    for way in WAYS {
        let backup = Script::start(|_| reply(200, &[("cache-control", "max-age=60")], "from the backup")).await;
        let setup = Setup {
            upstream: Some(nowhere()),
            tables: format!("[origins.backup]\nurl = \"http://{}\"", backup.addr),
            origins: r#"["main", "backup"]"#,
            ..Setup::default()
        };
        tell(way, setup, async |stage: &Stage| {
            for path in ["/one", "/two", "/three", "/four"] {
                assert_eq!(stage.get(path).await.bytes().await.unwrap(), "from the backup");
            }
            let posted = stage.ask(http::Method::POST, "/form", &[], b"x").await;
            assert_eq!(posted.status.as_u16(), 200, "no byte of it had left");
            assert_eq!(backup.count(), 5);
        })
        .await;
    }
}

#[tokio::test]
async fn a_redirect_is_the_viewers_to_follow() {
    on_every_protocol(async |stage| {
        let location = Some("https://elsewhere.example/x".to_owned());
        stage.origin.desk().add(Rule::new("/blob/moved", Action::Status { code: 302, location })).unwrap();
        let answer = stage.get("/blob/moved?size=1").await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "https://elsewhere.example/x"));
    })
    .await;
}

#[tokio::test]
async fn what_the_origin_breaks_before_its_head_is_tried_once_more() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(1_000, "");
        stage.origin.desk().add(Rule::new(&blob.path, Action::Reset { after: None }).times(1)).unwrap();
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 2);
    })
    .await;
}
