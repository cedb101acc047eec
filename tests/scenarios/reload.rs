//! A configuration and certificates that change under running viewers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use http::Method;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_loadtest::client::{Client, Network, Way};
use weir_loadtest::origin::{Action, Rule};

use crate::certificates::{Authority, Kind};
use crate::stage::{PAUSE, Setup, Stage, fresh_blob, on_every_protocol, tell, with};

/// Writes the configuration with `from` replaced, and has it read.
async fn reload(stage: &Stage, from: &str, to: &str) -> (u16, Value) {
    let text = fs::read_to_string(&stage.config).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&stage.config, text.replace(from, to)).unwrap();
    let (code, answer) = stage.admin(Method::POST, "/reload", "{}").await;
    (code, serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn routes_change_under_fifty_viewers_and_no_request_fails() {
    on_every_protocol(async |stage| {
        let over = Arc::new(AtomicBool::new(false));
        let (done, mut answered) = mpsc::channel(1_000);
        let mut viewers = JoinSet::new();
        for number in 0..50 {
            let (viewer, over, done) = (stage.viewer().await, over.clone(), done.clone());
            viewers.spawn(async move {
                let mut failed = Vec::new();
                while !over.load(SeqCst) {
                    let blob = fresh_blob(2_000, &format!("&cc=max-age={}", number % 2));
                    match viewer.get(&blob.path, &[]).await {
                        Ok(mut answer) if answer.status.as_u16() == 200 => blob.read_all(&mut answer).await.unwrap(),
                        Ok(answer) => failed.push(answer.status.to_string()),
                        Err(error) => failed.push(error.to_string()),
                    }
                    done.send(()).await.unwrap();
                }
                failed
            });
        }
        let mut hundred_more = async || {
            for _ in 0..100 {
                answered.recv().await.unwrap();
            }
        };
        for (from, to) in [
            ("name = \"all\"", "name = \"everything\"\nmax_body = \"1MiB\""),
            (
                "[[route]]",
                "[[route]]\nname = \"other\"\npath = \"/other/\"\nstrip = \"/other\"\norigins = [\"main\"]\n[[route]]",
            ),
            ("64MiB", "32MiB"),
        ] {
            hundred_more().await;
            let (code, answer) = reload(stage, from, to).await;
            assert_eq!(code, 200, "{answer}");
            assert!(!answer["changed"].as_array().unwrap().is_empty(), "{answer}");
        }
        hundred_more().await;
        over.store(true, SeqCst);
        drop(answered);
        viewers.abort_all();
        while let Some(ended) = viewers.join_next().await {
            let failed = ended.unwrap_or_default();
            assert!(failed.is_empty(), "{failed:?}");
        }
        let status = stage.status().await;
        let names: Vec<_> = status["routes"].as_array().unwrap().iter().map(|route| &route["name"]).collect();
        assert_eq!(names, ["other", "everything"]);
        assert_eq!(status["memory"]["ceiling"], 32 << 20);
        let stripped = stage.get("/other/blob/stripped?size=1").await;
        assert_eq!((stripped.status.as_u16(), stage.origin.requests_for("/blob/stripped")), (200, 1));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_wrong_or_asks_for_a_restart_changes_nothing() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let (code, answer) = reload(stage, "[cache]", "[cahce]").await;
        assert_eq!(code, 422, "{answer}");
        let problem = &answer["problems"][0];
        assert_eq!(problem["key"], "cahce");
        let line = problem["line"].as_u64().unwrap() as usize;
        assert_eq!(fs::read_to_string(&stage.config).unwrap().lines().nth(line - 1), Some("[cahce]"));
        assert_eq!(stage.get("/blob/x?size=1").await.status.as_u16(), 200);

        let (code, answer) = reload(stage, "[cahce]\nmemory = \"64MiB\"", "[cache]\nmemory = \"32MiB\"").await;
        assert_eq!(code, 200, "{answer}");
        let (code, answer) = reload(stage, "workers = 2", "workers = 3").await;
        assert_eq!((code, &answer["problems"][0]["key"]), (422, &"node.workers".into()), "{answer}");
        let (code, answer) = reload(stage, "workers = 3", "workers = 2").await;
        assert_eq!((code, &answer["changed"]), (200, &Value::Array(vec![])), "it is as it was");
    })
    .await;
}

/// Puts the pair called `from` in the place of `to`, each file by renaming.
fn replace(folder: &Path, from: &str, to: &str) {
    for end in ["pem", "key"] {
        fs::rename(folder.join(format!("{from}.{end}")), folder.join(format!("{to}.{end}"))).unwrap();
    }
}

/// Completes when new viewers by `way` find a certificate of `authority`. The node says nothing when it has read its
/// files, so that handshakes are tried until one succeeds.
async fn shown(stage: &Stage, way: Way, authority: &Authority, folder: &Path) -> Client {
    let network = Network::new(&authority.trust(folder));
    let tries = async {
        loop {
            if let Ok(viewer) = Client::connect_to(stage.server(way), way, &network).await {
                return viewer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), tries).await.expect("the new certificate is shown")
}

/// Viewers in mid-body while `change` replaces the certificates: they read on, and those who come find the new ones.
async fn assert_replaced(stage: &Stage, change: impl FnOnce(&Path, &Authority)) {
    let blob = fresh_blob(500_000, "");
    let gate = stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 100_000 })).unwrap();
    let ways = [Way::H1Tls, Way::H2, Way::H3];
    let mut running = Vec::new();
    for way in ways {
        let viewer = stage.viewer_by(way).await;
        let mut answer = viewer.get(&blob.path, &[]).await.unwrap();
        blob.read_to(&mut answer, 100_000).await.unwrap();
        running.push((viewer, answer));
    }
    let newer = Authority::new("the newer authority");
    change(stage.folder(), &newer);
    let trusted = tempfile::tempdir().unwrap();
    for way in ways {
        let viewer = shown(stage, way, &newer, trusted.path()).await;
        assert_eq!(viewer.get("/blob/after?size=1", &[]).await.unwrap().status.as_u16(), 200);
    }
    gate.open();
    for (viewer, mut answer) in running {
        blob.read_all(&mut answer).await.unwrap();
        assert_eq!(viewer.get("/blob/after?size=1", &[]).await.unwrap().status.as_u16(), 200);
        assert_eq!(viewer.connections(), 1, "the old connection lives on");
    }
}

