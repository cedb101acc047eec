use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Finding, Machine, Problems};
use crate::rules::token::Algorithm;
use crate::rules::token::jwt::ClaimNames;

const REST: &str = "[node]\nstate = \"state\"\n[listen]\nhttp = [\"[::]:8080\"]\n[origins.a]\nurl = \"http://h\"\n[[route]]\norigins = [\"a\"]\n";
/// 32 characters.
const SECRET: &str = "S3cret-of-the-paywall-0123456789";

/// `issuer.pem`, `other.pem`: public keys; `private.pem`: one that is not; `secret`, `short`, `open`: shared secrets, of
/// which everybody reads the last.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["issuer", "other"] {
        let pair = rcgen::KeyPair::generate().unwrap();
        fs::write(folder.path().join(format!("{name}.pem")), pair.public_key_pem()).unwrap();
        write(&folder, "private.pem", &pair.serialize_pem(), 0o600);
    }
    write(&folder, "secret", &format!("{SECRET}\n"), 0o600);
    write(&folder, "base64", &STANDARD.encode([0xfb; 48]), 0o600);
    write(&folder, "hex", &"0123456789abcdef".repeat(4), 0o600);
    write(&folder, "short", "too-short-for-HS256", 0o600);
    write(&folder, "open", SECRET, 0o644);
    write(&folder, "bad.jwks", "{\"keys\": 1}", 0o600);
    let jwks = format!(
        "{{\"keys\":[{{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"{}\"}}]}}",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY"
    );
    write(&folder, "good.jwks", &jwks, 0o600);
    folder
}

fn write(folder: &TempDir, name: &str, text: &str, mode: u32) {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The file with a route that asks for `m`, which says this.
fn parse(folder: &TempDir, access: &str) -> Result<(Config, Vec<Finding>), Problems> {
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    Config::parse_on(&machine, &format!("{REST}access = \"m\"\n[access.m]\n{access}\n"), folder.path())
}

fn good(folder: &TempDir, access: &str) -> Access {
    let (mut config, _) = parse(folder, access).unwrap_or_else(|problems| panic!("{access}\n{problems}"));
    config.accesses.remove(0)
}

fn said(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| format!("{}: {}", finding.key, finding.message)).collect()
}

#[test]
fn an_access_gets_every_default() {
    let folder = folder();
    let access = good(&folder, "issuer = \"https://i\"\npublic_key_file = \"issuer.pem\"");
    assert_eq!(access.name, "m");
    assert_eq!(access.carriers, [Carrier::Path, Carrier::Header, Carrier::Cookie, Carrier::Query]);
    assert_eq!((access.inherit, access.carrier_position), (Inherit::Path, CarrierPosition::Root));
    assert_eq!((access.session_idle.as_secs(), access.handover_grace.as_secs(), access.leeway.as_secs()), (60, 30, 5));
    assert_eq!((access.max_sessions, access.session_limit), (None, SessionLimit::RefuseNewest));
    assert_eq!(access.revoked_bodies, RevokedBodies::Cut);
    let names = CarrierNames { query: vec!["token".into()], cookie: vec!["token".into()], header: Vec::new() };
    assert_eq!(access.names, names);
    let issuer = &access.issuers[0];
    assert_eq!((issuer.issuer.as_deref(), issuer.audience.as_deref()), (Some("https://i"), None));
    assert_eq!((issuer.formats.as_slice(), issuer.algorithms.len()), (&[Format::Jwt][..], 0));
    let KeySource::Kept(kept) = &issuer.keys else { panic!("{issuer:?}") };
    assert_eq!(kept.read(&[]).unwrap().keys()[0].algorithm(), Algorithm::Es256);
}

