//! Who is let in, how fast they may go, and from where, in sentences.

use crate::config::value::{rough_bits, rough_size, write_time};
use crate::config::{Capacity, Config, Rate, Route};
use crate::rules::admission::capacity::{Resource, WhenFull};
use crate::rules::admission::country::Country;

/// What is configured of it.
pub(super) fn sentences(config: &Config) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(capacity) = &config.capacity {
        sentences.push(room(capacity));
        sentences.extend(config.routes.iter().filter_map(|route| promise(route, capacity)));
    }
    sentences.extend(config.routes.iter().filter_map(|route| countries(route, config)));
    sentences.extend(of_sessions(config));
    sentences.extend(of_addresses(config));
    sentences
}

fn room(capacity: &Capacity) -> String {
    let of = |resource: Resource| {
        let bound = capacity.rule.bounds[resource as usize]?;
        Some(match resource {
            Resource::Egress => format!("{} are sent", rough_bits(bound)),
            Resource::Connections => format!("{bound} connections live"),
            Resource::Memory => format!("the process takes {}", rough_size(bound)),
            Resource::Cpu => format!("{} % of its cores are busy", bound / 10),
        })
    };
    let bounds: Vec<_> = Resource::ALL.into_iter().filter_map(of).collect();
    if bounds.is_empty() {
        return "Everybody is let in: [capacity] says nothing of what the node can do.".to_owned();
    }
    let then = match capacity.rule.when_full {
        WhenFull::Refuse => String::new(),
        WhenFull::LowerLadder => " The last eighth of egress goes to viewers without the upper variants.".to_owned(),
    };
    let tiers = match capacity.tiers.as_slice() {
        [] => String::new(),
        tiers => format!(
            " For each of {}, {} % of it is kept free of those below.",
            tiers.join(", "),
            capacity.rule.share / 10
        ),
    };
    format!(
        "Once {}, new viewers are told to come back in {}, and those who play go on.{tiers}{then}",
        bounds.join(", or "),
        write_time(capacity.retry_after)
    )
}

fn promise(route: &Route, capacity: &Capacity) -> Option<String> {
    match (route.promise.viewers, route.promise.bit_rate) {
        (0, None) if capacity.rule.bounds[Resource::Egress as usize].is_some() => {
            Some(format!("Route `{}` names no bitrate: what its viewers take is known once they take it.", route.name))
        }
        (0, _) => None,
        (viewers, _) => {
            let egress = rough_bits(route.promise.egress());
            Some(format!("For route `{}`, {egress} are kept: {viewers} viewers.", route.name))
        }
    }
}

fn countries(route: &Route, config: &Config) -> Option<String> {
    let list = |countries: &[Country]| countries.iter().map(Country::code).collect::<Vec<_>>().join(", ");
    let (allow, deny) = (&route.countries.allow, &route.countries.deny);
    let served = match (allow.is_empty(), deny.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("in {} alone", list(allow)),
        (true, false) => format!("everywhere but in {}", list(deny)),
        (false, false) => format!("in {}, and not in {}", list(allow), list(deny)),
    };
    let by = match (&config.geo.header, &config.geo.database) {
        (Some(header), None) => format!("as {header} of a trusted proxy says"),
        (Some(header), Some(_)) => format!("as {header} of a trusted proxy says, else the database"),
        (None, _) => "as the database says".to_owned(),
    };
    let unknown = if route.countries.judge(None).is_ok() { "served" } else { "refused" };
    let name = &route.name;
    Some(format!("Route `{name}` is served {served}, {by}; viewers of whom it is not known are {unknown}."))
}

fn of_sessions(config: &Config) -> Option<String> {
    let limits = &config.limits;
    let mut said = Vec::new();
    said.extend(
        (limits.requests_per_session != Rate::NONE).then(|| format!("{:?} requests", limits.requests_per_session)),
    );
    said.extend(
        (limits.connections_per_session > 0).then(|| format!("{} connections", limits.connections_per_session)),
    );
    said.extend((limits.session_rate > 0).then(|| format!("{} a second", rough_size(limits.session_rate))));
    (!said.is_empty()).then(|| format!("A session may have {}.", said.join(", ")))
}

fn of_addresses(config: &Config) -> Option<String> {
    let limits = &config.limits;
    let mut said = Vec::new();
    said.extend(
        (limits.requests_per_prefix != Rate::NONE).then(|| format!("{:?} requests", limits.requests_per_prefix)),
    );
    said.extend((limits.connections_per_prefix > 0).then(|| format!("{} connections", limits.connections_per_prefix)));
    let (v4, v6) = (limits.ipv4_prefix, limits.ipv6_prefix);
    (!said.is_empty()).then(|| {
        format!("An address prefix (IPv4 /{v4}, IPv6 /{v6}) may have {}: many may share one.", said.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Machine;

    #[test]
    fn what_is_configured_is_said_and_nothing_else() {
        let read = |route: &str, tables: &str| {
            let machine = Machine { name: "edge".to_owned(), cores: 2, memory: 8 << 30 };
            let text = format!(
                "[listen]\nhttp = [\"[::]:80\"]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[origins.o]\nurl = \"http://o\"\n\
                 [[route]]\nname = \"live\"\norigins = [\"o\"]\n{route}\n{tables}"
            );
            sentences(&Config::parse_on(&machine, &text, Path::new("/")).unwrap_or_else(|wrong| panic!("{wrong}")).0)
        };
        assert_eq!(read("", ""), Vec::<String>::new());
        let capacity = "[capacity]\negress = \"10Gbit/s\"\ncpu = \"85%\"\ntiers = [\"gold\"]\n";
        assert_eq!(
            read("viewers = 100\nbitrate = \"6Mbit/s\"", capacity),
            [
                "Once 10 Gbit/s are sent, or 85 % of its cores are busy, new viewers are told to come back in 10s, and \
                 those who play go on. For each of gold, 5 % of it is kept free of those below.",
                "For route `live`, 600 Mbit/s are kept: 100 viewers.",
            ]
        );
        let rest =
            "[geo]\nheader = \"x-country\"\n[limits]\nrequests_per_session = \"50/s\"\nconnections_per_prefix = 9\n";
        assert_eq!(
            read("countries = { allow = [\"DE\"] }", rest),
            [
                "Route `live` is served in DE alone, as x-country of a trusted proxy says; viewers of whom it is not known \
                 are refused.",
                "A session may have 50/s requests.",
                "An address prefix (IPv4 /32, IPv6 /56) may have 9 connections: many may share one.",
            ]
        );
    }
}
