//! What a route's public paths are called at its origins, and the other way round: the one translation between the two.
//!
//! A public path loses the route's `strip` prefix and gains the base path of the origin that is asked. Keys use the
//! first origin's, so that an object is the same whichever origin it came from.

use http::uri::PathAndQuery;

use crate::config::{HostHeader, Origin, OriginScheme, Route};
use crate::rules::caching::Key;
use crate::rules::caching::invalidate::Written;
use crate::rules::caching::purge::{Host, Space};
use crate::rules::upstream::select::{self, Choice, hash};
use crate::rules::uri::{self, PathPattern, Strictness, Target};

use super::peers::Shared;

/// Where a route's objects come from, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Names of its origins, in order of preference.
    pub origins: Vec<String>,
    /// The same with their weights; empty: none has one.
    choices: Vec<Choice>,
    /// Which paths belong together, as they go upstream.
    streams: Option<PathPattern>,
    /// The names together, the first part of every key.
    group: String,
    /// The first origin: its address is that of the key.
    first: Address,
    /// The prefix of public paths that no origin sees; empty for none.
    strip: String,
    /// What viewers call the edge, for those who stand between.
    host: String,
    /// What documents of the origins may call them; the longest base path comes first, for it says more.
    known: Vec<Known>,
}

/// Where the first origin is, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    scheme: &'static str,
    /// Its own host and port.
    authority: String,
    host_header: HostHeader,
    /// Without a slash at the end; empty for none.
    base_path: String,
}

/// An origin as its own documents may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// Its host and port, and the Host that it is told: lower case, without the port of a scheme.
    authorities: Vec<String>,
    /// In canonical form.
    base_path: String,
}

/// A public target as it is asked for upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The object that it is.
    pub key: Key,
    /// Path and query, before an origin's base path.
    pub upstream: PathAndQuery,
}

