//! Viewers that leave while their request waits.

use super::*;

const WAITING: usize = 100;

#[tokio::test]
async fn closing_http_1_connections_frees_what_they_wait_for_at_once() {
    for stage in [Stage::clear(), Stage::tls()] {
        let mut viewers = Vec::new();
        for _ in 0..WAITING {
            let mut viewer: Box<dyn Duplex> = match stage.is_tls {
                true => Box::new(stage.secured("http/1.1").await),
                false => Box::new(stage.raw().await),
            };
            viewer.write_all(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            viewers.push(viewer);
        }
        stage.serving(WAITING).await;
        assert_eq!(stage.admission.total(), WAITING);
        drop(viewers);
        stage.serving(0).await;
        let gone = || stage.counters.snapshot().gone == WAITING as u64 && stage.admission.total() == 0;
        stage.until(gone).await;
    }
}

#[tokio::test]
async fn cancelling_http_2_streams_frees_what_they_wait_for_at_once() {
    for stage in [Stage::clear(), Stage::tls()] {
        let h2 = if stage.is_tls { stage.h2_tls().await } else { stage.h2().await };
        let tasks = Tasks::current();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let mut h2 = h2.clone();
                tasks.spawn("viewer", async move { h2.send(get_h2("/hold")).await.map(drop) })
            })
            .collect();
        stage.serving(WAITING).await;
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        stage.serving(0).await;
        // The connection goes on, and its places are free.
        let mut h2 = h2.clone();
        assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
        assert_eq!(stage.counters.snapshot().open_h2, 1);
    }
}

#[tokio::test]
async fn a_closed_http_2_connection_frees_its_streams_at_once() {
    let stage = Stage::tls();
    let socket = stage.raw().await;
    let twin = socket2::SockRef::from(&socket).try_clone().unwrap();
    let h2 = H2::over(stage.secure(socket, "h2").await).await;
    let tasks = Tasks::current();
    for _ in 0..WAITING {
        let mut h2 = h2.clone();
        tasks.spawn("viewer", async move { h2.send(get_h2("/hold")).await.map(drop) });
    }
    stage.serving(WAITING).await;
    twin.shutdown(std::net::Shutdown::Both).unwrap();
    stage.serving(0).await;
}

#[tokio::test]
async fn a_viewer_that_leaves_in_mid_body_frees_it() {
    for stage in [Stage::clear(), Stage::tls()] {
        let mut h1 = if stage.is_tls { stage.h1_tls().await } else { stage.h1().await };
        let mut answer = h1.get("/endless").await.into_body();
        answer.frame().await.unwrap().unwrap();
        stage.serving(1).await;
        drop((h1, answer));
        stage.serving(0).await;

        let mut h2 = if stage.is_tls { stage.h2_tls().await } else { stage.h2().await };
        let mut answer = h2.get("/endless").await.into_body();
        answer.frame().await.unwrap().unwrap();
        stage.serving(1).await;
        drop(answer);
        stage.serving(0).await;
    }
}

#[tokio::test]
async fn a_viewer_that_opens_streams_only_to_cancel_them_is_cut_off() {
    let stage = Set { clock: manual(), ..Set::default() }.open();
    let h2 = stage.h2().await;
    let mut cancelled = 0;
    while !h2.0.is_closed() && cancelled < 1_000 {
        let mut h2 = h2.clone();
        let mut request = Tasks::current().spawn("viewer", async move { h2.send(get_h2("/hold")).await.map(drop) });
        tokio::select! {
            () = stage.serving(1) => {}
            // The connection was closed before it came.
            _ = &mut request => break,
        }
        request.abort();
        stage.serving(0).await;
        stage.settle().await;
        cancelled += 1;
    }
    assert!((101..=110).contains(&cancelled), "{cancelled}");
    stage.until(|| stage.admission.total() == 0).await;
    assert_eq!(stage.counters.snapshot().abusive, 1);
    stage.serving(0).await;
}

#[tokio::test]
async fn giving_up_held_requests_again_and_again_is_borne() {
    let stage = Set { clock: manual(), ..Set::default() }.open();
    let h2 = stage.h2().await;
    for _ in 0..300 {
        let mut h2 = h2.clone();
        let request = Tasks::current().spawn("viewer", async move { h2.send(get_h2("/hold")).await.map(drop) });
        stage.serving(1).await;
        stage.clock.advance(Duration::from_millis(200));
        request.abort();
        stage.serving(0).await;
    }
    assert!(!h2.0.is_closed());
}

#[tokio::test]
async fn streams_that_take_nothing_hold_no_more_than_their_send_buffers() {
    let stage = Stage::clear();
    let streams = 128;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let (sender, connection) = builder.handshake(TokioIo::new(stage.raw().await)).await.unwrap();
    run(connection);
    let mut stalled = Vec::new();
    for _ in 0..streams {
        stalled.push(H2(sender.clone()).get("/long").await);
    }
    stage.serving(streams).await;
    stage.settle().await;
    let taken = stage.service.taken.load(Ordering::Relaxed);
    let bound = streams * (Limits::default().h2_send_buffer + (64 << 10));
    assert!(taken <= bound, "{taken} octets taken from the bodies, {bound} at most");
}

#[tokio::test]
async fn a_viewer_that_pipelines_and_leaves_is_seen_too() {
    let stage = Stage::clear();
    let mut viewer = stage.raw().await;
    viewer.write_all(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stage.serving(1).await;
    drop(viewer);
    stage.serving(0).await;
}

#[tokio::test]
async fn a_viewer_that_only_closes_its_side_still_gets_what_is_ready() {
    let stage = Stage::clear();
    let mut viewer = stage.raw().await;
    viewer.write_all(b"GET /?4000000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    viewer.shutdown().await.unwrap();
    let answer = rest(&mut viewer).await;
    assert!(answer.len() > 4_000_000, "{}", answer.len());
}
