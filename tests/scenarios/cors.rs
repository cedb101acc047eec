//! What scripts of other sites may read: exactly one allow-origin field, on whatever answer.

use http::Method;
use weir_loadtest::client::Response;
use weir_loadtest::origin::{Action, Rule};

use crate::stage::{Setup, Stage, fresh_blob, with};

const LISTED: &str = "https://player.example";
const FOREIGN: &str = "https://elsewhere.example";

/// How a route allows other sites.
struct Permission {
    cors: &'static str,
    /// Origin, and the allow-origin field that is expected.
    sites: [(&'static str, Option<&'static str>); 3],
    credentials: bool,
}

const PERMISSIONS: [Permission; 4] = [
    Permission {
        cors: "",
        sites: [(LISTED, Some("*")), (FOREIGN, Some("*")), ("null", Some("*"))],
        credentials: false,
    },
    Permission {
        cors: r#"cors = { origins = ["https://player.example"] }"#,
        sites: [(LISTED, Some(LISTED)), (FOREIGN, None), ("null", None)],
        credentials: false,
    },
    Permission {
        cors: r#"cors = { origins = ["https://player.example"], credentials = true }"#,
        sites: [(LISTED, Some(LISTED)), (FOREIGN, None), ("null", None)],
        credentials: true,
    },
    Permission {
        cors: r#"cors = { origins = ["https://player.example", "null"], credentials = true }"#,
        sites: [(LISTED, Some(LISTED)), (FOREIGN, None), ("null", Some("null"))],
        credentials: true,
    },
];

/// A request, and the status that it gets.
struct Case {
    path: String,
    fields: Vec<(&'static str, String)>,
    status: u16,
}

/// One of each status that a player meets.
async fn cases(stage: &Stage) -> Vec<Case> {
    let blob = fresh_blob(100, "");
    let mut first = stage.get(&blob.path).await;
    blob.read_all(&mut first).await.unwrap();
    let tag = first.header("etag").to_owned();
    for (pattern, code) in [("forbidden", 403), ("missing", 404), ("overloaded", 503)] {
        let rule = Rule::new(pattern, Action::Status { code, location: None });
        stage.origin.desk().add(rule).unwrap();
    }
    let case = |path: &str, fields, status| Case { path: path.to_owned(), fields, status };
    vec![
        case(&blob.path, vec![], 200),
        case(&blob.path, vec![("range", "bytes=0-9".to_owned())], 206),
        case(&blob.path, vec![("if-none-match", tag)], 304),
        case("/blob/forbidden?size=1", vec![], 403),
        case("/blob/missing?size=1", vec![], 404),
        case("/blob/overloaded?size=1", vec![], 503),
        // The node's own refusal, which scripts may read too.
        case("/blob/loop?size=1", vec![("cdn-loop", "edge-test".to_owned())], 508),
    ]
}

fn all(answer: &Response, name: &str) -> Vec<String> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_answer_has_exactly_one_allow_origin_for_those_who_may_read_it() {
    for permission in PERMISSIONS {
        let setup = || Setup { route: permission.cors.to_owned(), ..Setup::default() };
        with(setup, async |stage| {
            let viewer = stage.viewer().await;
            for case in cases(stage).await {
                for (site, expected) in permission.sites {
                    let mut fields = vec![("origin", site)];
                    fields.extend(case.fields.iter().map(|(name, value)| (*name, value.as_str())));
                    let mut answer = viewer.get(&case.path, &fields).await.unwrap();
                    answer.bytes().await.unwrap();
                    let told = format!("{} {} {site} {}", stage.way.name(), permission.cors, case.status);
                    assert_eq!(answer.status.as_u16(), case.status, "{told}");
                    let allowed: Vec<_> = expected.into_iter().collect();
                    assert_eq!(all(&answer, "access-control-allow-origin"), allowed, "{told}");
                    let credentials = permission.credentials && expected.is_some();
                    let credentials: &[&str] = if credentials { &["true"] } else { &[] };
                    assert_eq!(all(&answer, "access-control-allow-credentials"), credentials, "{told}");
                    assert_eq!(all(&answer, "access-control-expose-headers").len(), allowed.len(), "{told}");
                    // Who may read it may know how long it took.
                    assert!(!answer.header("server-timing").is_empty(), "{told}");
                    assert_eq!(all(&answer, "timing-allow-origin"), allowed, "{told}");
                    if permission.credentials && !allowed.is_empty() {
                        let exposed = answer.header("access-control-expose-headers");
                        assert!(exposed.contains("cmsd-static, cmsd-dynamic"), "{told}: {exposed}");
                    }
                    if !permission.cors.is_empty() {
                        assert!(all(&answer, "vary").join(",").to_ascii_lowercase().contains("origin"), "{told}");
                    }
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_preflight_is_answered_without_asking_the_origin() {
    let cors = r#"cors = { origins = ["https://player.example"], credentials = true }"#;
    with(
        || Setup { route: cors.to_owned(), ..Setup::default() },
        async |stage| {
            let asked = [("access-control-request-method", "GET"), ("access-control-request-headers", "range")];
            let fields = [("origin", LISTED), asked[0], asked[1]];
            let answer = stage.ask(Method::OPTIONS, "/blob/x?size=1", &fields, b"").await;
            assert_eq!(answer.status.as_u16(), 204);
            for (name, value) in [
                ("access-control-allow-origin", LISTED),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET"),
                ("access-control-allow-headers", "range"),
                ("access-control-max-age", "7200"),
            ] {
                assert_eq!(all(&answer, name), [value], "{name}");
            }
            let fields = [("origin", FOREIGN), asked[0]];
            let answer = stage.ask(Method::OPTIONS, "/blob/x?size=1", &fields, b"").await;
            assert_eq!(all(&answer, "access-control-allow-origin"), [""; 0]);
            assert_eq!(stage.origin.stats().total(), 0);
            // An OPTIONS that asks for no permission is a request like others.
            let answer = stage.ask(Method::OPTIONS, "/blob/x?size=1", &[("origin", LISTED)], b"").await;
            assert_eq!((answer.status.as_u16(), stage.origin.stats().total()), (204, 1));
        },
    )
    .await;
}

#[tokio::test]
async fn a_route_may_leave_it_to_the_origin() {
    with(
        || Setup { route: "cors = \"origin\"".to_owned(), ..Setup::default() },
        async |stage| {
            let answer = stage.get_with("/blob/x?size=1", &[("origin", FOREIGN)]).await;
            assert_eq!(all(&answer, "access-control-allow-origin"), ["*"], "as the demo's origin has it");
            assert!(answer.header("access-control-expose-headers").starts_with("Age, "));
        },
    )
    .await;
}
