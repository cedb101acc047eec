//! Requests and answers as they should be.

use http_body_util::Full;

use super::*;

#[tokio::test]
async fn every_protocol_answers_over_cleartext_and_tls() {
    let (clear, tls) = (Stage::clear(), Stage::tls());
    for length in [0, 1, 1_500, 4_096, 16_375, 16_384, 100_000, 2 << 20] {
        let path = format!("/?{length}");
        assert_eq!(octets(clear.h1().await.get(&path).await).await.unwrap(), pattern(length));
        assert_eq!(octets(clear.h2().await.get(&path).await).await.unwrap(), pattern(length));
        assert_eq!(octets(tls.h1_tls().await.get(&path).await).await.unwrap(), pattern(length));
        assert_eq!(octets(tls.h2_tls().await.get(&path).await).await.unwrap(), pattern(length));
    }
    let snapshot = tls.counters.snapshot();
    assert_eq!((snapshot.accepted, snapshot.handshakes, snapshot.handshakes_failed), (16, 16, 0));
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let (clear, tls) = (Stage::clear(), Stage::tls());
    for mut h1 in [clear.h1().await, tls.h1_tls().await] {
        for _ in 0..50 {
            assert_eq!(octets(h1.get("/?5000").await).await.unwrap(), pattern(5_000));
        }
    }
    for h2 in [clear.h2().await, tls.h2_tls().await] {
        let answers = (0..100).map(|at| {
            let mut h2 = h2.clone();
            async move { octets(h2.get(&format!("/?{}", at * 1_000)).await).await.unwrap() }
        });
        let answers = join(answers).await;
        assert!(answers.iter().enumerate().all(|(at, body)| *body == pattern(at * 1_000)));
    }
    assert_eq!(clear.counters.snapshot().accepted, 2);
}

async fn join<T: Send + 'static>(futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks = Tasks::current();
    let running: Vec<_> = futures.map(|future| tasks.spawn("client", future)).collect();
    let mut results = Vec::new();
    for task in running {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test]
async fn a_body_of_many_pieces_arrives_whole() {
    let (clear, tls) = (Stage::clear(), Stage::tls());
    let expected: Bytes = pattern(64 << 10).repeat(64).into();
    assert_eq!(octets(clear.h1().await.get("/many").await).await.unwrap(), expected);
    assert_eq!(octets(clear.h2().await.get("/many").await).await.unwrap(), expected);
    assert_eq!(octets(tls.h1_tls().await.get("/many").await).await.unwrap(), expected);
    assert_eq!(octets(tls.h2_tls().await.get("/many").await).await.unwrap(), expected);
}

#[tokio::test]
async fn an_upload_arrives_whole() {
    let (clear, tls) = (Stage::clear(), Stage::tls());
    let post = |uri: &str| {
        let request = Request::post(uri).header("host", "localhost");
        request.body(Full::new(pattern(1 << 20)).boxed()).unwrap()
    };
    let mut answers = Vec::new();
    answers.push(clear.h1().await.send(post("/echo")).await.unwrap());
    answers.push(tls.h1_tls().await.send(post("/echo")).await.unwrap());
    answers.push(clear.h2().await.send(post("http://localhost/echo")).await.unwrap());
    answers.push(tls.h2_tls().await.send(post("https://localhost/echo")).await.unwrap());
    for answer in answers {
        assert_eq!(octets(answer).await.unwrap(), pattern(1 << 20));
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let stage = Stage::clear();
    let request = |length| format!("GET /?{length} HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = "GET /?3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = stage.say(format!("{}{}{last}", request(1), request(2))).await;
    let lengths: Vec<&str> = answers.lines().filter_map(|line| line.strip_prefix("content-length: ")).collect();
    assert_eq!(lengths, ["1", "2", "3"]);
}

#[tokio::test]
async fn one_that_expects_100_continue_gets_it_when_its_body_is_wanted() {
    let stage = Stage::clear();
    let mut stream = stage.raw().await;
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hi").await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nhi"));
    // Where the body is not wanted the answer comes at once, and nothing of it is read.
    let refused = stage.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 200 OK\r\n") && refused.ends_with("hello"), "{refused}");
}

