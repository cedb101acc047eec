use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::rules::caching::negative::Asked;

const SMALLEST: &str =
    "[listen]\nhttp = [\"[::]:8080\"]\n[origins.a]\nurl = \"http://h\"\n[[route]]\norigins = [\"a\"]\n";

fn machine() -> Machine {
    Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 }
}

fn parse_in(text: &str, base: &Path) -> Result<(Config, Vec<Finding>), Problems> {
    Config::parse_on(&machine(), text, base)
}

fn good(text: &str) -> Config {
    parse_in(text, Path::new("/etc/weir")).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// The keys and messages of a text's problems.
fn problems(text: &str) -> Vec<String> {
    let problems = parse_in(text, Path::new("/etc/weir")).expect_err("it is broken").problems;
    problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[test]
fn the_smallest_useful_file_gets_every_default() {
    let config = good(SMALLEST);
    assert_eq!(config.node, Node { name: "edge-1".to_owned(), region: None, workers: 4, state: None, secrets: None });
    assert_eq!(config.listen.admin, Some(Address::Socket("127.0.0.1:9180".parse().unwrap())));
    let live_reserve = Duration::from_secs(60);
    assert_eq!(
        config.cache,
        Cache {
            memory: 4 << 30,
            max_object: 128 << 20,
            live_reserve,
            uncacheable_for: Duration::from_secs(10),
            disk: None
        }
    );
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.shutdown, Shutdown { delay: Duration::ZERO, deadline: Duration::from_secs(30) });
    assert_eq!(config.access_log, None);
    let route = &config.routes[0];
    assert_eq!((route.name.as_str(), route.path.as_str(), route.max_body), ("/", "/", 16 << 20));
    let origin = &config.origins[0];
    assert_eq!((origin.connections, origin.requests, origin.port), (64, 512, 80));
    assert_eq!(
        (origin.connect, origin.first_byte, origin.idle),
        (Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10))
    );
}

#[test]
fn origins_keep_their_order_and_urls_their_parts() {
    let config = good(
        "[listen]\nhttp = [\"[::]:80\"]
        [origins.zeta]\nurl = \"https://Packager.example/base/\"\n[origins.alpha]\nurl = \"http://[2001:db8::1]:8080\"
        [[route]]\norigins = [\"zeta\", \"alpha\"]\nhost = \"LIVE.example.com\"\npath = \"/live/{stream}/\"\nstrip = \"/live/\"\n",
    );
    let parts = |index: usize| {
        let origin = &config.origins[index];
        (origin.name.as_str(), origin.scheme, origin.host.as_str(), origin.port, origin.base_path.as_str())
    };
    assert_eq!(parts(0), ("zeta", OriginScheme::Https, "packager.example", 443, "/base"));
    assert_eq!(parts(1), ("alpha", OriginScheme::Http, "2001:db8::1", 8080, ""));
    assert_eq!(config.routes[0].name, "live.example.com/live/{stream}/");
    assert_eq!(config.routes[0].strip, "/live");
}

#[test]
fn listeners_are_addresses_tables_and_names() {
    let config = good(&SMALLEST.replace(
        "http = [\"[::]:8080\"]",
        "http = [{ addr = \"0.0.0.0:80\", proxy_protocol = [\"10.0.0.0/8\"] }, \"fd:web\", \"unix:run/w.sock\"]\nadmin = false",
    ));
    let addresses: Vec<String> = config.listen.http.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["0.0.0.0:80", "fd:web", "unix:/etc/weir/run/w.sock"]);
    assert_eq!(config.listen.http[0].proxy_protocol, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(config.listen.admin, None);
}

#[test]
fn what_is_missing_is_reported_once_and_not_where_something_is_broken() {
    assert_eq!(problems(""), [": there is no listener for viewers", ": there is no route, so nothing is served"]);
    for (broken, expected) in [
        ("[listen]\nhttp = 8080\n", [": there is no route, so nothing is served", "listen.http: wrong kind of value"]),
        ("route = 1\n", [": there is no listener for viewers", "route: wrong kind of value"]),
    ] {
        assert_eq!(problems(broken), expected);
    }
    assert_eq!(problems("[listen]\nhttp = [::]:8080\n").len(), 1);
}

#[test]
fn a_syntax_error_of_one_line_hides_nothing_else() {
    let text = SMALLEST.replace("url", "conect = 2s\nurl") + "pth = \"/x\"\n";
    let found = problems(&text);
    assert!(found.iter().any(|problem| problem.contains("not TOML")), "{found:?}");
    assert!(found.iter().any(|problem| problem == "route[0].pth: unknown key `pth`"), "{found:?}");
}

#[test]
fn an_admin_api_off_loopback_needs_tls_and_a_caller_who_is_known() {
    let folder = folder_with_certificates();
    let base = SMALLEST.replace("[origins.a]", "admin = \"0.0.0.0:9180\"\n[origins.a]");
    let tls = "[tls]\ncertificates = [{ cert = \"one.pem\", key = \"one.key\" }]\n";
    let token = "[[admin.tokens]]\nfile = \"token\"\nroles = [\"view\"]\n";
    let authority = "[admin]\nclient_ca = \"one.pem\"\n";
    for (more, is_good) in [
        (String::new(), false),
        (tls.to_owned(), false),
        (token.to_owned(), false),
        (format!("{tls}{token}"), true),
        (format!("{tls}{authority}"), true),
    ] {
        let outcome = parse_in(&format!("{base}{more}"), folder.path());
        assert_eq!(outcome.is_ok(), is_good, "{more}: {outcome:?}");
    }
}

/// `one` and `two`: certificates with their keys; `token`: a secret.
fn folder_with_certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let issued = rcgen::generate_simple_self_signed(vec!["edge.example".to_owned()]).unwrap();
        fs::write(folder.path().join(format!("{name}.pem")), issued.cert.pem()).unwrap();
        write_secret(&folder.path().join(format!("{name}.key")), &issued.signing_key.serialize_pem());
    }
    write_secret(&folder.path().join("token"), "0123456789abcdef0123456789abcdef\n");
    write_secret(&folder.path().join("short"), "secret");
    folder
}

