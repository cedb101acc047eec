//! `[capacity]`, `[geo]`, and the keys of a `[[route]]` that go with them: how much the node can do, who goes first, where
//! viewers are, and what is kept for whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place, Report};
use super::origin::field_name;
use super::route::Typed;
use super::{Config, Machine, Route, material, value};
use crate::rules::admission::capacity::{self, Resource, WhenFull};
use crate::rules::admission::country::{Countries, Country, Unknown};

/// A database of countries is read into memory.
const LARGEST_DATABASE: u64 = 512 << 20;
/// Kept free for each tier unless the file says otherwise, in per cent.
const SHARE: u64 = 5;
/// More tiers than anybody sells.
const TIERS: usize = 8;

/// `[capacity]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// What the node has, by resource, and what becomes of those for whom there is no room.
    pub rule: capacity::Capacity,
    /// Names of tiers, the highest first.
    pub tiers: Vec<String>,
    /// When those who are refused are told to come back.
    pub retry_after: Duration,
    /// For how long a viewer of an open route counts as playing after a request.
    pub viewer_idle: Duration,
    /// Viewers that are remembered at once.
    pub viewers: usize,
}

impl Capacity {
    /// The rank of a tier: 0 is the highest, and whoever has none that is named here comes after the lowest.
    pub fn rank(&self, tier: Option<&str>) -> usize {
        let named = |tier: &str| self.tiers.iter().position(|name| name == tier);
        tier.and_then(named).unwrap_or(self.tiers.len())
    }
}

/// `[geo]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geo {
    /// The field by which a trusted proxy says it.
    pub header: Option<HeaderName>,
    /// The database (MaxMind DB) that says it of an address.
    pub database: Option<PathBuf>,
    /// What becomes of viewers of whom it is not known.
    pub unknown: Unknown,
}

impl Geo {
    /// Whether anything says where viewers are.
    pub fn is_known(&self) -> bool {
        self.header.is_some() || self.database.is_some()
    }

    /// A route that treats viewers of whom it is not known as is said here.
    pub(super) fn applied(&self, mut route: Route) -> Route {
        route.countries.unknown = self.unknown;
        route
    }
}

/// What is kept for a route of the node's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// So many viewers; 0: none.
    pub viewers: u64,
    /// What one of them takes at most, in bits per second; `None`: what viewers take on average.
    pub bit_rate: Option<u64>,
}

impl Promise {
    /// What all its viewers take, in bits per second.
    pub fn egress(self) -> u64 {
        self.viewers.saturating_mul(self.bit_rate.unwrap_or_default())
    }
}

/// `[capacity]`
pub(super) fn capacity(section: Option<Section<'_>>, machine: &Machine) -> Option<Capacity> {
    let mut section = section?;
    let s = &mut section;
    let egress = s.value("egress").and_then(|value| bit_rate(&value));
    let connections = s.value("connections").and_then(|value| value.count(1..=10_000_000));
    let memory = s.value("memory").and_then(|value| memory(&value, machine));
    let cpu = s.value("cpu").and_then(|value| share(&value, 100)).map(|share| share * 10);
    let tiers = s.value("tiers").map(|value| tiers(&value)).unwrap_or_default();
    let tier_share = s.value("tier_share");
    let most = 50 / tiers.len().max(1) as u64;
    let share = tier_share.and_then(|value| share(&value, most)).unwrap_or(SHARE.min(most));
    let words = [("refuse", WhenFull::Refuse), ("lower-ladder", WhenFull::LowerLadder)];
    let when_full = s.value("when_full").and_then(|value| value.choice(&words)).unwrap_or_default();
    let mut time = |key, default| s.value(key).and_then(|value| value.time(ms(1_000..3_600_000))).unwrap_or(default);
    let retry_after = time("retry_after", Duration::from_secs(10));
    let viewer_idle = time("viewer_idle", Duration::from_secs(60));
    let viewers = s.value("viewers").and_then(|value| value.count(1..=10_000_000)).unwrap_or(1_000_000);
    let place = section.place.clone();
    section.finish();
    let bounds = [egress, connections, memory, cpu];
    if bounds.iter().all(Option::is_none) {
        let complaint = Complaint::new("nothing says how much the node can do, so everybody is let in");
        place.warn(complaint.remedy("add `egress = \"10Gbit/s\"`, `connections`, `memory` or `cpu`"));
    }
    let rule = capacity::Capacity { bounds, tiers: tiers.len(), share: share * 10, when_full };
    let viewers = usize::try_from(viewers).unwrap_or(usize::MAX);
    Some(Capacity { rule, tiers, retry_after, viewer_idle, viewers })
}

