//! What is kept of what players say, and what of it reaches nobody.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{CMCD, SITE, both, dropped, plays, post, qoe, record, reports};
use crate::certificates::Authority;
use crate::gated::{MAIN, Stream, body, keys, token};
use crate::raw;
use crate::script::{Script, reply};
use crate::stage::{Setup, Stage, WAYS, tell, with};

#[tokio::test]
async fn a_route_says_what_is_kept_of_its_viewers_and_so_do_they() {
    for way in WAYS {
        for (route, fields, code, kept) in [
            ("beacons = \"off\"", vec![], 410, vec![]),
            ("beacons = \"essential\"", vec![], 204, vec!["ps", "e"]),
            ("", vec![("sec-gpc", "1")], 204, vec!["ps", "e"]),
            ("", vec![("sec-gpc", "0")], 204, vec!["ps", "e", "t", "rr"]),
        ] {
            let stream = Stream::start().await;
            tell(way, both(&stream.origin, (route, "")), async |stage: &Stage| {
                let viewer = stage.viewer().await;
                let (carrier, _) = plays(stage, &viewer, "one").await;
                let batch = [
                    record("ps", "s", ",sta=p,cid=\"who watches what\""),
                    record("e", "s", ",ec=(\"1\"),url=\"/live/a/x\""),
                    record("t", "s", ""),
                    record("rr", "s", ",url=\"/live/a/x\""),
                ];
                let fields: Vec<_> = fields.iter().copied().chain([CMCD, ("user-agent", "one")]).collect();
                let answer = post(&viewer, &format!("{carrier}/.weir/cmcd"), &fields, batch.join("\n")).await;
                assert_eq!(answer.status.as_u16(), code, "{route} {fields:?}");
                let all = reports(stage, kept.len()).await;
                let events: Vec<_> = all.iter().map(|line| line["e"].as_str().unwrap()).collect();
                assert_eq!(events, kept, "{route} {fields:?}");
                let names_content = all.iter().any(|line| line["cid"] != Value::Null || line["url"] != Value::Null);
                assert_eq!(names_content, kept.len() == 4, "{all:#?}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn where_an_access_has_several_routes_a_report_is_of_the_one_that_is_watched_or_of_the_strictest() {
    let both_gated = |upstream: &Script, live: &str, vod: &str| {
        let setup = both(upstream, (live, ""));
        let vod =
            format!("[[route]]\nname = \"vod\"\npath = \"/vod/\"\norigins = [\"main\"]\naccess = \"members\"\n{vod}\n");
        Setup { tables: format!("{}{vod}", setup.tables), ..setup }
    };
    let (all, essential, off) = ("", "beacons = \"essential\"", "beacons = \"off\"");
    // Who is known to watch live, and who is not known to this node but by a token.
    for (live, vod, watching, unknown) in [
        (essential, all, (204, vec!["ps"]), (204, vec!["ps"])),
        (all, essential, (204, vec!["ps", "t"]), (204, vec!["ps"])),
        (off, all, (410, vec![]), (204, vec![])),
        (all, off, (204, vec!["ps", "t"]), (204, vec![])),
        (off, off, (410, vec![]), (410, vec![])),
    ] {
        for way in WAYS {
            let stream = Stream::start().await;
            tell(way, both_gated(&stream.origin, live, vod), async |stage: &Stage| {
                let viewer = stage.viewer().await;
                let (carrier, session) = plays(stage, &viewer, "one").await;
                let bearer = format!("Bearer {}", token("other"));
                let batch = [record("ps", "s", ",sta=p,cid=\"what\""), record("t", "s", ",cid=\"what\"")].join("\n");
                let fields = [CMCD, ("user-agent", "one")];
                let answer = post(&viewer, &format!("{carrier}/.weir/cmcd"), &fields, batch.clone()).await;
                assert_eq!(answer.status.as_u16(), watching.0, "{live} {vod}");
                let fields = [CMCD, ("user-agent", "other"), ("authorization", &bearer)];
                let answer = post(&viewer, "/.weir/cmcd", &fields, batch).await;
                assert_eq!(answer.status.as_u16(), unknown.0, "{live} {vod}");
                let told = reports(stage, watching.1.len() + unknown.1.len()).await;
                let (of_one, of_other): (Vec<_>, Vec<_>) = told.iter().partition(|line| line["session"] == *session);
                for (lines, kept) in [(&of_one, &watching.1), (&of_other, &unknown.1)] {
                    let events: Vec<_> = lines.iter().map(|line| line["e"].as_str().unwrap()).collect();
                    assert_eq!(events, *kept, "{live} {vod}");
                    let names_content = lines.iter().any(|line| line["cid"] != Value::Null);
                    assert_eq!(names_content, kept.len() == 2, "{lines:#?}");
                }
                assert!(of_one.iter().all(|line| line["route"] == "gated"), "{of_one:#?}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_node_that_takes_no_reports_says_so() {
    for off in ["enabled = false", "beacons = false"] {
        with(
            || Setup { tables: format!("[qoe]\n{off}\n"), ..Setup::default() },
            async |stage| {
                for path in ["/.weir/cmcd", "/.weir/beacon"] {
                    let answer = stage.ask(Method::POST, path, &[CMCD, SITE], b"e=t").await;
                    let answered = (answer.status.as_u16(), answer.header("access-control-allow-origin"));
                    assert_eq!(answered, (410, "*"), "{path} {off}");
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn what_players_say_of_themselves_names_no_object_and_reaches_no_origin() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let vary = ("vary", "CMCD-Request, Accept-Language, CMCD-Event");
            reply(200, &[("cache-control", "max-age=60"), vary], format!("{} {}", seen.target, seen.headers.len()))
        })
        .await;
        let setup = || Setup {
            upstream: Some(origin.addr),
            tables: "[[route]]\nname = \"forwards\"\npath = \"/forwards/\"\norigins = [\"main\"]\ncmcd = \"forward\"\n"
                .to_owned(),
            ..Setup::default()
        };
        tell(way, setup(), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let ask = async |method: Method, path: &str, fields: &[(&str, &str)]| {
                let mut answer = viewer.request(method, path, fields, Bytes::new()).await.unwrap();
                assert_eq!(answer.status.as_u16(), 200, "{path}");
                assert_eq!(answer.header("vary").to_ascii_lowercase(), "accept-language");
                answer.bytes().await.unwrap()
            };
            let said = [
                ("cmcd-request", "bl=1000"),
                ("cmcd-object", "br=1"),
                ("cmcd-status", "bs"),
                ("cmcd-session", "v=1"),
                // Of no standard, and as little of the request's.
                ("cmcd-event", "e=t"),
            ];
            let bodies = [
                ask(Method::GET, "/plain?a=1", &[]).await,
                ask(Method::GET, "/plain?a=1&CMCD=bl%3D1000", &[]).await,
                ask(Method::GET, "/plain?CMCD=bl%3D2000&a=1&CMCD=x", &[]).await,
                // However it is written, and whatever it is: it is never a reason to refuse.
                ask(Method::GET, "/plain?%43MCD=%zz%00%22&a=1", &[]).await,
                ask(Method::GET, "/plain?a=1", &said).await,
                ask(Method::GET, "/plain?a=1&CMCD=%ff", &[("cmcd-request", "\"((")]).await,
            ];
            assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
            assert_eq!(origin.count(), 1, "one object, asked for once");
            ask(Method::POST, "/plain?a=1&CMCD=x", &said).await;
            for seen in origin.seen() {
                assert!(!format!("{} {:?}", seen.target, seen.headers).to_ascii_lowercase().contains("cmcd"));
            }
            ask(Method::GET, "/forwards/x?a=1&CMCD=bl%3D1000", &said).await;
            let seen = origin.last();
            assert_eq!((&*seen.target, &*seen.field("cmcd-object")), ("/forwards/x?a=1&CMCD=bl%3D1000", "br=1"));
            assert_eq!(seen.field("cmcd-event"), "e=t");
            let before = origin.count();
            ask(Method::GET, "/forwards/x?a=1&CMCD=bl%3D2000", &[]).await;
            assert_eq!(origin.count(), before, "it is in no key there either");
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_what_requests_say_is_counted_whoever_sent_them() {
    const ROUTES: &str = "[[route]]\nname = \"off\"\npath = \"/off/\"\norigins = [\"main\"]\nbeacons = \"off\"\n\
        [[route]]\nname = \"essential\"\npath = \"/essential/\"\norigins = [\"main\"]\nbeacons = \"essential\"\n";
    for way in WAYS {
        let origin = Script::start(|_| reply(200, &[("cache-control", "max-age=60")], "picture".to_owned())).await;
        for is_on in [true, false] {
            let off = if is_on { "" } else { "[qoe]\nenabled = false\n" };
            let setup = || Setup { upstream: Some(origin.addr), tables: format!("{off}{ROUTES}"), ..Setup::default() };
            tell(way, setup(), async |stage: &Stage| {
                let viewer = stage.viewer().await;
                let ask = async |path: &str, fields: &[(&str, &str)]| {
                    let answer = viewer.get(path, fields).await.unwrap();
                    assert_eq!(answer.status.as_u16(), 200, "{path}");
                    body(answer).await;
                };
                ask("/poster.jpg?CMCD=br%3D%28", &[]).await;
                ask("/poster.jpg?CMCD=br%3D1", &[]).await;
                ask("/poster.jpg?CMCD=", &[]).await;
                ask("/poster.jpg", &[("cmcd-request", "br=1,bl=(1)"), ("cmcd-object", "d=-1")]).await;
                ask("/off/poster.jpg?CMCD=br%3D1%2Cbs%3D1", &[]).await;
                ask("/essential/poster.jpg?CMCD=br%3D1%2Cbs%3D1", &[]).await;
                ask("/poster.jpg?CMCD=br%3D1", &[("sec-gpc", "1")]).await;
                for (reason, count) in [
                    ("malformed", 1.0),
                    ("irregular", 1.0),
                    ("misplaced", 1.0),
                    ("negative", 1.0),
                    ("wrong-type", 3.0),
                    ("unknown-viewer", 2.0),
                    ("off", 1.0),
                    ("essential", 2.0),
                ] {
                    let counted = dropped(stage, reason).await;
                    assert_eq!(counted, if is_on { count } else { 0.0 }, "{} {reason}", way.name());
                }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_requests_say_is_told_of_their_session() {
    for way in WAYS {
        for (requests, kept) in [("1/1", 3), ("0/1", 0)] {
            let stream = Stream::start().await;
            let qoe = format!("requests = \"{requests}\"");
            tell(way, both(&stream.origin, ("", &qoe)), async |stage: &Stage| {
                let viewer = stage.viewer().await;
                let (carrier, session) = plays(stage, &viewer, "one").await;
                let agent = ("user-agent", "one");
                let segment = format!("{carrier}/live/a/v/s100.m4s");
                let query = "CMCD=bl%3D2000%2Cbr%3D900%2Cot%3Dv%2Csid%3D%22s%22&x=1";
                let fields = [agent, ("cmcd-request", "bl=3000,mtp=1200"), ("cmcd-session", "sid=\"s\"")];
                viewer.get(&format!("{segment}?{query}"), &[agent]).await.unwrap().bytes().await.unwrap();
                viewer.get(&segment, &fields).await.unwrap().bytes().await.unwrap();
                // Where there are fields, the query says nothing.
                viewer.get(&format!("{segment}?{query}"), &fields).await.unwrap().bytes().await.unwrap();
                let refused = viewer.get(&format!("/live/a/v/s100.m4s?{query}"), &[agent]).await.unwrap();
                assert_eq!(refused.status.as_u16(), 401);
                let event = record("ps", "s", ",sta=p");
                let answer = post(&viewer, &format!("{carrier}/.weir/cmcd"), &[CMCD, agent], event).await;
                assert_eq!(answer.status.as_u16(), 204);
                let all = reports(stage, kept + 1).await;
                let (asked, event): (Vec<_>, Vec<_>) = all.iter().partition(|line| line["mode"] == "request");
                assert_eq!((asked.len(), event.len()), (kept, 1), "{all:#?}");
                assert!(all.iter().all(|line| line["session"] == *session && line["view"] == event[0]["view"]));
                let lengths: Vec<_> = asked.iter().map(|line| line["bl"][0]["value"].clone()).collect();
                assert_eq!(lengths, [json!(2_000), json!(3_000), json!(3_000)][..kept]);
                assert_eq!(dropped(stage, "sampled").await, if kept == 0 { 3.0 } else { 0.0 });
            })
            .await;
        }
    }
}

#[tokio::test]
async fn quotes_that_nobody_encoded_stop_no_media_and_are_told_of() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "requests = \"1/1\"")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, session) = plays(stage, &viewer, "one").await;
            let segment = format!("{carrier}/live/a/v/s100.m4s");
            let agent = [("user-agent", "one")];
            let plain = viewer.get(&segment, &agent).await.unwrap().bytes().await.unwrap();
            // Letters beyond ASCII are understood all the same.
            for (length, more) in [(1_000, ",com.example-a=\"<b>\""), (2_000, ""), (3_000, ",com.example-a=\"ä\"")] {
                let target = format!("{segment}?CMCD=bl={length},br=3200,sid=\"s\"{more}");
                let (status, media) = raw::get(stage, &target, &agent).await;
                assert!(status == 200 && media == plain, "{status} over {}", stage.way.name());
            }
            let all = reports(stage, 3).await;
            let lengths: std::collections::BTreeSet<_> =
                all.iter().map(|line| line["bl"][0]["value"].as_u64()).collect();
            assert_eq!(lengths, [1_000, 2_000, 3_000].map(Some).into(), "{all:#?}");
            assert!(all.iter().all(|line| line["session"] == *session && line["view"].is_string()), "{all:#?}");
            let asked = stream.origin.seen().iter().filter(|seen| seen.target.ends_with("s100.m4s")).count();
            assert_eq!((asked, stream.origin.seen().iter().any(|seen| seen.target.contains("CMCD"))), (1, false));
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_said_of_a_request_may_be_as_long_as_a_head() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "requests = \"1/1\"")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, _) = plays(stage, &viewer, "one").await;
            // 8 KiB once it is decoded.
            let pairs = format!("bl=1000,sid=\"s\",com.example-a=\"{}\"", "a".repeat(8_100));
            let encoded: String = pairs.bytes().map(|octet| format!("%{octet:02X}")).collect();
            let target = format!("{carrier}/live/a/v/s100.m4s?CMCD={encoded}");
            assert!(target.len() > 24_000);
            let mut answer = viewer.get(&target, &[("user-agent", "one")]).await.unwrap();
            assert_eq!(answer.status.as_u16(), 200, "{}", stage.way.name());
            assert!(!answer.bytes().await.unwrap().is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn answers_to_reports_go_out_after_everything_that_is_played() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, _) = plays(stage, &viewer, "one").await;
            let path = format!("{carrier}/.weir/cmcd");
            for (text, code) in [(record("ps", "s", ",sta=p"), 204), (String::new(), 400)] {
                // Whatever a browser asks for with it.
                let fields = [CMCD, SITE, ("user-agent", "one"), ("priority", "u=1, i")];
                let answer = post(&viewer, &path, &fields, text).await;
                assert_eq!((answer.status.as_u16(), answer.header("priority")), (code, "u=7"), "{}", stage.way.name());
            }
        })
        .await;
    }
}

#[tokio::test]
async fn where_a_route_is_for_tls_alone_nothing_is_taken_in_cleartext() {
    let stream = Stream::start().await;
    for way in WAYS {
        let setup = || Setup {
            upstream: Some(stream.origin.addr),
            path: "/live/{stream}/",
            route: "https_only = true".to_owned(),
            tables: qoe(""),
            prepare: Some(|folder: &Path, authority: &Authority| keys(folder, authority)),
            ..Setup::default()
        };
        tell(way, setup(), async |stage: &Stage| {
            let watching = stage.viewer_by(weir_loadtest::client::Way::H1Tls).await;
            body(watching.get(MAIN, &[("user-agent", "one")]).await.unwrap()).await;
            let fields = [CMCD, ("user-agent", "one")];
            let answer = post(&stage.viewer().await, "/.weir/cmcd", &fields, record("ps", "s", ",sta=p")).await;
            assert_eq!(answer.status.as_u16(), 204);
            let in_cleartext = if way == weir_loadtest::client::Way::H1 { 1.0 } else { 0.0 };
            assert_eq!(dropped(stage, "cleartext").await, in_cleartext);
        })
        .await;
    }
}
