//! What of an answer's head is refused, and what of it is let be.

use super::*;

/// Fetches one answer, said as it stands, from an origin that closes after it.
async fn said(answer: impl AsRef<[u8]>) -> Result<(http::StatusCode, Bytes), FetchError> {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say(answer).await;
    drop(hand);
    let answer = fetch.await.unwrap()?;
    Ok((answer.status, whole(answer).await?))
}

#[tokio::test]
async fn a_malformed_answer_is_refused() {
    // All the others are in `tests/safety/answers.toml`; here are the places at which they show.
    let table = [
        ("its first line", "hello"),
        ("its fields", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("a switch of protocols", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"),
        ("its chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        ("octets after the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"),
        ("octets after the last body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello!"),
    ];
    for (what, answer) in table {
        let outcome = said(answer).await;
        assert!(matches!(outcome, Err(FetchError::Malformed { .. })), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let many = (0..201).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    let large = format!("X-Large: {}\r\n", "a".repeat(70 << 10));
    let endless = format!("HTTP/1.1 200 OK\r\nX-Large: {}", "a".repeat(300 << 10));
    let table = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{large}\r\n"),
        endless,
    ];
    for head in table {
        let origin = ByHand::new().await;
        let edge = Edge::new(&[origin_at(origin.port)]);
        let fetch = edge.fetching(get("/"));
        let (mut hand, _) = origin.asked().await;
        // The edge may close before all of it is taken.
        _ = hand.0.write_all(head.as_bytes()).await;
        let outcome = fetch.await.unwrap().map(|answer| answer.status);
        assert!(matches!(outcome, Err(FetchError::Malformed { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let outcome = said(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")).await.unwrap();
    assert_eq!(outcome, (http::StatusCode::OK, Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn redirects_and_codings_are_left_to_others() {
    let (status, body) = said("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!((status.as_u16(), body), (302, Bytes::new()));
    let coded = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(said(coded).await.unwrap().1, "hello");
}