fn bit_rate(value: &Value<'_>) -> Option<u64> {
    value.measured("not a bit rate", value::bit_rate, (1_000..=1 << 50, value::BIT_RATES))
}

fn share(value: &Value<'_>, most: u64) -> Option<u64> {
    value.measured("not a share", value::share, (1..=most, &format!("a share from \"1%\" to \"{most}%\"")))
}

fn memory(value: &Value<'_>, machine: &Machine) -> Option<u64> {
    let memory = value.size(1 << 20..=1 << 50)?;
    if memory > machine.memory {
        let most = value::rough_size(machine.memory);
        let complaint = Complaint::new(format!("more memory than the {most} that this process may use"));
        value.place.warn(complaint.found(value.place.typed()).remedy(format!("less than {most}, or leave it out")));
    }
    Some(memory)
}

fn tiers(value: &Value<'_>) -> Vec<String> {
    let mut tiers: Vec<String> = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(tier) = item.text() else { continue };
        if tiers.iter().any(|other| other == tier) {
            item.place.refuse(Complaint::new(format!("the tier `{tier}` is named twice")).remedy("name it once"));
        } else if tiers.len() == TIERS {
            item.place.refuse(Complaint::new("too many tiers").accepted(format!("up to {TIERS}, the highest first")));
        } else {
            tiers.push(tier.to_owned());
        }
    }
    tiers
}

/// `[geo]`
pub(super) fn geo(section: Option<Section<'_>>, base: &Path) -> Geo {
    let Some(mut section) = section else { return Geo::default() };
    let header = section.value("header").and_then(|value| field_name(value.text()?, &value.place));
    let database = section.value("database").and_then(|value| database(&value, base));
    let words = [("by-rule", Unknown::ByRule), ("allow", Unknown::Allow), ("refuse", Unknown::Refuse)];
    let unknown = section.value("unknown").and_then(|value| value.choice(&words)).unwrap_or_default();
    section.finish();
    Geo { header, database, unknown }
}

fn database(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    let path = base.join(value.text()?);
    let refuse = |message: String, remedy: &str| {
        value.place.refuse(Complaint::new(message).found(path.display().to_string()).remedy(remedy));
        None
    };
    let octets = match material::read_up_to(&path, LARGEST_DATABASE) {
        Ok(octets) => octets,
        Err(error) => return refuse(format!("the database cannot be read: {error}"), "name a readable file"),
    };
    match maxminddb::Reader::from_source(octets) {
        Ok(_) => Some(path),
        Err(error) => refuse(format!("no database of countries: {error}"), "name a MaxMind DB (.mmdb)"),
    }
}

/// `countries = { allow, deny }` of a route.
pub(super) fn countries<'a>(value: Option<Value<'a>>) -> (Countries, Option<Place<'a>>) {
    let Some(value) = value else { return (Countries::default(), None) };
    let Some(mut section) = value.table() else { return (Countries::default(), None) };
    let mut list = |key| section.value(key).map(|value| codes(&value)).unwrap_or_default();
    let countries = Countries { allow: list("allow"), deny: list("deny"), unknown: Unknown::ByRule };
    section.finish();
    (countries, Some(value.place))
}