#[test]
fn an_access_says_all_that_can_be_said() {
    let folder = folder();
    let access = good(
        &folder,
        "audience = \"weir\"\nalgorithms = [\"RS256\", \"PS256\"]\nformats = [\"jwt\", \"cat\"]\ntoken_type = \"at+jwt\"
        claims = { path = \"paths\", sub = \"user\" }\nmax_lifetime = \"6h\"\ncarriers = [\"header\"]\ninherit = \"cookie\"
        names = { query = [], header = \"X-Token\" }\nsession_idle = \"90s\"\nhandover_grace = \"0s\"\nleeway = \"60s\"
        max_sessions = 3\nsession_limit = \"end-oldest\"\nrevoked_bodies = \"finish\"
        issuers = [{ issuer = \"https://a\", jwks = \"https://a/jwks\" }, { issuer = \"b\", algorithms = [\"HS512\"], jwks = \"http://[::1]:1/\", audience = \"other\" }]",
    );
    assert_eq!(access.carriers, [Carrier::Header]);
    assert_eq!((access.inherit, access.session_limit), (Inherit::Cookie, SessionLimit::EndOldest));
    assert_eq!((access.revoked_bodies, access.max_sessions), (RevokedBodies::Finish, Some(3)));
    assert_eq!(access.names.header, ["x-token"]);
    assert!(access.names.query.is_empty());
    assert_eq!(access.names.cookie, ["token", "cta-common-access-token", "common-access-token"]);
    let [first, second] = access.issuers.as_slice() else { panic!() };
    assert_eq!((first.audience.as_deref(), second.audience.as_deref()), (Some("weir"), Some("other")));
    assert_eq!(
        (first.algorithms.as_slice(), second.algorithms.as_slice()),
        (&[Algorithm::Rs256, Algorithm::Ps256][..], &[Algorithm::Hs512][..])
    );
    assert_eq!(Ok(second.claims.clone()), ClaimNames::new([("path", "paths"), ("sub", "user")]));
    assert_eq!(second.max_lifetime, Some(Duration::from_secs(6 * 3_600)));
    assert_eq!(second.token_type.as_deref(), Some("at+jwt"));
    assert!(matches!(&second.keys, KeySource::Jwks { url, .. } if url.host() == Some("[::1]")));
}

#[test]
fn a_shared_secret_is_what_its_file_says_it_is() {
    let folder = folder();
    for (keys, octets) in [
        ("hmac_secret_file = \"secret\"", SECRET.as_bytes().to_vec()),
        ("hmac_secret_file = \"secret\"\nhmac_encoding = \"raw\"", format!("{SECRET}\n").into_bytes()),
        ("hmac_secret_file = \"base64\"\nhmac_encoding = \"base64\"", vec![0xfb; 48]),
        (
            "hmac_secret_file = [\"hex\"]\nhmac_encoding = \"hex\"",
            [1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef].repeat(4),
        ),
    ] {
        let access = good(&folder, keys);
        let KeySource::Kept(kept) = &access.issuers[0].keys else { panic!("{access:?}") };
        assert_eq!(kept.read(&[]).unwrap().keys()[0].secret(), Some(octets.as_slice()), "{keys}");
    }
    let two = good(&folder, "hmac_secret_file = [\"secret\", \"hex\"]");
    let KeySource::Kept(kept) = &two.issuers[0].keys else { panic!("{two:?}") };
    assert_eq!((kept.read(&[]).unwrap().keys().len(), kept.files().count()), (2, 2));
}

#[test]
fn what_is_left_unchecked_is_a_warning() {
    let folder = folder();
    let warned = |access: &str| said(parse(&folder, access).unwrap().1);
    let nameless = "access.m: `issuer` is left out: who issued a token is not checked, only its signature";
    assert_eq!(warned("public_key_file = \"issuer.pem\""), [nameless]);
    assert_eq!(warned("hmac_secret_file = \"hex\"\nformats = \"hdnts\""), Vec::<String>::new());
    let for_others = "access.m: `audience` is left out: tokens that the issuer made for others open this too";
    assert_eq!(warned("issuer = \"i\"\njwks = \"https://i/\""), [for_others]);
    let open = "access.m.hmac_secret_file: everybody on this machine can read the secret";
    assert_eq!(warned("issuer = \"i\"\nhmac_secret_file = \"open\""), [open]);
    let off = |inherit: &str| {
        let text = format!(
            "{REST}live = \"off\"\naccess = \"m\"\n[access.m]\nissuer = \"i\"\n{inherit}\npublic_key_file = \"issuer.pem\"\n"
        );
        let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
        said(Config::parse_on(&machine, &text, folder.path()).unwrap().1)
    };
    let passed =
        "route[0].access: what its playlists name inherits no session: with `live = \"off\"` they pass as they are";
    assert_eq!(off("audience = \"a\""), [passed]);
    assert_eq!(off("audience = \"a\"\ninherit = \"none\""), Vec::<String>::new());
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    let unused = format!("{REST}[access.m]\nissuer = \"i\"\npublic_key_file = \"issuer.pem\"\n");
    let (_, warnings) = Config::parse_on(&machine, &unused, folder.path()).unwrap();
    assert_eq!(said(warnings), ["access.m: no route asks for the access `m`"]);
}

/// What is said of an access, and the key and the beginning of the message that it deserves.
const REFUSED: &[(&str, &str, &str)] = &[
    ("", "access.m", "no key says whose tokens count"),
    (
        "jwks = \"https://i/\"\nhmac_secret_file = \"secret\"",
        "access.m.hmac_secret_file",
        "the keys are in two places at once",
    ),
    ("jwks = \"http://i/jwks\"", "access.m.jwks", "keys that came in cleartext may be anybody's"),
    ("jwks = \"issuer.jwks\"", "access.m.jwks", "not a URL that keys can be fetched from"),
    ("jwks = \"https://user:secret@i/\"", "access.m.jwks", "not a URL that keys can be fetched from"),
    (
        "jwks_file = \"bad.jwks\"",
        "access.m.jwks_file",
        "the key cannot be used: not a JWK set: a list `keys` is missing",
    ),
    ("public_key_file = \"secret\"", "access.m.public_key_file", "the key cannot be used: "),
    ("public_key_file = \"private.pem\"", "access.m.public_key_file", "the key cannot be used: a private key"),
    ("public_key_file = \"none.pem\"", "access.m.public_key_file", "the key cannot be used: it cannot be read: "),
    (
        "hmac_secret_file = \"short\"",
        "access.m.hmac_secret_file",
        "the key cannot be used: a shared secret has at least",
    ),
    (
        "hmac_secret_file = \"issuer.pem\"\nhmac_encoding = \"raw\"",
        "access.m.hmac_secret_file",
        "the key cannot be used: a public key cannot be",
    ),
    (
        "hmac_secret_file = \"secret\"\nhmac_encoding = \"hex\"",
        "access.m.hmac_secret_file",
        "the key cannot be used: it is not hexadecimal",
    ),
    (
        "hmac_secret_file = \"secret\"\nalgorithms = [\"RS256\"]",
        "access.m.hmac_secret_file",
        "the key cannot be used: the key's algorithm",
    ),
    (
        "hmac_secret_file = \"secret\"\nalgorithms = [\"none\"]",
        "access.m.algorithms[0]",
        "not an algorithm that is used here",
    ),
    ("hmac_secret_file = \"secret\"\nleeway = \"61s\"", "access.m.leeway", "out of bounds"),
    (
        "hmac_secret_file = \"secret\"\ncarriers = []",
        "access.m.carriers",
        "a token that is looked for nowhere is never found",
    ),
    (
        "hmac_secret_file = \"secret\"\ncarriers = [\"path\", \"path\"]",
        "access.m.carriers[1]",
        "the carrier is named twice",
    ),
    (
        "hmac_secret_file = \"secret\"\nclaims = { paths = \"p\" }",
        "access.m.claims.paths",
        "claims that may have other names",
    ),
    (
        "hmac_secret_file = \"secret\"\nclaims = { path = \"exp\" }",
        "access.m.claims.path",
        "a claim cannot be called so",
    ),
    ("hmac_secret_file = \"secret\"\nclaims = { path = \"ip\" }", "access.m.claims", "two claims have the same name"),
    (
        "hmac_secret_file = \"secret\"\nnames = { query = [\"a=b\"] }",
        "access.m.names.query[0]",
        "not a name that stands in a URL as it is",
    ),
    (
        "hmac_secret_file = \"secret\"\nnames = { query = [\"CMCD\"] }",
        "access.m.names.query[0]",
        "the name says something else already",
    ),
    (
        "hmac_secret_file = \"secret\"\nnames = { header = [\"Cookie\"] }",
        "access.m.names.header[0]",
        "the field says something else already",
    ),
    (
        "issuer = \"a\"\nissuers = [{ issuer = \"b\", jwks = \"https://b/\" }]",
        "access.m.issuer",
        "issuers are listed, and one stands beside the list",
    ),
    ("issuers = []", "access.m.issuers", "nobody issues tokens"),
    (
        "issuers = [{ issuer = \"a\", jwks = \"https://a/\" }, { jwks = \"https://b/\" }]",
        "access.m.issuers[1]",
        "one of several issuers has no name",
    ),
    (
        "issuers = [{ issuer = \"a\", jwks = \"https://a/\" }, { issuer = \"a\", jwks = \"https://b/\" }]",
        "access.m.issuers[1].issuer",
        "the issuer is listed twice",
    ),
    ("issuers = [{ issuer = \"a\" }]", "access.m.issuers[0]", "no key says whose tokens count"),
];

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let folder = folder();
    for &(access, key, message) in REFUSED {
        let problems = parse(&folder, access).expect_err(access).problems;
        let found = problems.iter().find(|problem| problem.key == key && problem.message.starts_with(message));
        assert!(found.is_some(), "{access}: {problems:?}");
        assert_eq!(problems.len(), 1, "{access}: {problems:?}");
        assert!(problems[0].remedy.is_some() || problems[0].accepted.is_some(), "{access}");
    }
}

#[test]
fn a_route_names_an_access_that_is_there() {
    let folder = folder();
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    let text = format!("{REST}access = \"member\"\n[access.members]\nissuer = \"i\"\nhmac_secret_file = \"secret\"\n");
    let problems = Config::parse_on(&machine, &text, folder.path()).unwrap_err().problems;
    assert_eq!(said(problems.clone()), ["route[0].access: there is no access `member`"]);
    assert_eq!(problems[0].remedy.as_deref(), Some("did you mean \"members\"?"));
}

#[test]
fn a_node_has_one_secret_and_the_one_before_it() {
    let folder = folder();
    let (new, old) = ("f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff", "bCdEfGhIjK".repeat(4));
    write(&folder, "node.keys", &format!("# made in November\n{new}\n\n# until December\n{old}\n"), 0o600);
    let read = |name: &str| crate::config::Secrets::read(&folder.path().join(name));
    let secrets = read("node.keys").unwrap();
    assert_eq!((secrets.current.len(), secrets.previous.as_ref().map(|old| old.len())), (32, Some(30)));
    let path = folder.path().join("node.keys");
    assert_eq!(format!("{secrets:?}"), format!("Secrets {{ path: {path:?}, .. }}"), "no secret is printed");
    for (text, fault) in [
        ("", "there is no secret in it"),
        ("# nothing\n", "there is no secret in it"),
        ("f0e1d2c3b4a59687\n", "the secret of line 1 has fewer than 16 octets"),
        ("\n!!!!\n", "line 2 is neither hexadecimal digits nor base64"),
        ("00000000000000000000000000000000\n", "the secret of line 1 can be guessed: it repeats few octets"),
        (
            "f0e1d2c3b4a59687f0e1d2c3b4a59688\nf0e1d2c3b4a59687f0e1d2c3b4a59689\nf0e1d2c3b4a59687f0e1d2c3b4a59690\n",
            "it has more than two lines, and nothing is older than the previous secret",
        ),
    ] {
        write(&folder, "bad.keys", text, 0o600);
        assert_eq!(read("bad.keys").unwrap_err().to_string(), fault, "{text}");
    }
}

#[test]
fn secrets_that_everybody_reads_or_guesses_are_named() {
    let folder = folder();
    write(&folder, "node.keys", "f0e1d2c3b4a59687f0e1d2c3b4a59688\n", 0o604);
    write(&folder, "admin", "changeme-changeme-", 0o600);
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    let text = REST.replace("state = \"state\"", "secrets = \"node.keys\"")
        + "[[admin.tokens]]\nfile = \"admin\"\nroles = [\"view\"]\n";
    let (config, warnings) = Config::parse_on(&machine, &text, folder.path()).unwrap();
    assert!(config.node.secrets.is_some());
    assert_eq!(
        said(warnings),
        [
            "node.secrets: everybody on this machine can read the secret",
            "node.secrets: the node's secret has fewer than 32 octets",
            "admin.tokens[0].file: the secret can be guessed: it repeats few characters",
        ]
    );
    let missing = text.replace("node.keys", "none.keys");
    let problems = Config::parse_on(&machine, &missing, folder.path()).unwrap_err().problems;
    assert_eq!(problems[0].key, "node.secrets");
}