impl Supply {
    /// The supply of a route: `origins` are those that it names, in its order.
    pub fn new(route: &Route, origins: &[&Origin]) -> Self {
        let first = origins.first().expect("a checked configuration gives every route an origin");
        let mut known: Vec<_> = origins.iter().map(|origin| Known::of(origin)).collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.base_path.len()));
        Self {
            origins: route.origins.clone(),
            choices: choices(route),
            streams: streams(route),
            group: route.origins.join(","),
            first: Address {
                scheme: scheme(first.scheme),
                authority: first.authority(),
                host_header: first.host_header.clone(),
                base_path: first.base_path.clone(),
            },
            strip: route.strip.clone(),
            host: host(&route.hosts),
            known,
        }
    }

    /// What is asked for upstream where a viewer asks for `target`, a canonical path with or without a query. `viewer`
    /// is what the viewer called the edge; it counts where the origin wants to see it. `None`: it cannot be written.
    pub fn locate(&self, target: &str, viewer: Option<&str>) -> Option<Located> {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = match self.strip.as_str() {
            "" => path,
            prefix => uri::strip(path, prefix).unwrap_or(path),
        };
        let base = self.first.base_path.as_str();
        let whole = [base, path, query].concat();
        let upstream = PathAndQuery::try_from(&whole[base.len()..]).ok()?;
        Some(Located { key: self.key(&whole, viewer), upstream })
    }

    /// The names of the origins in the order in which they are asked for `upstream`: as the route lists them, but that
    /// neighbours with weights share what they are asked for, by streams or folders.
    pub fn order(&self, upstream: &PathAndQuery) -> Vec<String> {
        if self.choices.is_empty() {
            return self.origins.clone();
        }
        let path = upstream.path();
        let folder = &path[..path.rfind('/').unwrap_or(0)];
        let stream = self.streams.as_ref().and_then(|streams| streams.name_in(path));
        let affinity = hash(stream.unwrap_or(folder).as_bytes());
        select::arrange(&self.choices, affinity).into_iter().map(|index| self.origins[index].clone()).collect()
    }

    /// How other nodes are asked for the object of a key that viewers know as `target`.
    pub fn shared(&self, key: &Key, target: &str, viewer: Option<&str>) -> Option<Shared> {
        Shared::of(key, viewer.unwrap_or(&self.host), target)
    }

    /// The key of a path and query with the first origin's base path.
    pub fn key(&self, target: &str, viewer: Option<&str>) -> Key {
        Key::new(&self.group, self.first.scheme, self.authority(viewer), target)
    }

    /// How the public paths of a route with this supply look in keys: `paths` are those that it serves, all of them in
    /// `folder`.
    pub fn space(&self, paths: &PathPattern, folder: &str) -> Space {
        let start = match self.shows_viewer() {
            true => (format!("{} {}://", self.group, self.first.scheme), Host::Viewer),
            false => (self.key("", None).name().to_owned(), Host::Origin),
        };
        Space::new(start, (&self.first.base_path, &self.strip), paths, folder)
    }

    /// What a write to an object of this supply writes to.
    pub fn written<'a>(&'a self, key: &'a Key, viewer: Option<&'a str>) -> Written<'a> {
        Written { scheme: self.first.scheme, authority: self.authority(viewer), target: key.target() }
    }

    /// The URL at the first origin, for explanations.
    pub fn url(&self, upstream: &PathAndQuery) -> String {
        let Address { scheme, authority, base_path, .. } = &self.first;
        format!("{scheme}://{authority}{base_path}{upstream}")
    }

    /// Whether the first origin sees what the viewer called the edge.
    pub fn shows_viewer(&self) -> bool {
        self.first.host_header == HostHeader::Viewer
    }

    /// The public form, rooted, of an absolute or rooted URI in a document of the origin's; `None`: it is foreign, lies
    /// outside the origin's base path, or is as viewers know it already. Any origin of the route counts, whatever the
    /// scheme; so does what the viewer called the edge.
    pub fn public(&self, uri: &str, viewer: Option<&str>) -> Option<String> {
        let (authority, local) = split_authority(uri)?;
        let (local, fragment) = local.split_at(local.find('#').unwrap_or(local.len()));
        let (path, query) = match local.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (local, None),
        };
        let target = Target::canonical(path, query, Strictness::Lenient).ok()?;
        let by_viewer = authority.as_deref().is_some_and(|named| viewer.is_some_and(|viewer| bare(viewer) == named));
        let mut named = self.known.iter().filter(|known| by_viewer || known.is_called(authority.as_deref()));
        let rest = named.find_map(|known| known.below(&target.path))?;
        let public = uri::join(&self.strip, rest);
        if authority.is_none() && public == target.path {
            return None;
        }
        // What begins with two slashes would name a host (RFC 3986 §4.2).
        let rooted = if public.starts_with("//") { "/." } else { "" };
        let query = target.query.map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{rooted}{public}{query}{fragment}"))
    }

    /// The authority of the key: what the first origin would be asked under.
    fn authority<'a>(&'a self, viewer: Option<&'a str>) -> &'a str {
        match &self.first.host_header {
            HostHeader::Origin => &self.first.authority,
            HostHeader::Viewer => viewer.unwrap_or_default(),
            HostHeader::Name(name) => name,
        }
    }
}

/// A host that the route serves: one that it names, or one below a `*`.
fn host(hosts: &[String]) -> String {
    let named = hosts.iter().find(|host| !host.starts_with('*'));
    let below = || hosts.first().map(|host| host.replacen('*', "any", 1));
    named.cloned().or_else(below).unwrap_or_else(|| "localhost".to_owned())
}

impl Known {
    fn of(origin: &Origin) -> Self {
        let mut authorities = vec![bare(&origin.authority())];
        if let HostHeader::Name(name) = &origin.host_header {
            authorities.push(bare(name));
        }
        let base_path = Target::canonical(&origin.base_path, None, Strictness::Lenient);
        let base_path = base_path.map_or_else(|_| origin.base_path.clone(), |base| base.path.into_owned());
        Self { authorities, base_path: base_path.trim_end_matches('/').to_owned() }
    }

    /// Whether a document of its own means it by `authority`; a rooted URI is always its own.
    fn is_called(&self, authority: Option<&str>) -> bool {
        authority.is_none_or(|authority| self.authorities.iter().any(|own| own == authority))
    }

    /// What is left of a path below its base path; the base path itself is not below it.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.base_path.as_str() {
            "" => Some(path),
            base => path.strip_prefix(base).filter(|rest| rest.starts_with('/')),
        }
    }
}

fn choices(route: &Route) -> Vec<Choice> {
    let choice = |(name, weight): (&String, &Option<u32>)| Choice { name: name.clone(), weight: *weight };
    match route.weights.iter().any(Option::is_some) {
        true => route.origins.iter().zip(&route.weights).map(choice).collect(),
        false => Vec::new(),
    }
}

/// Where the route names streams: the pattern without what no origin sees.
fn streams(route: &Route) -> Option<PathPattern> {
    let upstream = route.path.strip_prefix(&route.strip).filter(|path| path.contains("{stream}"))?;
    PathPattern::parse(upstream).ok()
}

