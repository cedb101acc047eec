//! What no table can know alone: names that must exist elsewhere, addresses that collide, doors without a lock.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::access::Inherit;
use super::file::Value;
use super::finding::{Complaint, Place, Report};
use super::route::Typed;
use super::suggest::nearest;
use super::{Address, Config, HostHeader, LiveMode, access, origin};

/// Checks the whole against its parts.
pub(super) fn whole<'a>(
    config: &Config,
    report: &'a Report,
    addresses: &[(Place<'a>, Address)],
    (origins, typed_accesses, routes): (&[origin::Typed<'a>], &[access::Typed<'a>], &[Typed<'a>]),
) {
    doors(config, report, addresses);
    names(report, origins, routes);
    accesses(report, typed_accesses, routes);
    memory_of_sessions(config, typed_accesses);
    routes.iter().for_each(|route| warmth(route, origins));
    for (index, later) in routes.iter().enumerate() {
        if let Some(earlier) = routes[..index].iter().find(|earlier| takes_all(earlier, later)) {
            let place = later.path.as_ref().unwrap_or(&later.place);
            let complaint = Complaint::new("no request reaches this route");
            let found = format!("the earlier route `{}` takes all of it", earlier.route.name);
            place.warn(complaint.found(found).remedy("put the more specific route first"));
        }
    }
    if routes.is_empty() {
        let complaint = Complaint::new("there is no route, so nothing is served");
        report.refuse_absence(
            &report.file(),
            "route",
            complaint.remedy("add a `[[route]]` with `origins = [\"NAME\"]`"),
        );
    }
}

fn doors<'a>(config: &Config, report: &'a Report, addresses: &[(Place<'a>, Address)]) {
    let listen = &config.listen;
    if listen.http.is_empty() && listen.https.is_empty() {
        let complaint = Complaint::new("there is no listener for viewers");
        report.refuse_absence(
            &report.file(),
            "listen",
            complaint.remedy("add `[listen]` with `http = [\"[::]:8080\"]`"),
        );
    }
    let place_of =
        |address: &Address| addresses.iter().find(|(_, other)| other == address).map(|(place, _)| place.clone());
    if let Some(first) = listen.https.first()
        && config.tls.certificates.is_empty()
    {
        let complaint = Complaint::new("`https` needs a certificate, and there is none");
        let remedy = "add `[tls]` with `certificates = [{ cert = \"edge.pem\", key = \"edge.key\" }]`";
        let place = place_of(&first.address).unwrap_or_else(|| report.file());
        report.refuse_absence(&place, "tls", complaint.remedy(remedy));
    }
    for (index, (place, address)) in addresses.iter().enumerate() {
        if let Some((earlier, other)) = addresses[..index].iter().find(|(_, other)| collide(address, other)) {
            let complaint = Complaint::new(format!("`{}` already listens there", earlier.key));
            let found = format!("{address} beside {other}");
            place.refuse(complaint.found(found).remedy("give each listener a port of its own"));
        }
    }
    if let Some(admin @ Address::Socket(address)) = &listen.admin
        && !address.ip().is_loopback()
    {
        let no_key = config.admin.tokens.is_empty() && config.admin.client_ca.is_none();
        let no_tls = config.admin.certificate.is_none() && config.tls.certificates.is_empty();
        let remedy = match (no_key, no_tls) {
            (false, false) => return,
            (true, false) => "add `[[admin.tokens]]`, or `client_ca` in `[admin]`",
            (false, true) => "add `certificate = { cert = …, key = … }` in `[admin]`, or a certificate in `[tls]`",
            (true, true) => "listen on 127.0.0.1 or \"unix:…\", or add a certificate and `[[admin.tokens]]`",
        };
        let complaint = Complaint::new("the admin API off loopback needs a lock").found(admin.to_string());
        let complaint = complaint.accepted("TLS, with a token or a client certificate").remedy(remedy);
        report.refuse_absence(&place_of(admin).unwrap_or_else(|| report.file()), "admin", complaint);
    }
}

/// Whether two listeners cannot both have what they ask for.
fn collide(left: &Address, right: &Address) -> bool {
    match (left, right) {
        (Address::Socket(left), Address::Socket(right)) => {
            left.port() == right.port() && left.port() != 0 && (covers(left, right) || covers(right, left))
        }
        _ => left == right,
    }
}

/// Whether a socket at `wide` also takes what is sent to `narrow`; `[::]` is dual-stack.
fn covers(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    match (wide.ip(), narrow.ip()) {
        (IpAddr::V6(wide), _) if wide.is_unspecified() => true,
        (IpAddr::V4(wide), IpAddr::V4(_)) if wide.is_unspecified() => true,
        (wide, narrow) => wide == narrow,
    }
}

fn names<'a>(report: &Report, origins: &[origin::Typed<'a>], routes: &[Typed<'a>]) {
    let mut unused: BTreeMap<&str, &Place<'a>> =
        origins.iter().map(|typed| (typed.name.as_str(), &typed.place)).collect();
    let defined: Vec<&str> = unused.keys().copied().collect();
    let mut labels: BTreeMap<&str, &Typed<'a>> = BTreeMap::new();
    for typed in routes {
        let mut seen: Vec<&str> = Vec::new();
        for value in &typed.origins {
            let name = value.as_text().unwrap_or_default();
            if seen.contains(&name) {
                let complaint = Complaint::new(format!("the origin `{name}` is named twice"));
                value.place.refuse(complaint.remedy("name it once"));
            } else if !defined.contains(&name) {
                let meant = nearest(name, defined.iter().copied());
                let remedy = match meant {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("add `[origins.{name}]`, or name another"),
                };
                let complaint = Complaint::new(format!("there is no origin `{name}`"));
                value.place.refuse(complaint.accepted(known("origins", &defined)).remedy(remedy));
            }
            seen.push(name);
            unused.remove(name);
        }
        if let (Some(place), Some(earlier)) = (&typed.name, labels.get(typed.route.name.as_str())) {
            let complaint = Complaint::new(format!("the name `{}` is taken", typed.route.name));
            let line = format!("the route on line {} has it", earlier.place.line());
            place.refuse(complaint.found(line).remedy("metrics tell routes apart by name: choose another"));
        }
        labels.insert(&typed.route.name, typed);
    }
    if !report.is_sure_of("route") {
        return;
    }
    for (name, place) in unused {
        let complaint = Complaint::new(format!("no route uses the origin `{name}`"));
        place.warn(complaint.remedy("name it in the `origins` of a route, or remove it"));
    }
}

/// A route that names an access that is not there would be open, or closed to all.
fn accesses(report: &Report, accesses: &[access::Typed<'_>], routes: &[Typed<'_>]) {
    let defined: Vec<&str> = accesses.iter().map(|typed| typed.name.as_str()).collect();
    let named = || routes.iter().filter_map(|typed| typed.access.as_ref());
    named().for_each(|value| is_access(value, &defined));
    routes.iter().for_each(|route| inheritance(route, accesses));
    if !report.is_sure_of("route") {
        return;
    }
    for typed in accesses.iter().filter(|typed| !named().any(|value| value.as_text() == Some(&typed.name))) {
        let complaint = Complaint::new(format!("no route asks for the access `{}`", typed.name));
        let remedy = format!("add `access = \"{}\"` to the routes that it gates, or remove it", typed.name);
        typed.place.warn(complaint.remedy(remedy));
    }
}

/// Where a route's playlists are as any other answer, nothing in them is rewritten.
fn inheritance(route: &Typed<'_>, accesses: &[access::Typed<'_>]) {
    let Some(named) = route.access.as_ref().filter(|_| route.route.live == LiveMode::Off) else { return };
    let access = accesses.iter().find(|typed| Some(&*typed.name) == named.as_text());
    let inherit = access.and_then(|typed| typed.access.as_ref()).map(|access| access.inherit);
    if matches!(inherit, Some(Inherit::Path | Inherit::Query)) {
        let complaint =
            Complaint::new("what its playlists name inherits no session: with `live = \"off\"` they pass as they are");
        named
            .place
            .warn(complaint.remedy("set `live = \"auto\"`, or `inherit = \"cookie\"` or \"none\" in the access"));
    }
}

/// What is named must be an access.
pub(super) fn is_access(value: &Value<'_>, defined: &[&str]) {
    let Some(name) = value.as_text().filter(|name| !defined.contains(name)) else { return };
    let remedy = match nearest(name, defined.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("add `[access.{name}]`, or name another"),
    };
    let complaint = Complaint::new(format!("there is no access `{name}`"));
    value.place.refuse(complaint.accepted(known("access", defined)).remedy(remedy));
}

/// Sessions are sealed with a secret: where nothing keeps it, a restart ends them all.
fn memory_of_sessions(config: &Config, accesses: &[access::Typed<'_>]) {
    if let (Some(first), None, None) = (accesses.first(), &config.node.state, &config.node.secrets) {
        let complaint = Complaint::new("a restart ends all sessions: the secret that seals them is made anew");
        let remedy = "add `state = \"/var/lib/weir\"` to [node], or `secrets = \"node.keys\"`, which nodes can share";
        first.place.warn(complaint.remedy(remedy));
    }
}

/// Where an origin sees the viewer's Host, a playlist is another for each: one that is to be followed needs a Host.
fn warmth(typed: &Typed<'_>, origins: &[origin::Typed<'_>]) {
    let first = typed.route.origins.first().and_then(|name| origins.iter().find(|origin| origin.name == *name));
    let sees_viewers =
        first.and_then(|typed| typed.origin.as_ref()).is_some_and(|origin| origin.host_header == HostHeader::Viewer);
    let has_host = typed.route.hosts.iter().any(|host| !host.starts_with('*'));
    if let Some(place) = typed.warm.as_ref().filter(|_| sees_viewers && !has_host && !typed.route.warm.is_empty()) {
        let complaint = Complaint::new("the origin sees the viewer's Host, and the route does not say which");
        place.refuse(complaint.remedy("give the route a `host` without `*`, or the origin a fixed one"));
    }
}

fn known(table: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("a name under `[{table}.NAME]`; there is none yet");
    }
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Whether every request that `later` could serve is served by `earlier`.
fn takes_all(earlier: &Typed<'_>, later: &Typed<'_>) -> bool {
    if !earlier.comparable || !later.comparable {
        return false;
    }
    let hosts = |later: &String| earlier.route.hosts.iter().any(|earlier| host_covers(earlier, later));
    let all_hosts =
        earlier.route.hosts.is_empty() || (!later.route.hosts.is_empty() && later.route.hosts.iter().all(hosts));
    all_hosts && path_covers(&earlier.route.path, &later.route.path)
}

fn host_covers(earlier: &str, later: &str) -> bool {
    earlier == later || earlier.strip_prefix('*').is_some_and(|suffix| later.ends_with(suffix))
}

fn path_covers(earlier: &str, later: &str) -> bool {
    let segments = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (earlier, later) = (segments(earlier), segments(later));
    earlier.len() <= later.len()
        && earlier.iter().zip(&later).all(|(wide, narrow)| wide == "{stream}" || wide == narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_collides_with_whatever_takes_its_packets() {
        let socket = |text: &str| Address::Socket(text.parse().unwrap());
        for (left, right, collides) in [
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(collide(&socket(left), &socket(right)), collides, "{left} {right}");
            assert_eq!(collide(&socket(right), &socket(left)), collides, "{right} {left}");
        }
    }

    #[test]
    fn an_earlier_path_covers_what_begins_with_its_segments() {
        for (earlier, later, covers) in [
            ("/", "/live/", true),
            ("/live/", "/live/{stream}/", true),
            ("/live", "/lively/", false),
            ("/live/{stream}/", "/live/", false),
            ("/{stream}/", "/live/", true),
            ("/live/{stream}/", "/live/one/", true),
        ] {
            assert_eq!(path_covers(earlier, later), covers, "{earlier} {later}");
        }
        for (earlier, later, covers) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("a.b", "*.a.b", false),
            ("*.b", "*.a.b", true),
        ] {
            assert_eq!(host_covers(earlier, later), covers, "{earlier} {later}");
        }
    }
}
