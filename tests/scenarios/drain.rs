//! A node that lets its viewers leave.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use weir_loadtest::client::{ClientError, Way};
use weir_loadtest::origin::{Action, Rule};
use weir_loadtest::port::Reserved;

use crate::stage::{PAUSE, Setup, Stage, fresh_blob, on_every_protocol, with};

/// Who has not been answered by then finds nobody.
const NOBODY_THERE: Duration = Duration::from_secs(30);

async fn drain(stage: &Stage, order: &'static str) -> u16 {
    let (code, answer) = stage.admin(Method::POST, "/drain", order).await;
    assert!(code < 500, "{answer}");
    code
}

/// The ports of its doors, which nobody else gets while they are closed.
fn kept(stage: &Stage) -> [Reserved; 2] {
    [Way::H1, Way::H1Tls].map(|way| Reserved::at(stage.server(way).addr).unwrap())
}

async fn ready(stage: &Stage) -> u16 {
    stage.get("/.weir/ready").await.status.as_u16()
}

#[tokio::test]
async fn balancers_learn_first_and_a_drain_can_be_taken_back() {
    let setup =
        || Setup { tables: "# delayed\n".to_owned(), deadline: Some("60s\"\ndelay = \"60s"), ..Setup::default() };
    with(setup, async |stage| {
        assert_eq!((ready(stage).await, drain(stage, "{\"cancel\":true}").await), (200, 409));
        assert_eq!(drain(stage, "{}").await, 202);
        stage.until("it drains", |status| status["draining"] == true).await;
        // While balancers learn of it viewers are served as ever.
        assert_eq!(ready(stage).await, 503);
        assert_eq!(stage.get("/.weir/live").await.status.as_u16(), 200);
        assert_eq!(stage.get("/blob/x?size=1").await.status.as_u16(), 200);
        let (code, text) = stage.admin(Method::GET, "/readyz", "").await;
        let why: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &why["why"][0]), (503, &"the node is draining".into()));
        assert_eq!(drain(stage, "{\"cancel\":true}").await, 200);
        assert_eq!(ready(stage).await, 200);
        // A last one, so that the stage ends at once.
        assert_eq!(drain(stage, "{\"by_seconds\":0}").await, 202);
    })
    .await;
}

#[tokio::test]
async fn running_bodies_finish_and_nobody_new_comes_in() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(500_000, "");
        let body = stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 100_000 })).unwrap();
        let held = fresh_blob(1_000, "");
        let head = stage.origin.hold(&held.path).unwrap();

        let viewer = stage.viewer().await;
        let mut running = viewer.get(&blob.path, &[]).await.unwrap();
        blob.read_to(&mut running, 100_000).await.unwrap();
        let waiting = tokio::spawn({
            let (viewer, path) = (stage.viewer().await, held.path.clone());
            async move { (viewer.get(&path, &[]).await, viewer) }
        });
        head.arrived().await;
        let connections = viewer.connections();
        let _ports = kept(stage);
        assert_eq!(drain(stage, "{\"by_seconds\":240}").await, 202);
        nobody_comes_in(stage).await;

        head.open();
        let (answer, waiter) = waiting.await.unwrap();
        let mut answer = answer.unwrap();
        if matches!(stage.way, Way::H1 | Way::H1Tls) {
            assert_eq!(answer.header("connection"), "close");
        }
        held.read_all(&mut answer).await.unwrap();
        body.open();
        blob.read_all(&mut running).await.unwrap();
        // Both were told to go (GOAWAY, or the connection closed): they try elsewhere, where nobody is any more.
        for viewer in [viewer, waiter] {
            let viewer = viewer.with_deadline(NOBODY_THERE);
            let error = viewer.get(&held.path, &[]).await.map(drop).unwrap_err();
            assert_refused(stage.way, &error);
            assert!(viewer.connections() <= connections + 1);
        }
        // The story ends when the node does, long before its deadline.
    })
    .await;
}

fn assert_refused(way: Way, error: &ClientError) {
    let refused = matches!(error, ClientError::Connect(_) | ClientError::Handshake(_) | ClientError::Closed { .. });
    // What nobody hears over UDP is answered by nobody either.
    let unheard = way == Way::H3 && matches!(error, ClientError::Deadline);
    assert!(refused || unheard, "{error:?}");
}

/// Completes when the node, whose ports are kept, takes no new connections and has told those that are there.
async fn nobody_comes_in(stage: &Stage) {
    let server = stage.server(Way::H1);
    while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
        tokio::time::sleep(PAUSE).await;
    }
    // Each worker answers to this after it has told its connections.
    assert_eq!(stage.admin(Method::GET, "/readyz", "").await.0, 503);
}

#[tokio::test]
async fn a_drain_is_taken_back_after_the_doors_have_closed() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(500_000, "");
        let body = stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 100_000 })).unwrap();
        let mut running = stage.get(&blob.path).await;
        blob.read_to(&mut running, 100_000).await.unwrap();
        let server = stage.server(stage.way);
        let _ports = kept(stage);
        assert_eq!(drain(stage, "{\"by_seconds\":240}").await, 202);
        nobody_comes_in(stage).await;
        assert_eq!(drain(stage, "{\"cancel\":true}").await, 200);
        assert_eq!(stage.server(stage.way), server, "the doors are where they were");
        assert_eq!((ready(stage).await, stage.get("/blob/x?size=1").await.status.as_u16()), (200, 200));
        // The next drain waits for those whom the first one had told to go.
        assert_eq!(drain(stage, "{\"by_seconds\":240}").await, 202);
        nobody_comes_in(stage).await;
        body.open();
        blob.read_all(&mut running).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_still_held_at_the_deadline_is_cut() {
    on_every_protocol(async |stage| {
        let held = fresh_blob(1_000, "");
        let head = stage.origin.hold(&held.path).unwrap();
        let stalled = fresh_blob(500_000, "");
        let body = stage.origin.desk().gate(Rule::new(&stalled.path, Action::Stall { after: 100_000 })).unwrap();
        let mut running = stage.get(&stalled.path).await;
        stalled.read_to(&mut running, 100_000).await.unwrap();
        let waiting = tokio::spawn({
            let (viewer, path) = (stage.viewer().await, held.path.clone());
            async move { viewer.get(&path, &[]).await.map(drop) }
        });
        head.arrived().await;
        assert_eq!(drain(stage, "{\"by_seconds\":1}").await, 202);
        assert!(waiting.await.unwrap().is_err());
        assert!(stalled.read_all(&mut running).await.is_err());
        drop((head, body));
    })
    .await;
}

#[tokio::test]
async fn a_later_drain_also_cuts_what_an_earlier_one_had_told_to_go() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(500_000, "");
        let body = stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 100_000 })).unwrap();
        let mut running = stage.get(&blob.path).await;
        blob.read_to(&mut running, 100_000).await.unwrap();
        let _ports = kept(stage);
        assert_eq!(drain(stage, "{\"by_seconds\":240}").await, 202);
        nobody_comes_in(stage).await;
        assert_eq!(drain(stage, "{\"cancel\":true}").await, 200);
        assert_eq!(drain(stage, "{\"by_seconds\":0}").await, 202);
        assert!(blob.read_all(&mut running).await.is_err());
        drop(body);
    })
    .await;
}
