//! A configuration made ready for the journey: what every request looks up, computed once for each reload.

use std::sync::Arc;

use http::HeaderValue;

use crate::config::access::{Access, Inherit};
use crate::config::{self, Config, Route};
use crate::live::Rules;
use crate::live::references::References;
use crate::origin::Origins;
use crate::origin::supply::Supply;
use crate::rules::caching::purge::Space;
use crate::rules::cors::{Cors, Credentials, Permission};
use crate::rules::fields::loops::Pseudonym;
use crate::rules::session::{Gated, Reach};
use crate::rules::token::Format;
use crate::rules::token::carrier::{self, Packages};
use crate::rules::uri::{self, PathPattern};
use crate::sessions::SessionTerms;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::traffic::{RouteTraffic, Traffic};

/// One generation of the configuration; a request keeps the one it began with.
pub struct Policies {
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// Routes in the order of the file; the first match wins.
    pub routes: Vec<RoutePolicy>,
    /// Where everything comes from.
    pub origins: Arc<Origins>,
    /// Where requests are logged.
    pub access_log: Option<AccessLog>,
    /// Counters for requests that no route serves.
    pub unrouted: Arc<RouteTraffic>,
    /// The node's name in Via, CDN-Loop and Cache-Status.
    pub pseudonym: Pseudonym,
    /// How viewers reach TLS and HTTP/3.
    pub doors: Advertised,
}

/// What viewers are told of the node's other doors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The value of Alt-Svc for viewers on TLS; `None`: none is sent.
    pub alt_svc: Option<HeaderValue>,
    /// The port of TLS that viewers use; `None`: there is none.
    pub https_port: Option<u16>,
}

/// One route, ready to match and to serve.
pub struct RoutePolicy {
    /// Its metric label.
    pub name: Arc<str>,
    /// Its place in the file.
    pub index: usize,
    /// The route as configured.
    pub config: Route,
    /// Its hosts.
    hosts: Vec<HostPattern>,
    /// Its path prefix.
    path: PathPattern,
    /// Where its objects come from.
    pub supply: Arc<Supply>,
    /// How it treats live streams.
    pub rules: Arc<Rules>,
    /// What its viewers need; `None`: it is open to all.
    pub gated: Option<Gating>,
    /// CORS as the edge speaks it; `None`: the origin does.
    pub cors: Option<Cors>,
    /// Its counters.
    pub traffic: Arc<RouteTraffic>,
}

/// What a gated route asks of its viewers.
pub struct Gating {
    /// Its access.
    pub access: Access,
    /// What it asks of sessions.
    pub terms: Arc<SessionTerms>,
    /// Whether tokens travel as attributes of paths.
    pub packages: Packages,
    /// What a session of it opens.
    pub reach: Reach,
}

impl Gating {
    fn of(route: &Route, config: &Config) -> Option<Self> {
        let name = route.access.as_ref()?;
        let access = config.accesses.iter().find(|access| access.name == *name);
        let access = access.expect("a checked configuration has the accesses that its routes name").clone();
        let signs_uris = access.issuers.iter().any(|issuer| issuer.formats.contains(&Format::UriSigning));
        let packages = if signs_uris { Packages::InPath } else { Packages::Elsewhere };
        let shares_hosts = |other: &&Route| {
            let is_any = other.hosts.is_empty() || route.hosts.is_empty();
            is_any || other.hosts.iter().any(|host| route.hosts.contains(host))
        };
        let beside = config.routes.iter().filter(shares_hosts).map(|other| {
            let gated = if other.access.as_ref() == Some(name) { Gated::ByIt } else { Gated::Otherwise };
            (pattern(other), gated)
        });
        let hosts = route.hosts.iter().filter(|host| !host.starts_with('*')).cloned().collect();
        let reach = Reach::new(hosts, beside);
        let terms = Arc::new(SessionTerms::of(&access));
        Some(Self { access, terms, packages, reach })
    }

    /// How playlists write what they name.
    fn references(&self) -> References {
        match self.access.inherit {
            Inherit::Path => References::Relative(self.reach.clone(), self.access.carrier_position),
            Inherit::Query | Inherit::Cookie | Inherit::None => References::Rooted,
        }
    }

    /// The carriers that it looks at.
    pub fn carriers(&self) -> carrier::Terms<'_> {
        carrier::Terms { order: &self.access.carriers, names: &self.access.names, packages: self.packages }
    }
}

fn pattern(route: &Route) -> PathPattern {
    PathPattern::parse(&route.path).expect("a checked configuration has canonical paths")
}

enum HostPattern {
    Exact(String),
    Below(String),
}