/// A file that only its owner reads.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_key_must_belong_to_its_certificate() {
    let folder = folder_with_certificates();
    let text =
        |cert: &str, key: &str| format!("{SMALLEST}[tls]\ncertificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]\n");
    let (config, _) = parse_in(&text("one.pem", "one.key"), folder.path()).unwrap();
    assert_eq!(config.tls.certificates[0].cert, folder.path().join("one.pem"));
    for (cert, key, message) in [
        ("one.pem", "two.key", "the key does not belong to the certificate"),
        ("one.key", "one.key", "there is no certificate in this file"),
        ("one.pem", "one.pem", "no usable private key: no items found"),
        ("none.pem", "one.key", "the certificate cannot be read: No such file or directory (os error 2)"),
    ] {
        let found = parse_in(&text(cert, key), folder.path()).unwrap_err().problems;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].message.as_str(), found[0].line), (message, 8), "{cert} {key}");
    }
}

#[test]
fn a_secret_comes_from_a_file_or_the_environment_and_is_long() {
    let folder = folder_with_certificates();
    let text = |file: &str| format!("{SMALLEST}[[admin.tokens]]\nfile = {file}\nroles = [\"view\", \"operate\"]\n");
    let (config, warnings) = parse_in(&text("\"token\""), folder.path()).unwrap();
    assert!(config.admin.tokens[0].secret.matches(b"0123456789abcdef0123456789abcdef"));
    assert_eq!(config.admin.tokens[0].roles, [Role::View, Role::Operate]);
    assert_eq!(warnings, []);
    let (config, _) = parse_in(&text("{ env = \"PATH\" }"), folder.path()).unwrap();
    assert!(config.admin.tokens[0].secret.matches(std::env::var("PATH").unwrap().trim().as_bytes()));
    let (_, warnings) = parse_in(&text("\"short\""), folder.path()).unwrap();
    assert_eq!(warnings[0].key, "admin.tokens[0].file");
}

