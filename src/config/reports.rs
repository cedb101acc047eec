//! The keys that say what is taken of players' reports: of the whole node, and of one route.

use super::file::{Section, Value};
use super::finding::Complaint;
use crate::rules::qoe::read::{Allow, Fingerprints};

/// What `qoe.requests` looks like.
const SHARES: &str = "\"1/1\", \"1/10\" and so on: of so many sessions one; \"0/1\" is none";

/// What is taken of players' reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// Whether bodies of reports are taken at all.
    pub beacons: bool,
    /// Of how many sessions one has what its requests say kept; 0: of none.
    pub requests: u32,
    /// What is kept beyond the keys that tell of nobody.
    pub allow: Allow,
}

impl Default for Intake {
    fn default() -> Self {
        Self { beacons: true, requests: 1, allow: Allow::default() }
    }
}

/// What a route takes of players' reports, and passes on of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reporting {
    /// What is kept of them.
    pub beacons: Kept,
    /// What becomes of CMCD on the way to the origin.
    pub cmcd: Cmcd,
    /// Whether players are told of each transmission (CMSD); `None`: as the node does.
    pub cmsd: Option<bool>,
    /// What takes how long.
    pub timing: Timing,
}

/// `route.server_timing`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// It is told.
    #[default]
    Told,
    /// It is not.
    Kept,
}

/// `route.beacons`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// What they say.
    #[default]
    All,
    /// How playback goes, and nothing that outlives the session: states and errors.
    Essential,
    /// Nothing.
    Off,
}

/// `route.cmcd`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cmcd {
    /// It is cut out of requests.
    #[default]
    Strip,
    /// It goes along where a request goes to the origin for its viewer.
    Forward,
}

/// The keys of `[qoe]`.
pub(super) fn intake(section: &mut Section<'_>) -> Intake {
    let default = Intake::default();
    let beacons = section.value("beacons").and_then(|value| value.flag()).unwrap_or(default.beacons);
    let requests = section.value("requests").and_then(|value| share(&value)).unwrap_or(default.requests);
    let custom = section.value("custom_keys").and_then(|value| value.list()).unwrap_or_default();
    let fingerprints = section.value("fingerprints").and_then(|value| value.flag()).unwrap_or(false);
    let allow = Allow {
        custom: custom.iter().filter_map(custom_key).collect(),
        fingerprints: if fingerprints { Fingerprints::Kept } else { Fingerprints::Dropped },
    };
    Intake { beacons, requests, allow }
}

/// The keys of a route.
pub(super) fn reporting(section: &mut Section<'_>) -> Reporting {
    const KEPT: [(&str, Kept); 3] = [("all", Kept::All), ("essential", Kept::Essential), ("off", Kept::Off)];
    const CMCD: [(&str, Cmcd); 2] = [("strip", Cmcd::Strip), ("forward", Cmcd::Forward)];
    let beacons = section.value("beacons").and_then(|value| value.choice(&KEPT));
    let cmcd = section.value("cmcd").and_then(|value| value.choice(&CMCD));
    let cmsd = section.value("cmsd").and_then(|value| value.flag());
    let timing = section.value("server_timing").and_then(|value| value.flag());
    let timing = if timing == Some(false) { Timing::Kept } else { Timing::Told };
    Reporting { beacons: beacons.unwrap_or_default(), cmcd: cmcd.unwrap_or_default(), cmsd, timing }
}

fn share(value: &Value<'_>) -> Option<u32> {
    let text = value.text()?;
    let share = match text.split_once('/') {
        Some(("0", "1")) => Some(0),
        Some(("1", of)) => of.parse().ok().filter(|of| (1..=1_000_000).contains(of)),
        _ => None,
    };
    if share.is_none() {
        value.place.refuse(Complaint::new("not a share").found(value.place.typed()).accepted(SHARES));
    }
    share
}

/// A name, or the beginning of names (CTA-5004-B §4.1.5: a prefix with a hyphen, in reverse DNS).
fn custom_key(value: &Value<'_>) -> Option<Box<str>> {
    let text = value.text()?;
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_one =
        name.contains('-') && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet));
    if !is_one {
        let complaint = Complaint::new("not a custom key").found(value.place.typed());
        value.place.refuse(complaint.accepted("names with a hyphen like \"com.example-player\" or \"com.example-*\""));
        return None;
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Machine, Problems};

    fn config(qoe: &str, route: &str) -> Result<Config, Problems> {
        let text = format!(
            "[listen]\nhttp = [\"[::]:8080\"]\n[qoe]\n{qoe}\n[origins.a]\nurl = \"http://h\"\n[[route]]\norigins = [\"a\"]\n{route}\n"
        );
        let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
        Config::parse_on(&machine, &text, Path::new("/")).map(|(config, _)| config)
    }

    #[test]
    fn all_is_taken_where_nothing_is_said_and_what_is_said_is_done() {
        let plain = config("", "").unwrap();
        assert_eq!(plain.qoe.intake, Intake::default());
        assert_eq!(plain.routes[0].reporting, Reporting::default());
        let keys =
            "beacons = false\nrequests = \"1/50\"\ncustom_keys = [\"com.example-*\", \"org.a-b\"]\nfingerprints = true";
        let said = config(keys, "beacons = \"essential\"\ncmcd = \"forward\"").unwrap();
        let allow =
            Allow { custom: ["com.example-*".into(), "org.a-b".into()].into(), fingerprints: Fingerprints::Kept };
        assert_eq!(said.qoe.intake, Intake { beacons: false, requests: 50, allow });
        assert_eq!(
            said.routes[0].reporting,
            Reporting { beacons: Kept::Essential, cmcd: Cmcd::Forward, ..Reporting::default() }
        );
        assert_eq!(config("requests = \"0/1\"", "").unwrap().qoe.intake.requests, 0);
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (qoe, route, told) in [
            ("requests = \"2/3\"", "", "not a share"),
            ("requests = \"1/0\"", "", "not a share"),
            ("requests = \"all\"", "", "not a share"),
            ("custom_keys = [\"br\"]", "", "not a custom key"),
            ("custom_keys = [\"*\"]", "", "not a custom key"),
            ("custom_keys = [\"com.example-a b\"]", "", "not a custom key"),
            ("beacon = true", "", "unknown key"),
            ("", "beacons = \"some\"", "beacons"),
            ("", "cmcd = true", "cmcd"),
        ] {
            let problems = config(qoe, route).unwrap_err().to_string();
            assert!(problems.contains(told), "{qoe} {route}: {problems}");
        }
    }
}
