//! The backend of an access hears who began, who was refused and who was revoked; never a token.

use std::sync::Arc;

use aws_lc_rs::hmac;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{MAIN, Stream, body, gated, mint, named, now, token};
use crate::script::{Script, Seen, reply};
use crate::stage::{Stage, WAYS, tell};

/// A backend that answers with these statuses, then with 204; and what it took.
struct Backend {
    script: Script,
    taken: watch::Receiver<Vec<Value>>,
}

impl Backend {
    async fn start(statuses: &[u16]) -> Self {
        let (told, taken) = watch::channel(Vec::new());
        let statuses = Arc::new(Mutex::new(statuses.iter().rev().copied().collect::<Vec<_>>()));
        let script = Script::start(move |seen: Seen| {
            check(&seen);
            let status = statuses.lock().pop().unwrap_or(204);
            if status == 204 {
                let batch: Value = serde_json::from_slice(&seen.body).unwrap();
                told.send_modify(|told| told.extend(batch["events"].as_array().unwrap().iter().cloned()));
            }
            reply(status, &[], "")
        })
        .await;
        Self { script, taken }
    }

    fn keys(&self) -> String {
        format!(
            "webhook = {{ url = \"http://{}/events\", secret = \"issuer.secret\" }}\nmax_sessions = 1\nhandover_grace = \"0s\"",
            self.script.addr
        )
    }

    async fn hears(&mut self, count: usize) -> Vec<Value> {
        self.taken.wait_for(|taken| taken.len() >= count).await.unwrap().clone()
    }
}

fn check(seen: &Seen) {
    let signature = seen.field("weir-signature");
    let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, super::SECRET.as_bytes());
    let tag = hmac::sign(&key, &[format!("{time}.").as_bytes(), &seen.body].concat());
    let tag: String = tag.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!((mac, seen.field("content-type").as_str()), (tag.as_str(), "application/json"));
    assert!(time.parse::<u64>().unwrap().abs_diff(now()) < 60);
}

#[tokio::test]
async fn a_backend_hears_of_sessions_in_order_though_it_fails_at_first() {
    let stream = Stream::start().await;
    let mut backend = Backend::start(&[500, 302, 503]).await;
    tell(WAYS[0], gated(&stream.origin, &backend.keys()), async |stage: &Stage| {
        let good = token("alice");
        let answer = stage.get(&format!("{MAIN}?token={good}")).await;
        let session = answer.header("weir-session").to_owned();
        let hi = named(&body(answer).await, "hi.m3u8");
        assert_eq!(stage.get(&hi).await.status, 200);
        let expired =
            mint(&json!({ "iss": "https://issuer.test", "sub": "eve", "exp": now() - 60, "path": "/live/a" }));
        assert_eq!(stage.get(&format!("{MAIN}?token={expired}")).await.status, 401);
        assert_eq!(stage.get(MAIN).await.status, 401, "that there is no token is no event");
        let (status, text) = stage.admin(Method::POST, "/revoke", r#"{"access":"members","subject":"alice"}"#).await;
        assert_eq!(status, 200, "{text}");
        let events = backend.hears(3).await;
        let words: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(words, ["start", "refused", "revoked"]);
        assert_eq!((&events[0]["sub"], &events[0]["session"]), (&json!("alice"), &json!(session)));
        assert!(events[0]["jti"].as_str().unwrap().starts_with("token-of-alice-"));
        assert_eq!((&events[1]["reason"], &events[1]["sub"]), (&json!("token-expired"), &Value::Null));
        assert_eq!((&events[2]["reason"], &events[2]["session"]), (&json!("revoked"), &json!(session)));
        let sent: Vec<_> = backend.script.seen().iter().map(|seen| seen.body.clone()).collect();
        let sent = String::from_utf8(sent.concat().to_vec()).unwrap();
        for secret in [&good, &expired, hi.split('/').nth(3).unwrap()] {
            assert!(!secret.as_bytes().windows(16).any(|piece| sent.contains(std::str::from_utf8(piece).unwrap())));
        }
        let status = stage.status().await;
        let webhook = &status["webhooks"][0];
        assert_eq!((&webhook["access"], &webhook["dropped"]), (&json!("members"), &json!(0)));
        let attempts = stage.metric("weir_webhook_attempts_total", &["result=\"status\""]).await;
        assert_eq!(attempts, Some(3.0));
    })
    .await;
}

#[tokio::test]
async fn what_happened_last_is_told_before_a_node_stops() {
    let stream = Stream::start().await;
    let mut backend = Backend::start(&[]).await;
    tell(WAYS[0], gated(&stream.origin, &backend.keys()), async |stage: &Stage| {
        assert_eq!(stage.get(&format!("{MAIN}?token={}", token("bob"))).await.status, 200);
    })
    .await;
    assert_eq!(backend.hears(1).await[0]["sub"], "bob");
}

/// The verification code of the page, run by Python: whether it takes a batch with this signature, body and secret.
fn page_verifies(signature: &str, body: &[u8], secret: &str) -> bool {
    let page = std::fs::read_to_string("docs/webhooks.md").unwrap();
    let code = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let call = "\nimport sys\nbody = sys.stdin.buffer.read()\nprint(verified(sys.argv[1].encode(), sys.argv[2], body))";
    let mut python = std::process::Command::new("python3")
        .args(["-c", &format!("{code}{call}"), secret, signature])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), body).unwrap();
    let said = python.wait_with_output().unwrap();
    assert!(said.status.success());
    said.stdout.starts_with(b"True")
}

#[tokio::test]
async fn the_code_of_the_page_verifies_what_a_node_sends_and_nothing_else() {
    let stream = Stream::start().await;
    let mut backend = Backend::start(&[]).await;
    tell(WAYS[0], gated(&stream.origin, &backend.keys()), async |stage: &Stage| {
        assert_eq!(stage.get(&format!("{MAIN}?token={}", token("carol"))).await.status, 200);
        backend.hears(1).await;
    })
    .await;
    let seen = backend.script.last();
    let signature = seen.field("weir-signature");
    assert!(page_verifies(&signature, &seen.body, super::SECRET));
    assert!(!page_verifies(&signature, b"{}", super::SECRET));
    assert!(!page_verifies(&signature, &seen.body, "another secret of some length"));
    let old = signature.replacen("t=1", "t=0", 1).replacen("t=2", "t=1", 1);
    for other in [old.as_str(), "", "t=,v1=", "v1=00", "t=x,v1=y"] {
        assert!(!page_verifies(other, &seen.body, super::SECRET), "{other}");
    }
}