#[test]
fn a_disk_has_a_folder_and_a_size() {
    let said = |disk: &str| parse_in(&format!("{SMALLEST}[cache]\ndisk = {{ {disk} }}\n"), Path::new("/base"));
    let (config, _) = said("path = \"objects\", size = \"1GiB\", engine = \"threads\"").unwrap();
    let disk = Disk { path: PathBuf::from("/base/objects"), size: 1 << 30, engine: DiskEngine::Threads };
    assert_eq!(config.cache.disk, Some(disk));
    for (disk, key) in [
        ("path = \"objects\"", "cache.disk"),
        ("size = \"1GiB\"", "cache.disk"),
        ("path = \"objects\", size = \"1MiB\"", "cache.disk.size"),
        ("path = \"objects\", size = \"1GiB\", engine = \"uring\"", "cache.disk.engine"),
    ] {
        assert_eq!(said(disk).unwrap_err().problems[0].key, key, "{disk}");
    }
}

#[test]
fn a_small_cache_has_a_smaller_largest_object() {
    let small = good(&format!("{SMALLEST}[cache]\nmemory = \"64MiB\"\n"));
    assert_eq!((small.cache.memory, small.cache.max_object), (64 << 20, 32 << 20));
    let said = good(&format!("{SMALLEST}[cache]\nmemory = \"64MiB\"\nmax_object = \"60MiB\"\n"));
    assert_eq!(said.cache.max_object, 60 << 20);
}

#[test]
fn a_route_says_how_it_treats_live_streams() {
    let route = |keys: &str| good(&format!("{SMALLEST}{keys}\n")).routes.remove(0);
    let default = route("");
    assert_eq!((default.live, default.playlists, default.keys), (LiveMode::Auto, Playlists::Auto, Keys::NoStore));
    assert_eq!((default.query_keep.len(), default.warm.len(), default.stale_playlist_for), (0, 0, 3));
    let said = route(
        "playlists = \"shared\"\nkeys = \"shared\"\nquery = { keep = [\"profile\"] }\nwarm = [\"/a/%7ex.m3u8?start=1\"]
        stale_playlist_for = \"0td\"",
    );
    assert_eq!((said.playlists, said.keys), (Playlists::Shared, Keys::Shared));
    assert_eq!((said.query_keep, said.warm), (vec!["profile".to_owned()], vec!["/a/~x.m3u8?start=1".to_owned()]));
    assert_eq!(said.stale_playlist_for, 0);
    assert_eq!(route("live = \"off\"\nwarm = false").live, LiveMode::Off);
    assert_eq!(route("playlists = \"per-viewer\"").playlists, Playlists::PerViewer);
}

#[test]
fn a_route_says_for_how_long_errors_are_kept() {
    let errors = |keys: &str| good(&format!("{SMALLEST}{keys}\n")).routes.remove(0).errors;
    let of = |errors: &Errors, status: u16| errors.lifetime(StatusCode::from_u16(status).unwrap(), Asked::Plain);
    assert_eq!(errors(""), Errors::default());
    let said = errors("errors = { \"404\" = \"1s\", \"5xx\" = \"200ms\", \"410\" = \"0s\" }");
    assert_eq!(of(&said, 404), Some(Duration::from_secs(1)));
    assert_eq!((of(&said, 503), of(&said, 410)), (Some(Duration::from_millis(200)), None));
    for (typed, message) in [
        ("\"200\" = \"1s\"", "no error that may be kept"),
        ("\"429\" = \"1s\"", "no error that may be kept"),
        ("\"6xx\" = \"1s\"", "no error that may be kept"),
        ("\"404\" = 1", "wrong kind of value"),
        ("\"404\" = \"2h\"", "out of bounds"),
    ] {
        let text = format!("{SMALLEST}errors = {{ {typed} }}\n");
        let problem = problems(&text).remove(0);
        assert!(problem.starts_with("route[0].errors") && problem.contains(message), "{typed}: {problem}");
    }
}

