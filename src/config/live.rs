//! The keys of a `[[route]]` that say how it treats live streams.

use super::file::{Section, Value};
use super::finding::{Complaint, Place};
use super::{Failback, Keys, LiveMode, Playlists, value};
use crate::rules::hls::query::{OF_PACKAGERS, PACKAGER_PREFIX};
use crate::rules::uri::{PathPattern, Strictness, Target};

/// What these keys say together.
pub(super) struct Treatment<'a> {
    pub(super) live: LiveMode,
    pub(super) playlists: Playlists,
    pub(super) keys: Keys,
    pub(super) query_keep: Vec<String>,
    pub(super) warm: Vec<String>,
    pub(super) warm_place: Option<Place<'a>>,
    pub(super) stale_playlist_for: u32,
    pub(super) failover_after: u32,
    pub(super) failback: Failback,
}

/// Reads them for a route at `path`, which is empty where it is no path.
pub(super) fn treatment<'a>(section: &mut Section<'a>, path: &str) -> Treatment<'a> {
    let modes = [("auto", LiveMode::Auto), ("off", LiveMode::Off)];
    let live = section.value("live").and_then(|value| choice(&value, &modes)).unwrap_or_default();
    let playlists = section.value("playlists");
    let keys = section.value("keys");
    let query = section.value("query");
    let warm = section.value("warm");
    let stale = section.value("stale_playlist_for");
    let (failover, failback) = (section.value("failover_after"), section.value("failback"));
    if live == LiveMode::Off {
        for value in [&playlists, &keys, &query, &stale, &failover, &failback].into_iter().flatten() {
            let complaint = Complaint::new("the key does nothing while `live = \"off\"`: all responses are plain");
            value.place.warn(complaint.remedy("remove it, or `live`"));
        }
    }
    let whose = [("auto", Playlists::Auto), ("shared", Playlists::Shared), ("per-viewer", Playlists::PerViewer)];
    let playlists = playlists.and_then(|value| value.choice(&whose)).unwrap_or_default();
    let paths = warm.as_ref().map(|value| paths(value, path)).unwrap_or_default();
    if let Some(value) = warm.as_ref().filter(|_| !paths.is_empty()) {
        refuse_useless_warmth(&value.place, live, playlists);
    }
    Treatment {
        live,
        playlists,
        keys: keys
            .and_then(|value| value.choice(&[("no-store", Keys::NoStore), ("shared", Keys::Shared)]))
            .unwrap_or_default(),
        query_keep: query.and_then(|value| value.table()).map(kept).unwrap_or_default(),
        warm: paths,
        warm_place: warm.map(|value| value.place),
        stale_playlist_for: stale.and_then(|value| target_durations(&value)).unwrap_or(3),
        failover_after: failover.and_then(|value| target_durations(&value)).unwrap_or(1),
        failback: failback
            .and_then(|value| value.choice(&[("auto", Failback::Auto), ("manual", Failback::Manual)]))
            .unwrap_or_default(),
    }
}

/// A word; `false` and `true` are near misses of "off" and "auto".
fn choice(value: &Value<'_>, modes: &[(&str, LiveMode)]) -> Option<LiveMode> {
    if value.as_text().is_none() && matches!(value.place.typed(), "true" | "false") {
        let meant = if value.is_false() { "off" } else { "auto" };
        let complaint = Complaint::new("wrong kind of value").found(value.place.typed());
        value.place.refuse(complaint.accepted("\"auto\", \"off\"").remedy(format!("write \"{meant}\"")));
        return None;
    }
    value.choice(modes)
}

fn refuse_useless_warmth(place: &Place<'_>, live: LiveMode, playlists: Playlists) {
    let why = match (live, playlists) {
        (LiveMode::Off, _) => "nothing is followed while `live = \"off\"`",
        (_, Playlists::PerViewer) => "nothing is followed while `playlists = \"per-viewer\"`: nobody else would get it",
        (LiveMode::Auto, Playlists::Auto | Playlists::Shared) => return,
    };
    place.refuse(Complaint::new(why).remedy("write `warm = false`, or give these playlists a route of their own"));
}

