//! Keys, tokens and verdicts by the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::clock::WallTime;
use crate::ops::{Arguments, Command, Tool};

/// 2024-07-03T09:46:40Z
const NOW: u64 = 1_720_000_000;

/// What a command line comes to: outcome, output, complaints.
async fn weir(line: &[&str]) -> (Outcome, String, String) {
    let parsed = Arguments::try_parse_from(["weir", "token"].iter().chain(line)).unwrap();
    let Command::Tool(Tool::Token(arguments)) = parsed.command else { panic!("{line:?}") };
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let clock = Clock::manual(WallTime::at(Duration::from_secs(NOW)));
    let outcome = run(&arguments, &clock, &mut out, &mut complaints).await.unwrap();
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
}

async fn good(line: &[&str]) -> String {
    let (outcome, out, complaints) = weir(line).await;
    assert_eq!((outcome, complaints.as_str()), (Outcome::Good, ""), "{line:?}: {out}");
    out
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_keygen_makes_mint_signs_with_and_check_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    for algorithm in ["ES256", "ES384", "eddsa", "RS256", "PS256", "HS256", "HS512"] {
        let kid = algorithm.to_lowercase();
        let said = good(&["keygen", "--algorithm", algorithm, "--kid", &kid, "--out", out]).await;
        let is_secret = algorithm.starts_with("HS");
        let (private, public) = match is_secret {
            true => (folder.path().join(format!("{kid}.secret")), None),
            false => {
                let public = folder.path().join(format!("{kid}.jwks.json"));
                (folder.path().join(format!("{kid}.pem")), Some(public))
            }
        };
        assert_eq!(mode(&private), 0o600);
        let secret = fs::read_to_string(&private).unwrap();
        assert!(secret.lines().all(|line| line.starts_with('-') || !said.contains(line)), "{said}");
        let mut line = vec!["mint", "--key", text(&private), "--subject", "viewer-17", "--path", "/live/event1"];
        if algorithm == "HS512" {
            line.extend(["--algorithm", "HS512"]);
        }
        let token = good(&line).await;
        assert_eq!(token.lines().count(), 1);
        let keys = match &public {
            Some(public) => ["--jwks-file", text(public)],
            None => ["--hmac-secret-file", text(&private)],
        };
        let url = "https://edge.example/live/event1/master.m3u8";
        let told = match algorithm {
            // Without a configuration a secret is that of HS256.
            "HS512" => continue,
            _ => good(&["check", token.trim(), keys[0], keys[1], "--url", url]).await,
        };
        assert!(told.contains("subject          viewer-17"), "{told}");
        assert!(!told.contains(token.trim()), "{told}");
    }
}

#[tokio::test]
async fn a_key_is_never_replaced_and_a_nodes_secret_becomes_the_previous_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    good(&["keygen", "--kid", "a", "--out", out]).await;
    let (outcome, _, complaints) = weir(&["keygen", "--kid", "a", "--out", out]).await;
    assert_eq!(outcome, Outcome::WrongUse);
    assert!(complaints.contains("exists"), "{complaints}");

    let file = folder.path().join("node.keys");
    let secrets = || -> Vec<String> {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    good(&["keygen", "--node", "--out", out]).await;
    let first = secrets();
    assert!(first.len() == 1 && first[0].len() == 64 && mode(&file) == 0o600, "{first:?}");
    for _ in 0..2 {
        let before = secrets();
        good(&["keygen", "--node", "--out", out]).await;
        let after = secrets();
        assert_eq!((after.len(), &after[1], mode(&file)), (2, &before[0], 0o600));
        assert_ne!(after[0], before[0]);
    }
}

#[tokio::test]
async fn a_default_identifier_is_the_day_and_the_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let facts = good(&["keygen", "--out", text(folder.path()), "--json"]).await;
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["kid"], "2024-07-03-es256");
    let set = fs::read_to_string(facts["public"].as_str().unwrap()).unwrap();
    let set: Value = serde_json::from_str(&set).unwrap();
    assert_eq!((&set["keys"][0]["kid"], set["keys"][0].get("d")), (&facts["kid"], None));
}

/// A folder with a key and a configuration that believes it.
async fn stage() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    good(&["keygen", "--kid", "a", "--out", text(folder.path())]).await;
    let config = "