#[test]
fn what_is_followed_from_the_start_lies_below_the_route_and_is_shared() {
    for (keys, problem) in [
        (
            "path = \"/live/{stream}/\"\nwarm = [\"/vod/x.m3u8\"]",
            "route[0].warm[0]: the playlist is not below the route's path, \"/live/{stream}/\"",
        ),
        ("warm = \"/a/x.m3u8\"\nlive = \"off\"", "route[0].warm: nothing is followed while `live = \"off\"`"),
        (
            "warm = [\"/a\"]\nplaylists = \"per-viewer\"",
            "route[0].warm: nothing is followed while `playlists = \"per-viewer\"`: nobody else would get it",
        ),
        (
            "warm = [\"/a\"]\n[origins.v]\nurl = \"http://v\"\nhost = \"viewer\"\n[[route]]\npath = \"/v/\"\norigins = [\"v\"]
            host = \"*.example.com\"\nwarm = [\"/v/x.m3u8\"]",
            "route[1].warm: the origin sees the viewer's Host, and the route does not say which",
        ),
        ("warm = true", "route[0].warm: a node cannot know which streams there are before somebody asks for one"),
    ] {
        assert_eq!(problems(&format!("{SMALLEST}{keys}\n")), [problem]);
    }
}

#[test]
fn state_lives_in_a_folder() {
    let text = |folder: &str| format!("[node]\nstate = \"{folder}\"\n{SMALLEST}");
    assert_eq!(good(&text("weir")).node.state.as_deref(), Some(Path::new("/etc/weir/weir")));
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("below")] {
        assert_eq!(problems(&text(&path.display().to_string())), ["node.state: there is a file in the folder's place"]);
    }
}

#[test]
fn a_route_behind_one_that_takes_all_is_a_warning() {
    let text = format!("{SMALLEST}[[route]]\npath = \"/live/\"\norigins = [\"a\"]\n");
    let (_, warnings) = parse_in(&text, Path::new("")).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].line, warnings[0].message.as_str()), (8, "no request reaches this route"));
}

#[test]
fn what_needs_a_restart_is_told_by_key() {
    let old = good(SMALLEST);
    for (from, to, keys) in [
        ("[::]:8080", "[::]:8081", vec!["listen.http"]),
        ("[origins.a]", "monitor = \"[::]:9181\"\n[origins.a]", vec!["listen.monitor"]),
        ("[listen]", "[node]\nworkers = 2\n[http3]\nenabled = false\n[listen]", vec!["node.workers", "http3.enabled"]),
        ("[listen]", "[node]\nstate = \"s\"\n[listen]", vec!["node.state"]),
        ("http://h", "http://other", vec![]),
        ("[listen]", "[cache]\nmemory = \"64MiB\"\n[listen]", vec![]),
    ] {
        assert_eq!(old.restart_differences(&good(&SMALLEST.replace(from, to))), keys, "{to}");
    }
}

#[test]
fn the_admin_address_is_found_without_the_files_that_only_the_node_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    let tls = "[tls]\ncertificates = [{ cert = \"none.pem\", key = \"none.key\" }]\n";
    for (listen, address) in [
        ("", Some("127.0.0.1:9180".to_owned())),
        ("[listen]\nadmin = \"[::1]:1\"\n", Some("[::1]:1".to_owned())),
        ("[listen]\nadmin = \"unix:admin.sock\"\n", Some(format!("unix:{}/admin.sock", folder.path().display()))),
        ("[listen]\nadmin = false\n", None),
    ] {
        fs::write(&file, format!("{listen}{tls}")).unwrap();
        let found = Config::admin_address(&file).unwrap();
        assert_eq!(found.map(|address| address.to_string()), address);
    }
    fs::write(&file, "[listen]\nadmin = \"nowhere\"\n").unwrap();
    assert_eq!(Config::admin_address(&file).unwrap_err().problems[0].key, "listen.admin");
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_refused_has_a_reason(text in "[\\[\\]{}a-z\"'=., 0-9:/\n#]{0,80}") {
        if let Err(problems) = parse_in(&text, Path::new("")) {
            prop_assert!(!problems.problems.is_empty());
        }
    }

    #[test]
    fn no_damage_to_a_good_file_panics(at in 0..SMALLEST.len(), with in ".{0,3}") {
        let text = format!("{}{with}{}", &SMALLEST[..at], &SMALLEST[at + 1..]);
        if let Err(problems) = parse_in(&text, Path::new("")) {
            prop_assert!(!problems.problems.is_empty());
        }
    }
}