fn codes(value: &Value<'_>) -> Vec<Country> {
    value.one_or_many().unwrap_or_default().iter().filter_map(code).collect()
}

fn code(value: &Value<'_>) -> Option<Country> {
    let text = value.text()?;
    let country = Country::of(text.as_bytes()).filter(|country| country.code() == text);
    if country.is_none() {
        let meant = Country::of(text.as_bytes()).map(|country| country.code().to_owned());
        let meant = meant.or_else(|| Country::meant(text).map(str::to_owned));
        let complaint = Complaint::new("not a country").found(value.place.typed());
        let complaint = complaint.accepted("codes of ISO 3166-1 in two capital letters, like \"DE\"");
        value.place.refuse(complaint.perhaps(meant.map(|meant| format!("did you mean \"{meant}\"?"))));
    }
    country
}

/// `viewers` and `bitrate` of a route.
pub(super) fn promise(section: &mut Section<'_>) -> Promise {
    let viewers = section.value("viewers");
    let bit_rate_value = section.value("bitrate");
    let promise = Promise {
        viewers: viewers.as_ref().and_then(|value| value.count(0..=10_000_000)).unwrap_or_default(),
        bit_rate: bit_rate_value.as_ref().and_then(bit_rate),
    };
    if let (Some(viewers), None) = (viewers.filter(|_| promise.viewers > 0), &bit_rate_value) {
        let complaint = Complaint::new("what is kept for these viewers is not known");
        viewers.place.refuse(complaint.remedy("add `bitrate = \"6Mbit/s\"`: what one of them takes at most"));
    }
    promise
}

/// What these keys say together with the rest of the file.
pub(super) fn together(config: &Config, report: &Report, routes: &[Typed<'_>]) {
    if config.geo.header.is_some() && config.listen.trusted_proxies.is_empty() && report.is_sure_of("listen") {
        let complaint = Complaint::new("nobody is believed who says where a viewer is");
        let remedy = "add the proxies that set `geo.header` to `trusted_proxies` in [listen]";
        report.refuse_absence(&report.file(), "geo", complaint.remedy(remedy));
    }
    for typed in routes {
        let Some(place) = typed.countries.as_ref().filter(|_| !typed.route.countries.are_all()) else { continue };
        if !config.geo.is_known() {
            let complaint = Complaint::new("nothing says where viewers are");
            let remedy = "add [geo] with `database`, or with the `header` of a trusted proxy";
            report.refuse_absence(place, "geo", complaint.remedy(remedy));
        }
        let twice = typed.route.countries.allow.iter().find(|country| typed.route.countries.deny.contains(country));
        if let Some(country) = twice {
            let complaint = Complaint::new(format!("{country:?} is both allowed and denied"));
            place.refuse(complaint.remedy("name it once"));
        }
    }
    promises(config, report, routes);
}

/// What is promised must be there.
fn promises(config: &Config, report: &Report, routes: &[Typed<'_>]) {
    let promised: u64 = routes.iter().map(|typed| typed.route.promise.egress()).fold(0, u64::saturating_add);
    let Some(last) = routes.iter().rev().find(|typed| typed.route.promise.viewers > 0) else { return };
    let egress = config.capacity.as_ref().and_then(|capacity| capacity.rule.bounds[Resource::Egress as usize]);
    match egress {
        Some(egress) if promised > egress => {
            let complaint = Complaint::new("more is promised to routes than the node can send");
            let found = format!("{} of {}", value::rough_bits(promised), value::rough_bits(egress));
            last.place
                .refuse(complaint.found(found).remedy("promise fewer `viewers`, or raise `egress` in [capacity]"));
        }
        Some(_) => {}
        None => {
            let complaint = Complaint::new("`viewers` promises a part of what nobody knows");
            let remedy = "add [capacity] with `egress = \"10Gbit/s\"`: what the node can send";
            report.refuse_absence(&last.place, "capacity", complaint.remedy(remedy));
        }
    }
}

#[cfg(test)]
mod tests;