[listen]
http = [\"127.0.0.1:0\"]
[origins.primary]
url = \"http://127.0.0.1:1\"
[[route]]
path = \"/live/\"
origins = [\"primary\"]
access = \"members\"
[access.members]
issuer = \"https://paywall.example\"
audience = \"weir-edge\"
jwks_file = \"a.jwks.json\"
";
    fs::write(folder.path().join("edge.toml"), config).unwrap();
    folder
}

#[tokio::test]
async fn a_verdict_stops_at_the_first_step_that_fails() {
    let folder = stage().await;
    let (key, config) = (folder.path().join("a.pem"), folder.path().join("edge.toml"));
    let usual = ["--issuer", "https://paywall.example", "--audience", "weir-edge", "--path", "/live/event1"];
    let within = "https://edge.example/live/event1/master.m3u8";
    for (mint, check, failed, reason) in [
        (&[][..], &["--url", within][..], "", ""),
        (&["--ip", "192.0.2.0/24"], &["--url", within, "--address", "192.0.2.7"], "", ""),
        (&["--ip", "192.0.2.0/24"], &["--url", within, "--address", "198.51.100.7"], "address", "address-mismatch"),
        (&["--at", "-10m"], &["--url", within], "time", "token-expired"),
        (&["--at", "+1m"], &["--url", within], "time", "token-not-yet"),
        (&[], &["--url", within, "--at", "4h"], "time", "token-expired"),
        (&["--issuer", "https://other.example"], &["--url", within], "key", "issuer-unknown"),
        (&["--audience", "other"], &["--url", within], "audience", "audience-mismatch"),
        (&["--kid", "b"], &["--url", within], "key", "key-unknown"),
        (&["--type", "at+jwt"], &["--url", within], "claims", "type-mismatch"),
        (&[], &["--url", "https://edge.example/live/event10/master.m3u8"], "uri", "uri-out-of-scope"),
        (&[], &["--url", "https://edge.example/live//event1/master.m3u8"], "uri", "uri-not-canonical"),
        (&["--claim", "tier=7"], &["--url", within], "claims", "token-malformed"),
    ] {
        let is_other = |name: &str| !mint.contains(&name);
        let usual = usual.chunks(2).filter(|pair| is_other(pair[0])).flatten();
        let line: Vec<_> = ["mint", "--key", text(&key)].iter().chain(usual).chain(mint).copied().collect();
        let token = good(&line).await;
        let line: Vec<_> =
            ["check", token.trim(), "--config", text(&config), "--json"].iter().chain(check).copied().collect();
        let (outcome, facts, complaints) = weir(&line).await;
        assert_eq!(complaints, "");
        let facts: Value = serde_json::from_str(&facts).unwrap();
        let expected = if failed.is_empty() { Outcome::Good } else { Outcome::Finding };
        assert_eq!(outcome, expected, "{mint:?} {check:?}: {facts:#}");
        assert_eq!(facts["reason"].as_str().unwrap_or_default(), reason, "{mint:?} {check:?}: {facts:#}");
        let steps = facts["steps"].as_array().unwrap();
        let at = steps.iter().position(|step| step["outcome"] == "failed");
        assert_eq!(at.map_or("", |at| steps[at]["step"].as_str().unwrap()), failed, "{facts:#}");
        let rest = &steps[at.map_or(steps.len(), |at| at + 1)..];
        assert!(rest.iter().all(|step| step["outcome"] == "not-reached"), "{facts:#}");
    }
}

#[tokio::test]
async fn a_verdict_reads_like_a_story() {
    let folder = stage().await;
    let (key, config) = (folder.path().join("a.pem"), folder.path().join("edge.toml"));
    let token = good(&[
        "mint",
        "--key",
        text(&key),
        "--issuer",
        "https://paywall.example",
        "--audience",
        "weir-edge",
        "--path",
        "/live/event1",
        "--subject",
        "viewer-17",
        "--id",
        "one",
        "--session-end",
        "4h",
        "--max-sessions",
        "2",
        "--at",
        "-6m",
    ])
    .await;
    // The URL that carries the token says what is asked for, too.
    let url = format!("https://edge.example/.weir/t/{}/live/event1/master.m3u8", token.trim());
    let (outcome, told, _) = weir(&["check", &url, "--config", text(&config)]).await;
    assert_eq!(outcome, Outcome::Finding);
    assert_eq!(
        told,
        "JWT, ES256, kid a
  ok      size       is it at most 8192 octets?
  ok      form       can it be taken apart, and is its header one that is accepted?
  ok      key        has its issuer a key with its kid and its algorithm?
  ok      signature  does the signature hold by that key?
  ok      claims     is it of the right type, and can all its claims be read?
  FAILED  time       token-expired: the token has expired: get a new one from the issuer
  -       issuer     not reached
  -       audience   not reached
  -       uri        not reached
  -       method     not reached
  -       address    not reached
  -       protocol   not reached
  -       country    not reached
  -       fields     not reached

it says
  issuer           https://paywall.example
  audience         weir-edge
  subject          viewer-17
  identifier       one
  covers           /live/event1 and all below
  issued           2024-07-03T09:40:40Z, 6 min ago
  opens until      2024-07-03T09:45:40Z, 1 min ago
  plays until      2024-07-03T13:40:40Z, in 3 h 54 min
  sessions         at most 2 of its subject at once

clocks: issued 6 min ago, by the issuer's clock; this one shows 2024-07-03T09:46:40Z

refused: token-expired: the token has expired: get a new one from the issuer
"
    );
}

#[tokio::test]
async fn a_clock_that_is_ahead_is_named() {
    let folder = stage().await;
    let (key, set) = (folder.path().join("a.pem"), folder.path().join("a.jwks.json"));
    let token = good(&["mint", "--key", text(&key), "--at", "+42s", "--ip", "192.0.2.0/24"]).await;
    let (outcome, told, _) = weir(&["check", token.trim(), "--jwks-file", text(&set)]).await;
    assert_eq!(outcome, Outcome::Finding);
    assert!(told.contains("the issuer's clock is at least 42 s ahead"), "{told}");
    let url = "https://edge.example/live/x";
    let told = good(&["check", token.trim(), "--jwks-file", text(&set), "--at", "1m", "--url", url]).await;
    assert!(told.contains("  ?       address    may this address use it? (say --url and --address)"), "{told}");
    assert!(told.ends_with("good as far as it was asked; not asked: address\n"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_used_is_wrong_use_and_says_so() {
    let folder = stage().await;
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pem, set, config) = (path("a.pem"), path("a.jwks.json"), path("edge.toml"));
    let session = "https://edge.example/.weir/s/x/live/m.m3u8";
    for (line, said) in [
        (vec!["mint", "--key", "/nowhere/a.pem"], "cannot be read"),
        (vec!["mint", "--key", &set], "cannot be used to sign"),
        (vec!["mint", "--key", &pem, "--algorithm", "RS256"], "cannot be used to sign"),
        (vec!["mint", "--key", &pem, "--claim", "exp=1"], "the claim `exp` has an option of its own"),
        (vec!["check", "x", "--hmac-secret-file", &set], "cannot be used"),
        (vec!["check", "x", "--config", &config, "--access", "gold"], "there is no access `gold`"),
        (vec!["check", "x", "--config", &config, "--url", "/live"], "is no URL"),
        (vec!["check", session, "--config", &config], "carries a session"),
        (vec!["check", "--token-file", "/nowhere/token", "--config", &config], "cannot be read"),
    ] {
        let (outcome, out, complaints) = weir(&line).await;
        assert_eq!((outcome, out.as_str()), (Outcome::WrongUse, ""), "{line:?}");
        assert!(complaints.contains(said), "{line:?}: {complaints}");
    }
    for line in [
        &["mint"][..],
        &["mint", "--key", "k", "--path", "live"],
        &["mint", "--key", "k", "--for", "5"],
        &["mint", "--key", "k", "--ip", "home"],
        &["mint", "--key", "k", "--claim", "x"],
        &["keygen", "--algorithm", "none"],
        &["keygen", "--kid", "../x"],
        &["keygen", "--node", "--kid", "x"],
        &["check", "x"],
        &["check", "--jwks-file", "k"],
        &["check", "x", "--jwks-file", "k", "--hmac-secret-file", "k"],
        &["check", "x", "--jwks-file", "k", "--address", "192.0.2.1"],
    ] {
        let parsed = Arguments::try_parse_from(["weir", "token"].iter().chain(line));
        assert_eq!(parsed.map_err(|error| error.exit_code()).err(), Some(2), "{line:?}");
    }
}
