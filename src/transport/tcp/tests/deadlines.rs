//! Viewers that are too slow; the clock is moved by hand.

use super::*;

fn clear() -> Stage {
    Set { clock: manual(), ..Set::default() }.open()
}

fn tls() -> Stage {
    Set { tls: true, clock: manual(), ..Set::default() }.open()
}

impl Stage {
    async fn advance(&self, seconds: u64) {
        self.settle().await;
        self.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    /// How long it takes until nobody is connected, while time goes on.
    async fn emptied(&self) -> Duration {
        let began = self.clock.now();
        while self.admission.total() > 0 {
            assert!(self.clock.now().since(began) < Duration::from_secs(1_000), "it stays");
            self.clock.advance(Duration::from_millis(50));
            self.settle().await;
        }
        self.clock.now().since(began)
    }

    fn missed(&self, deadline: Deadline) -> u64 {
        self.counters.snapshot().deadlines[deadline as usize]
    }
}

#[tokio::test]
async fn one_that_says_nothing_is_closed() {
    let stage = clear();
    let mut silent = stage.raw().await;
    let mut half = stage.raw().await;
    half.write_all(b"PRI * HT").await.unwrap();
    stage.until(|| stage.counters.snapshot().accepted == 2).await;
    stage.advance(9).await;
    assert_eq!(stage.admission.total(), 2);
    stage.advance(1).await;
    rest(&mut silent).await;
    rest(&mut half).await;
    assert_eq!(stage.missed(Deadline::FirstByte), 2);
    stage.until(|| stage.admission.total() == 0).await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_so_has_what_follows_it() {
    let stage = tls();
    let mut silent = stage.raw().await;
    stage.until(|| stage.counters.snapshot().accepted == 1).await;
    stage.advance(10).await;
    rest(&mut silent).await;
    assert_eq!(stage.missed(Deadline::Handshake), 1);
    let mut quiet = stage.secured("http/1.1").await;
    stage.until(|| stage.counters.snapshot().open_h1 == 1).await;
    stage.advance(10).await;
    rest(&mut quiet).await;
    assert_eq!(stage.missed(Deadline::FirstByte), 1);
}

#[tokio::test]
async fn a_head_has_ten_seconds_from_its_first_byte() {
    let stage = clear();
    let mut slowly = stage.raw().await;
    slowly.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    stage.until(|| stage.counters.snapshot().open_h1 == 1).await;
    for _ in 0..9 {
        stage.advance(1).await;
        slowly.write_all(b"a: b\r\n").await.unwrap();
    }
    assert_eq!(stage.admission.total(), 1);
    stage.advance(1).await;
    rest(&mut slowly).await;
    assert_eq!(stage.missed(Deadline::Head), 1);
}

#[tokio::test]
async fn the_second_head_of_a_connection_has_its_own_ten_seconds() {
    let stage = clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    stage.advance(60).await;
    stream.write_all(b"G").await.unwrap();
    let took = stage.emptied().await;
    assert!((10_000..12_000).contains(&took.as_millis()), "{took:?}");
    rest(&mut stream).await;
    assert_eq!(stage.missed(Deadline::Head), 1);
}

#[tokio::test]
async fn a_head_of_http_2_has_ten_seconds_too() {
    let stage = clear();
    let mut slowly = stage.raw().await;
    slowly.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stage.until(|| stage.counters.snapshot().open_h2 == 1).await;
    slowly.write_all(b"\0\0\x64\x01\x05\0\0\0\x01").await.unwrap();
    for _ in 0..9 {
        stage.advance(1).await;
        slowly.write_all(b"\x82").await.unwrap();
    }
    assert_eq!(stage.admission.total(), 1);
    stage.advance(1).await;
    rest(&mut slowly).await;
    assert_eq!(stage.missed(Deadline::Head), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_75_seconds() {
    let stage = clear();
    let mut h1 = stage.h1().await;
    octets(h1.get("/").await).await.unwrap();
    stage.advance(74).await;
    octets(h1.get("/").await).await.unwrap();
    stage.advance(74).await;
    assert_eq!(stage.admission.total(), 1);
    stage.advance(1).await;
    stage.until(|| stage.admission.total() == 0).await;
    assert_eq!(stage.missed(Deadline::Idle), 1);
}

#[tokio::test]
async fn an_idle_http_2_connection_is_asked_to_go() {
    let stage = tls();
    let mut h2 = stage.h2_tls().await;
    octets(h2.get("/").await).await.unwrap();
    let took = stage.emptied().await;
    assert!((75..90).contains(&took.as_secs()), "{took:?}");
    assert_eq!(stage.missed(Deadline::Idle), 1);
    assert!(h2.send(get_h2("/")).await.is_err());
}

#[tokio::test]
async fn a_held_request_is_not_idle() {
    let stage = clear();
    let mut h1 = stage.h1().await;
    let waiting = Tasks::current().spawn("viewer", async move { octets(h1.get("/hold").await).await.unwrap() });
    stage.serving(1).await;
    for _ in 0..10 {
        stage.advance(20).await;
    }
    stage.service.gate.notify_one();
    assert_eq!(waiting.await.unwrap(), "held");
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_cut_after_30_seconds() {
    for stage in [clear(), tls()] {
        let request = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut stream: Box<dyn Duplex> = match stage.is_tls {
            true => Box::new(stage.secured("http/1.1").await),
            false => Box::new(stage.raw().await),
        };
        stream.write_all(request).await.unwrap();
        stage.serving(1).await;
        let took = stage.emptied().await;
        assert!((30..60).contains(&took.as_secs()), "{took:?}");
        assert_eq!(stage.missed(Deadline::Write), 1);
        stage.serving(0).await;
    }
}

#[tokio::test]
async fn a_viewer_that_takes_a_little_now_and_then_is_not_cut() {
    let stage = clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    stage.serving(1).await;
    let mut taken = 0;
    for _ in 0..5 {
        stage.advance(20).await;
        let before = stage.service.taken.load(Ordering::Relaxed);
        let mut some = vec![0; 4 << 20];
        taken += stream.read_exact(&mut some).await.unwrap();
        // The kernel says that there is room again when it comes to it.
        stage.until(|| stage.service.taken.load(Ordering::Relaxed) > before).await;
    }
    taken += rest(&mut stream).await.len();
    assert!(taken > 100_000_000);
    assert_eq!(stage.missed(Deadline::Write), 0);
}

#[tokio::test]
async fn an_http_2_stream_that_takes_nothing_is_reset_and_the_others_go_on() {
    let stage = tls();
    let mut h2 = stage.h2_tls().await;
    // Its window is used up and never opened: the body is not read.
    let stalled = h2.get("/long").await;
    stage.serving(1).await;
    for _ in 0..6 {
        stage.advance(5).await;
        assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
    }
    // What it took last may have come after the clock had moved.
    for _ in 0..30 {
        if stage.missed(Deadline::Write) == 0 {
            stage.advance(1).await;
        }
    }
    assert_eq!(stage.missed(Deadline::Write), 1);
    stage.serving(0).await;
    assert!(octets(stalled).await.is_err());
    assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_upload_that_stalls_is_told_to_the_service() {
    let stage = clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc").await.unwrap();
    stage.serving(1).await;
    stage.advance(29).await;
    assert_eq!(stage.missed(Deadline::Upload), 0);
    stage.advance(1).await;
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("the request body stalled"), "{answer}");
    assert_eq!(stage.missed(Deadline::Upload), 1);
}

#[tokio::test]
async fn an_http_2_viewer_that_answers_no_ping_is_closed() {
    let stage = clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stage.until(|| stage.counters.snapshot().open_h2 == 1).await;
    let took = stage.emptied().await;
    assert!(took.as_secs() < 60, "{took:?}");
    assert_eq!(stage.missed(Deadline::Idle), 0);
}

#[tokio::test]
async fn a_connection_of_an_hour_is_asked_to_go() {
    let stage = tls();
    let mut h2 = stage.h2_tls().await;
    for _ in 0..62 {
        assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
        stage.clock.advance(Duration::from_secs(60));
        stage.settle().await;
        if h2.0.is_closed() {
            break;
        }
    }
    stage.until(|| h2.0.is_closed()).await;
    assert!(stage.clock.now() >= Tick::at(Duration::from_secs(3_600)));
}