#[tokio::test]
async fn certificates_are_replaced_under_running_requests() {
    tell(Way::H3, Setup::default(), async |stage: &Stage| {
        assert_replaced(stage, |folder, newer| {
            newer.leaf(folder, "next", Kind::Ecdsa);
            replace(folder, "next", "edge");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_folder_of_certificates_is_swapped_by_turning_a_link() {
    let setup = Setup {
        certificate: "current/tls",
        prepare: Some(|folder, authority| {
            fs::create_dir(folder.join("v1")).unwrap();
            authority.leaf(&folder.join("v1"), "tls", Kind::Ecdsa);
            std::os::unix::fs::symlink("v1", folder.join("current")).unwrap();
        }),
        ..Setup::default()
    };
    tell(Way::H3, setup, async |stage: &Stage| {
        assert_replaced(stage, |folder, newer| {
            fs::create_dir(folder.join("v2")).unwrap();
            newer.leaf(&folder.join("v2"), "tls", Kind::Ecdsa);
            // The second pair of the configuration stays: those who ask for localhost get the first that fits.
            std::os::unix::fs::symlink("v2", folder.join("turned")).unwrap();
            fs::rename(folder.join("turned"), folder.join("current")).unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_pair_that_does_not_fit_together_leaves_the_old_one_in_place() {
    with(Setup::default, async |stage| {
        if stage.way == Way::H1 {
            return;
        }
        stage.authority.leaf(stage.folder(), "next", Kind::Ecdsa);
        fs::rename(stage.folder().join("next.pem"), stage.folder().join("edge.pem")).unwrap();
        stage.until_metric("weir_certificates_outdated", |pairs| pairs == 1.0).await;
        assert_eq!(stage.get("/blob/x?size=1").await.status.as_u16(), 200);
        fs::rename(stage.folder().join("next.key"), stage.folder().join("edge.key")).unwrap();
        stage.until_metric("weir_certificates_outdated", |pairs| pairs == 0.0).await;
        assert_eq!(stage.get("/blob/x?size=1").await.status.as_u16(), 200);
    })
    .await;
}