#[tokio::test]
async fn a_body_that_breaks_is_an_error_on_the_wire() {
    let (clear, tls) = (Stage::clear(), Stage::tls());
    assert!(octets(clear.h1().await.get("/broken").await).await.is_err());
    assert!(octets(tls.h1_tls().await.get("/broken").await).await.is_err());
    let mut h2 = tls.h2_tls().await;
    let error = octets(h2.get("/broken").await).await.unwrap_err();
    let reset = std::error::Error::source(&error).unwrap().downcast_ref::<h2::Error>().unwrap();
    assert_eq!(reset.reason(), Some(h2::Reason::INTERNAL_ERROR));
    // The other streams of the connection go on.
    assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_cut_body_without_a_length_of_its_own_is_a_reset() {
    let stage = Stage::clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"GET /broken HTTP/1.0\r\n\r\n").await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_panic_ends_its_connection_or_stream_and_nothing_else() {
    let stage = Stage::tls();
    assert!(stage.h1_tls().await.send(get("/panic")).await.is_err());
    let mut h2 = stage.h2_tls().await;
    assert!(h2.send(get_h2("/panic")).await.is_err());
    assert_eq!(octets(h2.get("/").await).await.unwrap(), "hello");
    assert_eq!(octets(stage.h1_tls().await.get("/").await).await.unwrap(), "hello");
}

#[tokio::test]
async fn http_1_0_without_host_is_served_and_closed() {
    let stage = Stage::clear();
    let answer = stage.say("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    let head = stage.say("GET /head HTTP/1.0\r\n\r\n").await;
    assert!(head.contains("authority: None") && head.contains("protocol: Http10"), "{head}");
}

#[tokio::test]
async fn cleartext_tells_http_2_from_http_1_by_its_first_octets() {
    let stage = Stage::clear();
    let mut stream = stage.raw().await;
    for piece in [&b"PRI * HTTP/2.0\r\n"[..], b"\r\nSM\r\n", b"\r\n\0\0\0\x04\0\0\0\0\0"] {
        stream.write_all(piece).await.unwrap();
        stage.settle().await;
    }
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3..5], [4, 0]);
    assert_eq!(stage.counters.snapshot().open_h2, 1);
    // What only begins like the preface is HTTP/1.
    assert!(stage.say("PRI / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_never_taken_for_a_request() {
    let stage = Stage::clear();
    let smuggled = "GET /?7 HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let last = "GET /?3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = stage.say(format!("{request}{last}")).await;
    assert!(answers.contains("content-length: 5\r\n") && !answers.contains("content-length: 7\r\n"), "{answers}");
    // A long one is not read to its end: the connection is closed.
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    let answer = stage.say(format!("{head}{}", "a".repeat(10_000))).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_upload_cut_short_is_no_upload() {
    for stage in [Stage::clear(), Stage::tls()] {
        let mut stream: Box<dyn Duplex> = match stage.is_tls {
            true => Box::new(stage.secured("http/1.1").await),
            false => Box::new(stage.raw().await),
        };
        stream.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc").await.unwrap();
        stage.serving(1).await;
        drop(stream);
        stage.serving(0).await;
        assert_eq!(stage.service.uploads.load(Ordering::Relaxed), 0);
    }
}

/// The lengths of the TLS records that a server sends to the client that is returned.
async fn tapped(stage: &Stage) -> (H2, Arc<Mutex<Vec<usize>>>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut from_client, mut to_client) = tokio::io::split(near);
    let (mut from_server, mut to_server) = stage.raw().await.into_split();
    run(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let records = Arc::new(Mutex::new(Vec::new()));
    let seen = records.clone();
    run(async move {
        let mut head = [0; 5];
        while from_server.read_exact(&mut head).await.is_ok() {
            let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            from_server.read_exact(&mut record).await.unwrap();
            seen.lock().push(record.len());
            to_client.write_all(&[&head[..], &record].concat()).await.unwrap();
        }
    });
    let mut config = stage.authority.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, far).await.unwrap();
    (H2::over(stream).await, records)
}

/// Content type and authentication tag of a TLS 1.3 record.
const OVERHEAD: usize = 17;

#[tokio::test]
async fn a_full_frame_over_tls_is_one_record() {
    let stage = Stage::tls();
    let (mut h2, records) = tapped(&stage).await;
    assert_eq!(octets(h2.get("/?1048576").await).await.unwrap(), pattern(1 << 20));
    let records = records.lock();
    let full = records.iter().filter(|length| **length == 16_384 + OVERHEAD).count();
    assert_eq!(full, (1 << 20) / 16_375, "{records:?}");
    assert!(records.iter().filter(|length| **length < 1_000).count() < 20, "{records:?}");
}

#[tokio::test]
async fn small_answers_that_are_ready_together_share_a_record() {
    let mut records = Vec::new();
    // On a busy machine they are not always ready together.
    while records.len() < 5 && records.iter().all(|records| *records > 20) {
        records.push(records_of_100_answers().await);
    }
    assert!(records.iter().min() <= Some(&20), "{records:?} records for 100 answers");
}

async fn records_of_100_answers() -> usize {
    let stage = Stage::tls();
    let (h2, records) = tapped(&stage).await;
    octets(h2.clone().get("/").await).await.unwrap();
    let before = records.lock().len();
    let answers = (0..100).map(|_| {
        let mut h2 = h2.clone();
        async move { octets(h2.get("/").await).await.unwrap() }
    });
    assert!(join(answers).await.iter().all(|body| body == "hello"));
    records.lock().len() - before
}
