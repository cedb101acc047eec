//! A backend that answers as it is told, over real sockets, and time that moves by hand.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::WallTime;
use crate::config::Webhook;
use crate::config::access::{CarrierNames, CarrierPosition, Inherit, RevokedBodies, SessionLimit};
use crate::rules::session::SessionId;

const SECRET: &str = "the secret of this webhook";

/// What the backend does with a request.
enum Answer {
    Status(&'static str),
    Silence,
    Close,
}

struct Stage {
    clock: Clock,
    webhooks: Arc<Webhooks>,
    listener: TcpListener,
    url: String,
    /// A connection that is never answered.
    silent: Vec<TcpStream>,
}

impl Stage {
    async fn new(change: impl FnOnce(&mut Webhook)) -> Self {
        let clock = Clock::manual(WallTime::at(Duration::from_millis(1_800_000_000_250)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events?x=1", listener.local_addr().unwrap());
        let webhooks = Webhooks::new("edge-1", clock.clone(), Tasks::current());
        let stage = Self { clock, webhooks, listener, url, silent: Vec::new() };
        stage.follow(change);
        stage
    }

    fn follow(&self, change: impl FnOnce(&mut Webhook)) {
        let mut config = Webhook {
            url: self.url.parse().unwrap(),
            secret: SECRET.to_owned().into(),
            events: EventKind::WORDS.map(|(_, kind)| kind).to_vec(),
            timeout: Duration::from_secs(5),
            queue: 1_000,
            retry_for: Duration::from_secs(600),
            tls: Default::default(),
        };
        change(&mut config);
        self.webhooks.follow(&[access("members", Some(config)), access("open", None)]).unwrap();
    }

    fn tell(&self, number: u8) {
        self.webhooks.tell(event("members", number));
    }

    /// The next request, however long it takes by the clock; it is answered, and its body is returned.
    async fn next(&mut self, answer: Answer) -> Value {
        let mut socket = loop {
            tokio::select! {
                biased;
                accepted = self.listener.accept() => break accepted.unwrap().0,
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_millis(1)),
            }
        };
        let (head, body) = request(&mut socket).await;
        check(&head, &body);
        match answer {
            Answer::Status(status) => {
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                socket.write_all(text.as_bytes()).await.unwrap();
                // Its end shows that the answer was read.
                _ = socket.read_to_end(&mut Vec::new()).await;
            }
            Answer::Silence => self.silent.push(socket),
            Answer::Close => {
                let before = self.attempts();
                drop(socket);
                self.attempted(before).await;
            }
        }
        serde_json::from_slice(&body).unwrap()
    }

    fn attempts(&self) -> u64 {
        self.figures().attempts.iter().map(|(_, count)| count).sum()
    }

    /// Completes when an attempt has come to its end, with the clock at rest: it ended by itself.
    async fn attempted(&self, before: u64) {
        while self.attempts() == before {
            tokio::task::yield_now().await;
        }
    }

    fn figures(&self) -> Figures {
        self.webhooks.figures().remove(0)
    }

    /// Completes when nothing waits any more.
    async fn settled(&self) {
        self.webhooks.hooks.load()[0].emptied().await;
    }
}

fn access(name: &str, webhook: Option<Webhook>) -> Access {
    Access {
        name: name.to_owned(),
        issuers: Vec::new(),
        carriers: Vec::new(),
        names: CarrierNames { query: Vec::new(), cookie: Vec::new(), header: Vec::new() },
        inherit: Inherit::Path,
        carrier_position: CarrierPosition::Root,
        session_idle: Duration::from_secs(60),
        session_life: Duration::from_hours(24),
        handover_grace: Duration::from_secs(30),
        leeway: Duration::from_secs(5),
        max_sessions: None,
        session_limit: SessionLimit::RefuseNewest,
        revoked_bodies: RevokedBodies::Cut,
        webhook,
        feed: None,
    }
}

fn event(access: &str, number: u8) -> Event {
    Event {
        kind: EventKind::Start,
        access: access.into(),
        session: Some(SessionId([number; 12])),
        subject: Some("alice".into()),
        token: None,
        reason: None,
        at: WallTime::at(Duration::from_millis(1_800_000_000_250)),
    }
}

async fn request(socket: &mut TcpStream) -> (String, Vec<u8>) {
    let mut octets = Vec::new();
    loop {
        let mut piece = [0; 4_096];
        let count = socket.read(&mut piece).await.unwrap();
        assert!(count > 0, "the request ended early");
        octets.extend_from_slice(&piece[..count]);
        let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(octets[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.trim().parse().unwrap();
        if octets.len() == end + 4 + length {
            return (head, octets[end + 4..].to_vec());
        }
    }
}

/// As a backend does it.
fn check(head: &str, body: &[u8]) {
    assert!(head.starts_with("post /events?x=1 http/1.1"), "{head}");
    let signature = head.lines().find_map(|line| line.strip_prefix("weir-signature: ")).unwrap();
    let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let expected = hmac::sign(&key, &[format!("{time}.").as_bytes(), body].concat());
    let expected: String = expected.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(mac, expected);
}

fn ids(batch: &Value) -> Vec<&str> {
    batch["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

fn sessions(batch: &Value) -> Vec<u8> {
    let session = |event: &Value| u8::from_str_radix(&event["session"].as_str().unwrap()[..2], 16).unwrap();
    batch["events"].as_array().unwrap().iter().map(session).collect()
}

#[tokio::test]
async fn a_backend_is_told_what_it_may_know_and_nothing_else() {
    let mut stage = Stage::new(|_| ()).await;
    stage.webhooks.tell(event("open", 1));
    stage.webhooks.tell(event("unknown", 1));
    stage.webhooks.tell(Event { reason: Some("session-limit"), ..event("members", 7) });
    let batch = stage.next(Answer::Status("204 No Content")).await;
    assert_eq!((&batch["access"], &batch["node"]), (&"members".into(), &"edge-1".into()));
    let event = &batch["events"][0];
    let names: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["event", "id", "reason", "session", "sub", "time"]);
    assert_eq!(event["time"], 1_800_000_000.25);
    assert_eq!(event["sub"], "alice");
    assert_eq!(event["session"], "070707070707070707070707");
    stage.settled().await;
    let figures = stage.figures();
    assert_eq!((figures.delivered, figures.dropped, figures.waiting), (1, 0, 0));
}

#[tokio::test]
async fn events_that_are_not_wanted_are_not_told() {
    let mut stage = Stage::new(|config| config.events = vec![EventKind::Revoked]).await;
    stage.tell(1);
    stage.webhooks.tell(Event { kind: EventKind::Revoked, ..event("members", 2) });
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [2]);
}

#[tokio::test]
async fn what_fails_is_tried_again_in_order_under_the_same_numbers() {
    let mut stage = Stage::new(|_| ()).await;
    stage.tell(1);
    let first = stage.next(Answer::Status("500 Internal Server Error")).await;
    stage.tell(2);
    let again = stage.next(Answer::Close).await;
    let once_more = stage.next(Answer::Silence).await;
    let redirected = stage.next(Answer::Status("302 Found")).await;
    let taken = stage.next(Answer::Status("200 OK")).await;
    for other in [&again, &once_more, &redirected, &taken] {
        assert_eq!(first, *other, "the same batch");
    }
    let later = stage.next(Answer::Status("200 OK")).await;
    assert_eq!((sessions(&taken), sessions(&later)), (vec![1], vec![2]));
    assert_ne!(ids(&taken), ids(&later));
    stage.settled().await;
    let figures = stage.figures();
    assert_eq!((figures.delivered, figures.dropped), (2, 0));
    let tried: Vec<_> = figures.attempts.iter().map(|(attempt, count)| (attempt.word(), *count)).collect();
    let expected = [("taken", 2), ("status", 2), ("gone", 0), ("connect", 0), ("timeout", 1), ("broken", 1)];
    assert_eq!(tried, expected);
}

#[tokio::test]
async fn what_cannot_be_told_in_time_is_given_up_and_counted() {
    let mut stage = Stage::new(|config| config.retry_for = Duration::from_secs(2)).await;
    stage.tell(1);
    let begun = stage.clock.now();
    let mut attempts = 0;
    while stage.figures().waiting > 0 {
        tokio::select! {
            biased;
            accepted = stage.listener.accept() => {
                attempts += 1;
                let before = stage.attempts();
                drop(accepted);
                stage.attempted(before).await;
            }
            () = tokio::task::yield_now() => stage.clock.advance(Duration::from_millis(1)),
        }
    }
    assert!(attempts >= 2, "it was tried again");
    assert!(stage.clock.now().since(begun) < Duration::from_secs(60));
    assert_eq!((stage.figures().delivered, stage.figures().dropped), (0, 1));
    stage.tell(2);
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [2], "the next is told");
}

#[tokio::test]
async fn a_queue_that_is_full_loses_its_oldest() {
    let mut stage = Stage::new(|config| config.queue = 3).await;
    stage.tell(1);
    // The first is on its way; four more find room for three.
    let first = stage.next(Answer::Silence).await;
    (2..=5).for_each(|number| stage.tell(number));
    assert_eq!(sessions(&first), [1]);
    assert_eq!((stage.figures().dropped, stage.figures().waiting), (1, 4));
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [1]);
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [3, 4, 5]);
}

#[tokio::test]
async fn bad_tokens_by_the_thousand_do_not_push_out_what_happens_to_good_ones() {
    let mut stage = Stage::new(|config| config.queue = 200).await;
    stage.tell(1);
    stage.next(Answer::Silence).await;
    let refused = Event { kind: EventKind::Refused, session: None, ..event("members", 0) };
    stage.tell(2);
    (0..1_000).for_each(|_| stage.webhooks.tell(refused.clone()));
    stage.tell(3);
    assert_eq!((stage.figures().dropped, stage.figures().waiting), (900, 103));
    stage.clock.advance(Duration::from_secs(1));
    stage.webhooks.tell(refused);
    assert_eq!(stage.figures().waiting, 104);
}

#[tokio::test]
async fn many_events_go_in_batches() {
    let mut stage = Stage::new(|_| ()).await;
    (0..250).for_each(|number| stage.tell(number));
    let mut told = Vec::new();
    while told.len() < 250 {
        let batch = sessions(&stage.next(Answer::Status("200 OK")).await);
        assert!(batch.len() <= BATCH);
        told.extend(batch);
    }
    assert_eq!(told, (0..250).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_backend_that_is_gone_is_told_nothing_until_it_is_another_one() {
    let mut stage = Stage::new(|_| ()).await;
    stage.tell(1);
    stage.next(Answer::Status("410 Gone")).await;
    stage.settled().await;
    stage.tell(2);
    assert_eq!((stage.figures().dropped, stage.figures().is_gone), (2, true));
    stage.follow(|config| config.timeout = Duration::from_secs(6));
    stage.tell(3);
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [3]);
}

#[tokio::test]
async fn a_node_that_stops_tries_once_more_and_no_longer_than_it_may() {
    let mut stage = Stage::new(|_| ()).await;
    stage.tell(1);
    stage.next(Answer::Status("500 Internal Server Error")).await;
    stage.tell(2);
    let webhooks = stage.webhooks.clone();
    let until = stage.clock.now() + Duration::from_secs(3_600);
    let flushing = Tasks::current().spawn("flush", async move { webhooks.flush(until).await });
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [1]);
    assert_eq!(sessions(&stage.next(Answer::Status("200 OK")).await), [2]);
    flushing.await.unwrap();

    let mut stage = Stage::new(|_| ()).await;
    stage.tell(1);
    stage.next(Answer::Silence).await;
    let flush = stage.webhooks.flush(stage.clock.now() + Duration::from_secs(1));
    let late = async {
        loop {
            stage.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flush => {}
        () = late => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_backend_that_is_no_longer_configured_is_left_alone() {
    let stage = Stage::new(|_| ()).await;
    stage.webhooks.follow(&[]).unwrap();
    stage.tell(1);
    assert!(stage.webhooks.figures().is_empty());
    stage.webhooks.tasks.close();
    stage.webhooks.tasks.joined().await;
}
