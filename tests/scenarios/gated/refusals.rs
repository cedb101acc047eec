//! Who is refused is told why: a stable word, a sentence, the node's clock, and where it is explained; JavaScript may read
//! it and nobody keeps it.

use serde_json::{Value, json};

use super::{MAIN, Stream, body, gated, mint, now, token};
use crate::stage::{Setup, Stage, WAYS, tell};

fn claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({ "iss": "https://issuer.test", "exp": now() + 300, "path": "/live/a" });
    change(&mut claims);
    mint(&claims)
}

#[tokio::test]
async fn every_refusal_has_its_word_and_can_be_read_by_scripts() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let expired = claims(|claims| claims["exp"] = json!(now() - 3_600));
            let early = claims(|claims| claims["nbf"] = json!(now() + 3_600));
            let elsewhere = claims(|claims| claims["path"] = json!("/live/b"));
            let foreign = claims(|claims| claims["iss"] = json!("https://other.test"));
            let over = claims(|claims| claims["session_end"] = json!(now() - 1));
            let mut forged = token("one").into_bytes();
            let last = forged.len() - 2;
            forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            for (token, status, word) in [
                (None, 401, "token-missing"),
                (Some("nonsense"), 401, "token-malformed"),
                (Some(&*expired), 401, "token-expired"),
                (Some(&*early), 401, "token-not-yet"),
                (Some(&*foreign), 401, "issuer-unknown"),
                (Some(&*forged), 401, "signature-bad"),
                (Some(&*elsewhere), 403, "uri-out-of-scope"),
                (Some(&*over), 410, "entitlement-over"),
            ] {
                let bearer = token.map(|token| format!("Bearer {token}"));
                let site = ("origin", "https://player.example");
                let fields: Vec<_> =
                    bearer.iter().map(|bearer| ("authorization", bearer.as_str())).chain([site]).collect();
                let answer = stage.get_with(MAIN, &fields).await;
                let problem: Value = serde_json::from_str(&{
                    assert_eq!(answer.status, status, "{word}");
                    assert_eq!(answer.header("cache-control"), "no-store");
                    assert_eq!(answer.header("access-control-allow-origin"), "*");
                    let challenge = match (status, token) {
                        (401, None) => "Bearer realm=\"weir\"",
                        (401, Some(_)) => "Bearer realm=\"weir\", error=\"invalid_token\"",
                        _ => "",
                    };
                    assert_eq!(answer.header("www-authenticate"), challenge);
                    body(answer).await
                })
                .unwrap();
                assert_eq!(problem["reason"], word);
                assert!(problem["now"].as_u64().unwrap().abs_diff(now()) < 60, "{problem}");
                assert_eq!(problem["exp"].is_u64(), word == "token-expired", "{problem}");
                assert!(problem["help"].as_str().unwrap().ends_with(&format!("#{word}")), "{problem}");
                assert!(!problem["request"].as_str().unwrap().is_empty());
                let told = problem.to_string();
                let is_told = token.filter(|token| token.len() > 16).is_some_and(|token| told.contains(&token[..16]));
                assert!(!is_told, "{told}");
            }
            assert_eq!(stream.origin.count(), 0, "who is refused costs the origin nothing");
            assert!(stage.metric("weir_refusals_total", &["token-expired"]).await.is_some_and(|count| count >= 1.0));
        })
        .await;
    }
}

#[tokio::test]
async fn two_tokens_and_large_ones_are_refused_and_where_no_field_may_carry_one_403_says_so() {
    let stream = Stream::start().await;
    tell(WAYS[1], gated(&stream.origin, "carriers = [\"query\", \"path\"]"), async |stage: &Stage| {
        let (one, two) = (token("one"), token("two"));
        let long = "x".repeat(3_000);
        for (path, status, word) in [
            (MAIN.to_owned(), 403, "token-missing"),
            (format!("{MAIN}?token={one}&token={two}"), 400, "token-duplicate"),
            (format!("/.weir/t/{long}{MAIN}"), 403, "token-too-large"),
        ] {
            let answer = stage.get(&path).await;
            assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (status, ""));
            assert!(body(answer).await.contains(word), "{word}");
        }
        assert_eq!(stage.get(&format!("{MAIN}?token={one}&token={one}")).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn what_an_origin_could_read_otherwise_is_refused_on_gated_and_live_routes() {
    for way in WAYS {
        let stream = Stream::start().await;
        let setup = || Setup {
            route: "live = \"off\"\n[[route]]\nname = \"never\"\nhost = \"never.example\"\norigins = [\"main\"]".into(),
            ..gated(&stream.origin, "")
        };
        tell(way, setup(), async |stage: &Stage| {
            let bearer = format!("Bearer {}", token("one"));
            for path in
                ["/live/a/x%2Fy", "/live/a//x", "/live/a/%2e%2e/b/x", "/live/a/x;y", "/live/a/./x", "/live/a/%c0%af"]
            {
                let answer = stage.get_with(path, &[("authorization", &bearer)]).await;
                assert_eq!(answer.status, 400, "{path}");
                assert!(body(answer).await.contains("\"uri-not-canonical\""), "{path}");
                let open = path.replace("/live/", "/plain/");
                assert_eq!(stage.get(&open).await.status, 200, "{open}");
            }
        })
        .await;
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let answer = stage.get("/open/x%2Fy").await;
            assert_eq!(answer.status, 400);
            assert!(body(answer).await.contains("\"bad-request\""));
        })
        .await;
    }
}