/// `query = { keep }`: names as they stand in a URL.
fn kept(mut section: Section<'_>) -> Vec<String> {
    let names = section.value("keep").and_then(|value| value.list()).unwrap_or_default();
    section.finish();
    let mut kept: Vec<String> = Vec::new();
    for value in names {
        let Some(name) = value.text() else { continue };
        if kept.iter().any(|other| other == name) {
            value.place.warn(Complaint::new(format!("`{name}` is named twice")).remedy("name it once"));
        } else if is_parameter(&value, name) {
            kept.push(name.to_owned());
        }
    }
    kept
}

fn is_parameter(value: &Value<'_>, name: &str) -> bool {
    let refuse = |message: &str, remedy: &str| {
        let complaint = Complaint::new(message).found(value.place.typed());
        value.place.refuse(complaint.accepted("the name of a query parameter, like \"profile\"").remedy(remedy));
        false
    };
    if let Some((before, _)) = name.split_once('=') {
        return refuse("a name is kept with whatever value it has", &format!("did you mean \"{before}\"?"));
    }
    if name.contains('*') {
        return refuse("names are not patterns", "name each parameter");
    }
    let canonical = Target::canonical("/", Some(name), Strictness::Strict).ok().and_then(|target| target.query);
    if name.contains(['&', '?']) || canonical.as_deref() != Some(name) {
        return refuse("no parameter has such a name", "write one name as it stands in a URL");
    }
    if name.starts_with("_HLS_") {
        return refuse("delivery directives are answered by the node and are in no key", "remove it");
    }
    if name == "CMCD" {
        return refuse("what players report of themselves is never in a key, nor sent to origins", "remove it");
    }
    if OF_PACKAGERS.contains(&name) || name.starts_with(PACKAGER_PREFIX) {
        value.place.warn(Complaint::new(format!("`{name}` is kept anyway: packagers use it")).remedy("remove it"));
    }
    true
}

/// `warm`: `false`, or the playlists that are followed from the start.
fn paths(value: &Value<'_>, path: &str) -> Vec<String> {
    const ACCEPTED: &str = "false, or a list of playlists like [\"/live/news/index.m3u8\"]";
    if value.is_false() {
        return Vec::new();
    }
    if value.place.typed() == "true" {
        let complaint = Complaint::new("a node cannot know which streams there are before somebody asks for one");
        let example = path.replace("{stream}", "news");
        let remedy = format!("name their playlists: `warm = [\"{}/index.m3u8\"]`", example.trim_end_matches('/'));
        value.place.refuse(complaint.found("true").accepted(ACCEPTED).remedy(remedy));
        return Vec::new();
    }
    let Some(list) = value.one_or_many() else { return Vec::new() };
    list.iter().filter_map(|item| playlist(item, path)).collect()
}

/// The canonical target of a playlist below the route's path.
fn playlist(value: &Value<'_>, route: &str) -> Option<String> {
    let text = value.text()?;
    let refuse = |message: &str, remedy: Option<String>| {
        let complaint = Complaint::new(message).found(value.place.typed());
        value.place.refuse(complaint.accepted("the path of a playlist as viewers ask for it").perhaps(remedy));
        None
    };
    if let Some((_, rest)) = text.split_once("://") {
        let meant = rest.find('/').map(|at| format!("did you mean \"{}\"?", &rest[at..]));
        return refuse("a route knows its hosts already", meant);
    }
    if !text.starts_with('/') {
        return refuse("a path starts with `/`", Some(format!("did you mean \"/{text}\"?")));
    }
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let target = match Target::canonical(path, query, Strictness::Lenient) {
        Ok(target) => target,
        Err(error) => return refuse(&format!("no request has such a path: {error}"), None),
    };
    // A route whose path is none has been complained about.
    let pattern = PathPattern::parse(route).ok()?;
    if pattern.name_in(&target.path).is_none() {
        return refuse(&format!("the playlist is not below the route's path, \"{route}\""), None);
    }
    Some(target.path_and_query())
}

/// How many target durations.
fn target_durations(value: &Value<'_>) -> Option<u32> {
    if let Some(digits) = value.as_digits() {
        let complaint = Complaint::new("wrong kind of value").found(format!("a whole number, {digits}"));
        value.place.refuse(complaint.accepted(value::TARGET_DURATIONS).remedy(format!("write \"{digits}td\"")));
        return None;
    }
    let error = match value::target_durations(value.text()?) {
        Ok(count) => return Some(count),
        Err(error) => error,
    };
    value.bad("not a number of target durations", error);
    None
}