const fn scheme(scheme: OriginScheme) -> &'static str {
    match scheme {
        OriginScheme::Http => "http",
        OriginScheme::Https => "https",
    }
}

/// The authority of an absolute URI, and the rest; `None` as authority for a rooted one. Anything else, and what holds
/// user information, is not for us.
fn split_authority(uri: &str) -> Option<(Option<String>, &str)> {
    let has_scheme = |scheme: &str| uri.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    let rest = match ["http://", "https://", "//"].into_iter().find(|scheme| has_scheme(scheme)) {
        Some(scheme) => &uri[scheme.len()..],
        None => return uri.starts_with('/').then_some((None, uri)),
    };
    let (authority, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (!authority.is_empty() && !authority.contains('@')).then(|| (Some(bare(authority)), local))
}

/// An authority in lower case and without the port of either scheme: documents mix the two where TLS ends before the
/// packager.
fn bare(authority: &str) -> String {
    let port = [":80", ":443", ":"].into_iter().find_map(|port| authority.strip_suffix(port));
    port.unwrap_or(authority).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, Machine};

    /// The supply of a route at `/live/{stream}/` with these keys, from origins with these ones.
    fn supply(route: &str, origins: &[&str]) -> Supply {
        let mut text =
            format!("[listen]\nhttp = [\"127.0.0.1:0\"]\n[[route]]\npath = \"/live/{{stream}}/\"\n{route}\n");
        let names: Vec<_> = (0..origins.len()).map(|number| format!("\"o{number}\"")).collect();
        text.push_str(&format!("origins = [{}]\n", names.join(", ")));
        for (number, origin) in origins.iter().enumerate() {
            text.push_str(&format!("[origins.o{number}]\n{origin}\n"));
        }
        let config = parsed(&text);
        let origins: Vec<_> = config.origins.iter().collect();
        Supply::new(&config.routes[0], &origins)
    }

    fn parsed(text: &str) -> Config {
        let machine = Machine { name: "edge".into(), cores: 1, memory: 1 << 30 };
        Config::parse_on(&machine, text, Path::new("")).expect("good").0
    }

    #[test]
    fn keys_and_requests_follow_strip_and_base_path() {
        for (route, origin, target, key, upstream) in [
            ("", "url = \"http://o\"", "/live/a/x", "o0 http://o/live/a/x", "/live/a/x"),
            (
                "strip = \"/live\"",
                "url = \"https://o:443\"",
                "/live/a/x?q=/live",
                "o0 https://o/a/x?q=/live",
                "/a/x?q=/live",
            ),
            ("strip = \"/live\"", "url = \"http://O:8080/b/c\"", "/live/a/?", "o0 http://o:8080/b/c/a/?", "/a/?"),
            ("", "url = \"http://o\"\nhost = \"name:80\"", "/live/a/x", "o0 http://name/live/a/x", "/live/a/x"),
            ("", "url = \"http://o\"\nhost = \"viewer\"", "/live/a/x", "o0 http://edge:8443/live/a/x", "/live/a/x"),
        ] {
            let located = supply(route, &[origin]).locate(target, Some("edge:8443")).unwrap();
            assert_eq!((located.key.as_str(), located.upstream.as_str()), (key, upstream));
        }
        let two = supply("", &["url = \"http://a/base\"", "url = \"http://b\""]);
        assert_eq!(two.locate("/live/a/x", None).unwrap().key.as_str(), "o0,o1 http://a/base/live/a/x");
        assert_eq!(two.url(&PathAndQuery::from_static("/live/a/x")), "http://a/base/live/a/x");
        assert_eq!(two.locate("/live/a b", None), None);
    }

    #[test]
    fn a_stream_comes_from_one_of_those_that_share() {
        let route =
            "strip = \"/live\"\norigins = [{ name = \"o0\", weight = 1 }, { name = \"o1\", weight = 1 }, \"o2\"]";
        let text = format!(
            "[listen]\nhttp = [\"127.0.0.1:0\"]\n[[route]]\npath = \"/live/{{stream}}/\"\n{route}\n\
             [origins.o0]\nurl = \"http://a\"\n[origins.o1]\nurl = \"http://b\"\n[origins.o2]\nurl = \"http://c\"\n"
        );
        let config = parsed(&text);
        let supply = Supply::new(&config.routes[0], &config.origins.iter().collect::<Vec<_>>());
        let order = |path: String| supply.order(&PathAndQuery::try_from(path).unwrap());
        let mut firsts = std::collections::BTreeSet::new();
        for stream in 0..32 {
            let of_stream = order(format!("/{stream}/main.m3u8"));
            assert_eq!(order(format!("/{stream}/v0/x/1.m4s?q")), of_stream);
            assert_eq!(of_stream[2], "o2");
            firsts.insert(of_stream[0].clone());
        }
        assert_eq!(firsts.len(), 2);
    }

    #[test]
    fn only_uris_of_the_origins_become_the_nodes() {
        let supply = supply(
            "strip = \"/live\"",
            &["url = \"http://o.example:80/base\"", "url = \"https://p.example:8443\"\nhost = \"Name.example\""],
        );
        for (uri, public) in [
            ("/base/a/x.mp4?q=%7e#t=1", Some("/live/a/x.mp4?q=~#t=1")),
            ("http://o.example/base/a/x", Some("/live/a/x")),
            ("HTTPS://O.Example:443/base/a/x", Some("/live/a/x")),
            ("//o.example:80/base/a/x", Some("/live/a/x")),
            ("https://p.example:8443/a/x", Some("/live/a/x")),
            ("https://name.example/a/x", Some("/live/a/x")),
            ("http://edge.example:8080/base/a/x", Some("/live/a/x")),
            ("http://o.example/base//x", Some("/live//x")),
            ("http://p.example:8443", Some("/live/")),
            ("http://o.example/other/x", None),
            ("http://o.example/base", None),
            ("http://o.example/baseline/x", None),
            ("http://o.example/base/../x", None),
            ("http://p.example/a/x", None),
            ("http://o.example:8080/base/a/x", None),
            ("http://o.example.evil/base/a/x", None),
            ("http://user@o.example/base/a/x", None),
            ("skd://o.example/base/a/x", None),
            ("data:text/plain,/base/a", None),
            ("a/x.mp4", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(supply.public(uri, Some("edge.example:8080")).as_deref(), public, "{uri}");
        }
        assert_eq!(supply.public("http://edge.example:8080/base/a/x", None), None);
    }

    #[test]
    fn what_viewers_know_already_stays() {
        let supply = supply("", &["url = \"http://o\""]);
        assert_eq!(supply.public("/live/a/x?q", None), None);
        assert_eq!(supply.public("http://o/live/a/x?q", None).as_deref(), Some("/live/a/x?q"));
        assert_eq!(supply.public("http://o//host/x", None).as_deref(), Some("/.//host/x"));
    }

    proptest! {
        #[test]
        fn a_public_uri_asks_the_origin_for_what_it_named(
            strip in prop_oneof![Just(""), Just("strip = \"/live\"")],
            base in prop_oneof![Just(""), Just("/b"), Just("/b/live")],
            start in prop_oneof![Just(""), Just("http://o"), Just("https://O:443"), Just("//v:1")],
            path in "/[a-c%2eE./~-]{0,12}",
            query in "(\\?[a%34=/]{0,6})?",
        ) {
            let supply = supply(strip, &[&format!("url = \"http://o{base}\"")]);
            let uri = format!("{start}{base}{path}{query}");
            prop_assume!(!uri.starts_with("//") || start.starts_with("//"));
            let query = query.strip_prefix('?');
            let named = format!("{base}{path}");
            let Ok(named) = Target::canonical(&named, query, Strictness::Lenient) else { return Ok(()) };
            let public = supply.public(&uri, Some("v:1"));
            if !named.path.starts_with(&format!("{base}/")) {
                prop_assert_eq!(public, None);
                return Ok(());
            }
            // What stays is as viewers know it.
            let asked = public.unwrap_or_else(|| uri.clone());
            prop_assert!(!asked.starts_with("//"));
            let (path, query) = asked.split_once('?').map_or((asked.as_str(), None), |(path, query)| (path, Some(query)));
            let asked = Target::canonical(path, query, Strictness::Lenient).unwrap();
            let located = supply.locate(&asked.path_and_query(), Some("v:1")).unwrap();
            prop_assert_eq!(located.key.target(), named.path_and_query());
            prop_assert_eq!(format!("{base}{}", located.upstream), named.path_and_query());
        }

        #[test]
        fn any_text_is_read_without_a_panic(uri in "\\PC{0,40}") {
            _ = supply("strip = \"/live\"", &["url = \"http://o/b\""]).public(&uri, Some("v"));
        }
    }
}