impl HostPattern {
    fn new(pattern: &str) -> Self {
        match pattern.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.to_owned()),
            None => Self::Exact(pattern.to_owned()),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

impl Policies {
    /// Makes a checked configuration ready. Counters of routes that stay are kept.
    pub fn new(
        config: Arc<Config>,
        origins: Arc<Origins>,
        traffic: &Traffic,
        access_log: Option<AccessLog>,
        doors: Advertised,
    ) -> Self {
        let routes = config
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| RoutePolicy::new(index, route, &config, traffic))
            .collect::<Vec<_>>();
        let unrouted = traffic.route("none");
        traffic.retain_routes(|name| name == "none" || routes.iter().any(|route| *route.name == *name));
        let pseudonym = Pseudonym::of(&config.node.name);
        Self { pseudonym, config, routes, origins, access_log, unrouted, doors }
    }

    /// The first route for a host and a canonical path, or why there is none.
    ///
    /// # Errors
    /// Whether at least the host is known.
    pub fn route(&self, host: &str, path: &str) -> Result<&RoutePolicy, NoRoute> {
        let mut known = false;
        for route in &self.routes {
            if route.serves_host(host) {
                known = true;
                if route.path.name_in(path).is_some() {
                    return Ok(route);
                }
            }
        }
        Err(if known { NoRoute::Path } else { NoRoute::Host })
    }
}

/// Why no route serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No route names the host.
    Host,
    /// Routes name the host, none the path.
    Path,
}

impl RoutePolicy {
    fn new(index: usize, route: &Route, config: &Config, traffic: &Traffic) -> Self {
        let named = |name: &String| config.origins.iter().find(|origin| origin.name == *name);
        let origins: Vec<_> = route.origins.iter().filter_map(named).collect();
        let name: Arc<str> = route.name.as_str().into();
        let supply = Arc::new(Supply::new(route, &origins));
        let gated = Gating::of(route, config);
        let rules = Rules {
            route: name.clone(),
            supply: supply.clone(),
            playlists: route.playlists,
            keys: route.keys,
            references: gated.as_ref().map(Gating::references).unwrap_or_default(),
            query_keep: route.query_keep.clone(),
            stale_playlist_for: route.stale_playlist_for,
            failover_after: route.failover_after,
            failback: route.failback,
            errors: route.errors.clone(),
        };
        Self {
            name,
            index,
            hosts: route.hosts.iter().map(|host| HostPattern::new(host)).collect(),
            path: pattern(route),
            supply,
            rules: Arc::new(rules),
            gated,
            cors: match &route.cors {
                config::Cors::Edge(rules) => Some(cors(rules)),
                config::Cors::Origin => None,
            },
            traffic: traffic.route(&route.name),
            config: route.clone(),
        }
    }

    /// A URL by which a viewer would ask for a target of the route.
    pub fn url(&self, target: &str) -> String {
        let exact = self.hosts.iter().find_map(|host| match host {
            HostPattern::Exact(name) => Some(name.clone()),
            HostPattern::Below(_) => None,
        });
        let any = self.hosts.first().map(|host| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Below(suffix) => format!("any{suffix}"),
        });
        let scheme = if self.config.https_only { "https" } else { "http" };
        format!("{scheme}://{}{target}", exact.or(any).unwrap_or_else(|| "localhost".to_owned()))
    }

    /// How its public paths look in keys.
    pub fn space(&self) -> Space {
        self.supply.space(&self.path, &self.config.path)
    }

    /// Whether a path is that of the route itself, with nothing below it.
    pub fn ends_at(&self, path: &str) -> bool {
        self.path.below(path) == Some("/")
    }

    /// Whether it serves a host.
    pub fn serves_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// The stream that a path of the route belongs to: what stands for `{stream}`, else the folder of its multivariant
    /// playlist below the route, or the route's last one where it is there. Until that playlist was asked for, any playlist
    /// is taken for it, and what is none is told by its first folder.
    pub fn stream<'a>(&self, path: &'a str) -> &'a str {
        match self.path.name_in(path) {
            Some("") | None => {
                let below = |path| uri::strip(path, &self.config.path).unwrap_or_default().trim_matches('/');
                let playlist = || path.ends_with(".m3u8").then(|| path.rsplit_once('/')).flatten();
                match self.traffic.folders.of(path).or_else(|| playlist().map(|(folder, _)| folder)) {
                    None => below(path).split_once('/').map_or("", |(folder, _)| folder),
                    Some("") => &path[..1],
                    Some(folder) if below(folder).is_empty() => folder.rsplit('/').next().unwrap_or_default(),
                    Some(folder) => below(folder),
                }
            }
            Some(name) => name,
        }
    }
}

fn cors(rules: &config::CorsRules) -> Cors {
    let permission = Permission {
        origins: rules.origins.clone(),
        credentials: if rules.credentials { Credentials::Include } else { Credentials::Omit },
        allow_headers: rules.allow_headers.clone(),
        expose_headers: rules.expose_headers.clone(),
        max_age: rules.max_age,
    };
    Cors::new(&permission).expect("a checked configuration gives credentials to listed sites alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_hosts_below_it_and_not_the_name_itself() {
        let pattern = HostPattern::new("*.example.com");
        assert!(pattern.matches("a.example.com") && pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("example.com") && !pattern.matches("badexample.com"));
    }
}
