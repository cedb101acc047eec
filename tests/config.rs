//! Configurations as people write them: the shipped one, and thirteen broken ones with the diagnostics they deserve.
//!
//! `WEIR_BLESS=1 cargo test --test config` writes the expected diagnostics anew; read the difference before you commit.

#![expect(clippy::unwrap_used, reason = "what cannot be written fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir::config::{Config, Finding, Machine, Problems};
use weir::ops::check::{Colour, picture};

const FIXTURES: &str = "tests/fixtures/config";

fn machine() -> Machine {
    Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 }
}

fn parse(text: &str, base: &Path) -> Result<(Config, Vec<Finding>), Problems> {
    Config::parse_on(&machine(), text, base)
}

#[test]
fn each_problem_of_a_broken_file_is_named_with_line_and_remedy() {
    for number in 1..=13 {
        let file = PathBuf::from(format!("{FIXTURES}/broken-{number:02}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let problems = parse(&text, Path::new(FIXTURES)).unwrap_err();
        let problems = Problems { file: file.clone(), ..problems };
        assert!(problems.problems.len() > 2, "{file:?} has several problems");
        for problem in &problems.problems {
            let line = text.lines().nth(problem.line - 1).unwrap();
            assert!(problem.key.is_empty() || line.contains(&text[problem.span.clone()]), "{problem}");
            assert!(problem.remedy.is_some() || problem.accepted.is_some(), "{problem}");
        }
        let drawing = picture(&problems, Colour::No);
        let expected = file.with_extension("txt");
        if std::env::var_os("WEIR_BLESS").is_some() {
            fs::write(&expected, &drawing).unwrap();
        }
        assert_eq!(drawing, fs::read_to_string(&expected).unwrap(), "{file:?}");
    }
}

/// `#key = value`: a default.
fn default_of(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// `# key = value` or `# [table]`: an example.
fn example_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let key = rest.split(" = ").next().filter(|key| key.len() < rest.len());
    let is_key = key.is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    (is_key || rest.starts_with('[')).then_some(rest)
}

/// The shipped file with some of its comments turned into lines. An example replaces what is set before it.
fn shipped(uncomment: impl Fn(&str) -> Option<&str>) -> String {
    let text = fs::read_to_string("edge.toml").expect("the checkout holds it");
    text.lines().map(|line| uncomment(line).unwrap_or(line)).fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_shipped_file_says_what_is_built_in() {
    let (bare, warnings) = parse(&shipped(|_| None), Path::new("")).unwrap();
    assert_eq!(warnings, []);
    let (spelled_out, warnings) = parse(&shipped(default_of), Path::new("")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(bare, spelled_out);
    assert!(shipped(default_of).lines().filter(|line| line.contains(" = ")).count() > 40);
}

/// A file that only its owner reads.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_examples_of_the_shipped_file_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    for name in ["edge", "client", "admin", "ca"] {
        let issued = rcgen::generate_simple_self_signed(vec!["edge.example".to_owned()]).unwrap();
        fs::write(folder.path().join(format!("certs/{name}.pem")), issued.cert.pem()).unwrap();
        write_secret(&folder.path().join(format!("certs/{name}.key")), &issued.signing_key.serialize_pem());
    }
    write_secret(&folder.path().join("admin.token"), "0123456789abcdef0123456789abcdef\n");
    write_secret(&folder.path().join("origin.secret"), "fedcba9876543210fedcba9876543210\n");
    write_secret(&folder.path().join("feed.secret"), "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n");
    write_secret(&folder.path().join("hdnts.salt"), "89abcdef0123456789abcdef01234567\n");
    write_secret(&folder.path().join("region.secret"), "00112233445566778899aabbccddeeff\n");
    write_secret(&folder.path().join("hdnts.salt"), "d41c7be09a52f8360e7bc2915fa3486d\n");
    write_secret(&folder.path().join("nats.password"), "8c1fd3a977e04b6285c39e1d4a70fb26\n");
    write_secret(&folder.path().join("webhook.secret"), "5e0b7f21c4d896a3317fa2d08be64c95\n");
    write_secret(&folder.path().join("sink.token"), "Bearer 6f1d0c9b8a7e5d4c3b2a190807f6e5d4\n");
    write_secret(
        &folder.path().join("node.keys"),
        "00112233445566778899aabbccddeefff0e1d2c3b4a5968778695a4b3c2d1e0f\n",
    );
    write_secret(&folder.path().join("hdnts.salt"), "a salt of edge tokens\n");
    let renewal = weir::rules::token::mint::SigningKey::generate(weir::rules::token::Algorithm::Es256).unwrap();
    write_secret(&folder.path().join("renewal.pem"), &renewal.private);
    fs::copy("tests/fixtures/geo/countries.mmdb", folder.path().join("GeoLite2-Country.mmdb")).unwrap();
    let text = shipped(example_of)
        .replace("#trusted_proxies = []", "trusted_proxies = [\"10.0.0.0/8\"]")
        .replace("url = \"http:", "url = \"https:")
        .replace("path = \"/\"", "path = \"/live/{stream}/\"");
    let (config, warnings) = parse(&text, folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(warnings, []);
    assert_eq!(config.node.name, "edge-ams-1");
    assert_eq!(config.admin.tokens.len(), 1);
    assert!(config.admin.tokens[0].secret.matches(b"0123456789abcdef0123456789abcdef"));
    assert!(!config.admin.tokens[0].secret.matches(b"0123456789abcdef0123456789abcdee"));
    assert!(!format!("{config:?}").contains("fedcba98"), "a secret is never printed");
    assert_eq!(config.origins[0].set_headers[0].1, "fedcba9876543210fedcba9876543210");
    assert_eq!(config.routes[0].strip, "/live");
    assert_eq!(config.routes[0].access.as_deref(), Some("members"));
    assert_eq!(config.accesses[0].issuers[0].audience.as_deref(), Some("weir-edge"));
    let webhook = config.accesses[0].webhook.as_ref().unwrap();
    assert_eq!((webhook.url.host(), webhook.events.len(), webhook.queue), (Some("paywall.example"), 5, 10_000));
    let sinks: Vec<_> = config.qoe.sinks.iter().map(|sink| (sink.name.as_str(), sink.batch >> 10)).collect();
    assert_eq!(sinks, [("main", 1024), ("stream", 512), ("archive", 1024)]);
    let printed = format!("{webhook:?}{:?}{:?}", config.nats, config.qoe);
    assert!(
        !printed.contains("6f1d0c9b") && !printed.contains("5e0b7f21") && !printed.contains("8c1fd3a9"),
        "a secret is never printed"
    );
    #[cfg(feature = "nats")]
    assert_eq!(config.nats.as_ref().unwrap().servers[1].url(), "tls://10.0.0.6:4222");
    let printed = format!("{:?}", config.node.secrets.as_ref().unwrap());
    let path = folder.path().join("node.keys");
    assert_eq!(printed, format!("Secrets {{ path: {path:?}, .. }}"), "a secret is never printed");
}

#[test]
fn a_region_is_judged_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("region.secret"), "00112233445566778899aabbccddeeff\n").unwrap();
    let rest = "[origins.o]\nurl = \"http://127.0.0.1:1\"\n[[route]]\norigins = [\"o\"]\n";
    let listen = "[listen]\nhttp = [\"127.0.0.1:0\"]\n";
    let open = "peers = \"127.0.0.1:9443\"\n";
    let secret = "secret = \"region.secret\"\n";
    let of_two = "self = \"a.internal:1\"\nnodes = [\"http://A.internal:1\", \"b.internal:2\"]\n";
    let judged = |text: String| parse(&format!("{text}{rest}"), folder.path());
    let (config, _) = judged(format!("{listen}{open}[peers]\n{of_two}{secret}")).unwrap();
    let peers = config.peers.unwrap();
    assert_eq!(peers.own.as_deref(), Some("a.internal:1"));
    assert!(judged(format!("{listen}{open}[peers]\n{secret}")).is_ok(), "others may ask, and nobody is asked");
    for (text, message) in [
        (format!("{listen}{open}"), "nothing says how those who come to `listen.peers` prove themselves"),
        (format!("{listen}[peers]\n{of_two}{secret}"), "nobody can ask this node: it does not listen for its peers"),
        (format!("{listen}{open}[peers]\n{of_two}"), "anybody could say that they are a node of this region"),
        (
            format!("{listen}{open}[peers]\ndns = \"peers.internal:1\"\n{secret}"),
            "this node does not know which of the peers it is",
        ),
        (
            format!("{listen}{open}[peers]\nself = \"c.internal:1\"\nnodes = [\"a.internal:1\"]\n{secret}"),
            "`nodes` does not name this node itself",
        ),
        (
            format!("{listen}{open}[peers]\nself = \"a:1\"\nnodes = [\"https://a:1\"]\n{secret}"),
            "the node's scheme does not fit `tls`",
        ),
        (format!("{listen}{open}[peers]\n{of_two}dns = \"x:1\"\n{secret}"), "the peers are both listed and named"),
        (format!("{listen}{open}[peers]\nself = \"a\"\n{secret}"), "not a node with its port"),
        (format!("{listen}{open}[peers]\nself = \"a;b:1\"\n{secret}"), "not a node with its port"),
    ] {
        let problems = judged(text.clone()).expect_err(message).problems;
        assert!(problems.iter().any(|problem| problem.message == message), "{text}\n{problems:?}");
    }
}

#[cfg(feature = "nats")]
#[test]
fn who_tells_others_must_be_known_and_tell_in_secret() {
    let folder = tempfile::tempdir().unwrap();
    write_secret(
        &folder.path().join("node.keys"),
        "00112233445566778899aabbccddeefff0e1d2c3b4a5968778695a4b3c2d1e0f\n",
    );
    write_secret(&folder.path().join("s"), "00112233445566778899aabbccddeeff\n");
    let node = "[node]\nregion = \"ams\"\nsecrets = \"node.keys\"\n";
    let rest =
        "[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:1\"\n[[route]]\norigins = [\"o\"]\n";
    let judged = |node: &str, nats: &str| parse(&format!("{node}{rest}[nats]\n{nats}"), folder.path());
    let (config, warnings) = judged(node, "servers = [\"nats://127.0.0.1:1\", \"tls://[2001:db8::1]\"]").unwrap();
    assert_eq!(warnings, []);
    let urls: Vec<_> = config.nats.unwrap().servers.iter().map(|server| server.url()).collect();
    assert_eq!(urls, ["nats://127.0.0.1:1", "tls://[2001:db8::1]:4222"]);
    for (nats, message) in [
        ("servers = []", None),
        ("", Some("`servers` is missing")),
        ("servers = [\"http://a\"]", Some("NATS is spoken over nats:// or tls://")),
        ("servers = [\"nats://u:p4ssw0rd@a\"]", Some("the URL carries credentials")),
        ("servers = [\"tls://a\"]\nuser = \"u\"", Some("`password` is missing")),
        (
            "servers = [\"tls://a\"]\nnkey = \"s\"\nuser = \"u\"\npassword = \"s\"",
            Some("the node says in several ways who it is"),
        ),
        ("servers = [\"tls://a\"]\nprefix = \"a.>\"", Some("not the beginning of a subject")),
    ] {
        let problems = judged(node, nats);
        let Some(message) = message else {
            assert!(problems.is_ok_and(|(config, _)| config.nats.is_none()), "{nats}");
            continue;
        };
        let problems = problems.expect_err(message).problems;
        assert!(problems.iter().any(|problem| problem.message == message), "{nats}\n{problems:?}");
        assert!(!format!("{problems:?}").contains("p4ssw0rd"), "what was typed there is a secret");
    }
    let problems = judged("[node]\nregion = \"ams\"\n", "servers = [\"tls://a\"]").unwrap_err().problems;
    assert!(problems[0].message.contains("anybody on these servers"), "{problems:?}");
    let (_, warnings) = judged("[node]\nsecrets = \"node.keys\"\n", "servers = [\"nats://a\"]").unwrap();
    let warnings: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    let expected = [
        "the region has no name, so that it is one with all others that have none",
        "anybody on the way can read who is revoked and what is purged",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn a_webhook_has_a_url_and_a_secret_worth_the_name() {
    let folder = tempfile::tempdir().unwrap();
    write_secret(&folder.path().join("long"), "00112233445566778899aabbccddeeff\n");
    write_secret(&folder.path().join("short"), "0011\n");
    let rest = "[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:1\"\n[[route]]\norigins = [\"o\"]\naccess = \"a\"\n\
                [access.a]\nhmac_secret_file = \"long\"\n[access.a.webhook]\n";
    let judged = |webhook: &str| parse(&format!("{rest}{webhook}"), folder.path());
    for (webhook, message) in [
        ("secret = \"long\"", "`url` is missing"),
        ("url = \"https://a/\"", "`secret` is missing"),
        ("url = \"https://u:p@a/\"\nsecret = \"long\"", "not a URL that events can be sent to"),
        ("url = \"ftp://a/\"\nsecret = \"long\"", "not a URL that events can be sent to"),
        ("url = \"https://a/\"\nsecret = \"short\"", "the secret has fewer than 16 characters"),
        ("url = \"https://a/\"\nsecret = \"long\"\nevents = [\"begin\"]", "unknown word"),
        (
            "url = \"http://127.0.0.1/\"\nsecret = \"long\"\ntls = { sni = \"a\" }",
            "`tls` is set, but the events are sent in cleartext",
        ),
    ] {
        let problems = judged(webhook).expect_err(message).problems;
        assert!(problems.iter().any(|problem| problem.message == message), "{webhook}\n{problems:?}");
    }
    let (_, warnings) = judged("url = \"http://paywall.example/\"\nsecret = \"long\"").unwrap();
    assert!(warnings.iter().any(|warning| warning.message.contains("anybody on the way")), "{warnings:?}");
}

#[test]
fn a_sink_has_a_place_and_a_name_that_can_be_a_files() {
    let folder = tempfile::tempdir().unwrap();
    write_secret(&folder.path().join("token"), "Bearer 00112233445566778899aabbccddeeff\n");
    let rest =
        "[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:1\"\n[[route]]\norigins = [\"o\"]\n";
    let judged = |sink: &str| parse(&format!("{rest}[qoe.sinks.{sink}"), folder.path());
    for (sink, message) in [
        ("a]\nurl = \"https://a/\"", "`type` is missing"),
        ("a]\ntype = \"kafka\"", "unknown word"),
        ("a]\ntype = \"http\"", "`url` is missing"),
        ("a]\ntype = \"http\"\nurl = \"https://u:p@a/\"", "not a URL that events can be sent to"),
        ("a]\ntype = \"http\"\nurl = \"https://a/\"\nevents = [\"start\"]", "unknown word"),
        ("a]\ntype = \"http\"\nurl = \"https://a/\"\nevents = []", "the sink is told nothing"),
        ("a]\ntype = \"http\"\nurl = \"https://a/\"\nbatch = \"2MiB\"", "out of bounds"),
        (
            "a]\ntype = \"http\"\nurl = \"https://a/\"\nheaders = { Idempotency-Key = \"1\" }",
            "`idempotency-key` is the node's own",
        ),
        (
            "a]\ntype = \"http\"\nurl = \"http://127.0.0.1/\"\ntls = { sni = \"a\" }",
            "`tls` is set, but batches are sent in cleartext",
        ),
        ("\"a/b\"]\ntype = \"file\"\npath = \"q\"", "a sink's name is a label and the name of its files"),
        ("a]\ntype = \"file\"", "`path` is missing"),
        #[cfg(feature = "nats")]
        ("a]\ntype = \"nats\"\nservers = []", "no server is named"),
    ] {
        let problems = judged(sink).expect_err(message).problems;
        assert!(problems.iter().any(|problem| problem.message == message), "{sink}\n{problems:?}");
    }
    let (config, warnings) = judged(
        "a]\ntype = \"http\"\nurl = \"http://qoe.example/\"\nheaders = { Authorization = { file = \"token\" } }",
    )
    .unwrap();
    assert!(warnings.iter().any(|warning| warning.message.contains("anybody on the way")), "{warnings:?}");
    assert!(!format!("{:?}", config.qoe).contains("0011223344"), "a secret is never printed");
}

/// The keys of every table, as the diagnostics list them.
fn known_keys() -> BTreeMap<String, Vec<String>> {
    let text = "zzz = 1\nnode.zzz = 1\nlisten.zzz = 1\nhttp3.zzz = 1\ntls.zzz = 1\ncache.zzz = 1\ncache.disk.zzz = 1\norigins.o.zzz = 1
        origins.o.tls.zzz = 1\norigins.o.headers.zzz = 1\norigins.o.auth.zzz = 1\norigins.p.auth.aws_sigv4.zzz = 1\nroute = [{ zzz = 1, headers = { zzz = 1 }, cors = { zzz = 1 }, query = { zzz = 1 }, countries = { zzz = 1 } }]
        access_log.zzz = 1\nlimits.zzz = 1\nshutdown.zzz = 1\nmetrics.zzz = 1\naccess.a.zzz = 1\naccess.a.names.zzz = 1\naccess.a.jwks_tls.zzz = 1\naccess.a.hdnts.zzz = 1\naccess.b.issuers = [{ zzz = 1 }]\nadmin.zzz = 1\npeers.zzz = 1\npeers.tls.zzz = 1\nnats.zzz = 1\nnats.tls.zzz = 1\naccess.a.webhook.zzz = 1\ncapacity.zzz = 1\ngeo.zzz = 1\nqoe.sinks.a = { zzz = 1, type = \"http\", tls = { zzz = 1 } }\nqoe.sinks.b = { zzz = 1, type = \"nats\" }\nqoe.sinks.c = { zzz = 1, type = \"file\" }\nadmin.tokens = [{ zzz = 1 }]\n";
    let problems = parse(text, Path::new("")).expect_err("every key is unknown").problems;
    let unknown = problems.into_iter().filter(|problem| problem.message == "unknown key `zzz`");
    let keys = |list: Option<String>| list.expect("known keys are listed").split(", ").map(str::to_owned).collect();
    unknown.map(|problem| (problem.key.clone(), keys(problem.accepted))).collect()
}

#[test]
fn the_shipped_file_names_every_key() {
    let text = fs::read_to_string("edge.toml").unwrap();
    let tables = known_keys();
    assert_eq!(tables.len(), 39, "{tables:?}");
    for key in tables.values().flatten() {
        let named = |line: &str| {
            let line = default_of(line).or(example_of(line)).unwrap_or(line);
            line.starts_with(&format!("{key} = "))
                || line.contains(&format!(" {key} = "))
                || line.starts_with('[') && line.contains(key)
        };
        assert!(text.lines().any(named), "edge.toml does not name {key}");
    }
}

#[test]
fn keys_of_limits_are_the_fields_of_limits() {
    let fields = format!("{:?}", weir::config::Limits::default());
    for key in &known_keys()["limits.zzz"] {
        assert!(fields.contains(&format!("{key}: ")), "{key}");
    }
    assert_eq!(known_keys()["limits.zzz"].len(), fields.matches(": ").count());
}

#[test]
fn exit_codes_tell_good_from_findings_and_wrong_use() {
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["check", "--config", "tests/fixtures/config/broken-01.toml"], 1),
        (&["check", "--config", "nowhere.toml", "--json"], 1),
        (&["check", "--confg", "edge.toml"], 2),
        (&["status", "--admin", "ftp://127.0.0.1"], 2),
        (&["drain", "--by", "soon"], 2),
        (&["explain", "--help"], 0),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}
