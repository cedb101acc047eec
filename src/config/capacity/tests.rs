use super::*;
use crate::config::{Limits, Role};

const SMALLEST: &str =
    "[listen]\nhttp = [\"[::]:8080\"]\n[origins.a]\nurl = \"http://h\"\n[[route]]\norigins = [\"a\"]\n";

fn parse(text: &str) -> Result<(Config, Vec<crate::config::Finding>), crate::config::Problems> {
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    Config::parse_on(&machine, text, Path::new("/etc/weir"))
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// The only problem of a text, with its remedy.
fn problem(text: &str) -> String {
    let problems = parse(text).expect_err("it is broken").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    format!("{}: {}; {}", problem.key, problem.message, problem.remedy.as_deref().unwrap_or_default())
}

#[test]
fn capacity_is_read_with_its_units() {
    let config = good(&format!(
        "{SMALLEST}viewers = 100\nbitrate = \"6Mbit/s\"\n[capacity]\negress = \"1Gbit/s\"\ncpu = \"85%\"\nmemory = \"1GiB\"\n\
         tiers = [\"gold\", \"silver\"]\ntier_share = \"10%\"\nwhen_full = \"lower-ladder\"\n"
    ));
    let capacity = config.capacity.unwrap();
    assert_eq!(capacity.rule.bounds, [Some(1_000_000_000), None, Some(1 << 30), Some(850)]);
    assert_eq!((capacity.rule.tiers, capacity.rule.share, capacity.rule.when_full), (2, 100, WhenFull::LowerLadder));
    let rank = |tier| capacity.rank(tier);
    assert_eq!([rank(Some("gold")), rank(Some("silver")), rank(Some("iron")), rank(None)], [0, 1, 2, 2]);
    assert_eq!(config.routes[0].promise.egress(), 600_000_000);
    assert_eq!(good(SMALLEST).capacity, None);
}

#[test]
fn what_is_promised_must_be_there() {
    let promise = "viewers = 200\nbitrate = \"6Mbit/s\"\n";
    assert!(problem(&format!("{SMALLEST}{promise}")).contains("`viewers` promises a part of what nobody knows"));
    let of_small = format!("{SMALLEST}{promise}[capacity]\negress = \"1Gbit/s\"\n");
    assert!(problem(&of_small).contains("more is promised to routes than the node can send"));
    let without = format!("{SMALLEST}viewers = 1\n[capacity]\negress = \"1Gbit/s\"\n");
    assert!(problem(&without).contains("what is kept for these viewers is not known"));
}

#[test]
fn countries_are_codes_and_somebody_must_know_them() {
    let of = |countries: &str, geo: &str| {
        let listen = SMALLEST.replace("[origins.a]", "trusted_proxies = [\"10.0.0.0/8\"]\n[origins.a]");
        format!("{listen}countries = {countries}\n{geo}")
    };
    let geo = "[geo]\nheader = \"CF-IPCountry\"\n";
    let config = good(&of("{ allow = [\"DE\", \"AT\"] }", &format!("{geo}unknown = \"allow\"\n")));
    assert_eq!(format!("{:?}", config.routes[0].countries.allow), "[DE, AT]");
    assert_eq!((config.routes[0].countries.unknown, config.geo.unknown), (Unknown::Allow, Unknown::Allow));
    assert!(problem(&of("{ allow = [\"UK\"] }", geo)).ends_with("not a country; did you mean \"GB\"?"));
    assert!(problem(&of("{ deny = [\"de\"] }", geo)).ends_with("not a country; did you mean \"DE\"?"));
    assert!(problem(&of("{ deny = [\"DE\"] }", "")).contains("nothing says where viewers are"));
    assert!(problem(&of("{ allow = [\"DE\"], deny = [\"DE\"] }", geo)).contains("DE is both allowed and denied"));
    assert!(problem(&format!("{SMALLEST}{geo}")).contains("nobody is believed who says where a viewer is"));
    assert!(problem(&of("{}", "[geo]\ndatabase = \"nowhere.mmdb\"\n")).contains("the database cannot be read"));
}

#[test]
fn limits_of_sessions_carry_units_and_leave_room_for_playback() {
    let config = good(&format!("{SMALLEST}[limits]\nrequests_per_session = \"50/s\"\nsession_rate = \"2MiB/s\"\n"));
    assert_eq!((config.limits.requests_per_session.count, config.limits.session_rate), (50, 2 << 20));
    assert_eq!(Limits { requests_per_session: value::Rate::NONE, session_rate: 0, ..config.limits }, Limits::default());
    let wrong = |line: &str| problem(&format!("{SMALLEST}[limits]\n{line}\n"));
    assert!(wrong("session_rate = \"1KiB/s\"").contains("no video plays at this rate"));
    assert!(wrong("requests_per_prefix = \"50\"").ends_with("not a rate; did you mean \"50/s\"?"));
}

#[test]
fn a_token_for_a_backend_may_end_sessions_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("t");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let read = |rest: &str| {
        let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
        let text = format!("{SMALLEST}[[admin.tokens]]\nfile = \"t\"\n{rest}\n");
        Config::parse_on(&machine, &text, folder.path())
    };
    let (config, warnings) = read("roles = [\"revoke\", \"release\"]").unwrap();
    assert_eq!((&config.admin.tokens[0].roles[..], warnings), (&[Role::Revoke, Role::Release][..], Vec::new()));
    let problems = read("roles = [\"revok\"]").unwrap_err().problems;
    assert_eq!(problems[0].remedy.as_deref(), Some("did you mean \"revoke\"?"));
    let problems = read("roles = [\"revoke\"]\naccess = [\"members\"]").unwrap_err().problems;
    assert_eq!(problems[0].message, "there is no access `members`");
    let members = "[access.members]\nhmac_secret_file = \"t\"\n";
    let (config, _) = read(&format!("roles = [\"revoke\"]\naccess = [\"members\"]\n{members}")).unwrap();
    assert_eq!(config.admin.tokens[0].access, ["members"]);
    let (_, warnings) = read(&format!("roles = [\"view\"]\naccess = [\"members\"]\n{members}")).unwrap();
    let warnings: Vec<_> =
        warnings.into_iter().filter(|warning| warning.key.contains("admin.tokens[0].access")).collect();
    assert!(warnings[0].message.contains("may end none"), "{warnings:?}");
}
