//! What players say of themselves with each request (CMCD). It is cut out of the request before anything else is looked
//! at, so that it names no object, reaches no origin and refuses nothing; what it says is told of the viewer's session.

use http::HeaderMap;
use http::header::Entry as Lines;

use crate::config::reports::{Cmcd, Kept};
use crate::rules::qoe::cmcd;
use crate::rules::qoe::read::Read;
use crate::rules::qoe::report::{Data, Mode, Report};
use crate::rules::timeline::event::{Entry, Event};
use crate::rules::uri;
use crate::stories::millis;
use crate::telemetry::beacons::Dropped;

use super::edge::Edge;
use super::policies::{Policies, RoutePolicy};
use super::route::Resource;
use super::witness::Watcher;
use super::{Caller, Head, beacon};

/// What was cut out of a request.
#[derive(Debug)]
pub struct Said {
    /// The parameters as they were sent.
    parameters: Option<String>,
    fields: HeaderMap,
}

/// Cuts all of it out of a request, and with it fields of such names that say nothing.
pub fn cut(head: &mut Head) -> Option<Box<Said>> {
    let fields = fields(&mut head.headers);
    let parameters = head.query.take_if(|query| may_have(query)).and_then(|query| {
        let (parameters, rest) = parted(query);
        head.query = rest;
        parameters
    });
    (!fields.is_empty() || parameters.is_some()).then(|| Box::new(Said { parameters, fields }))
}

fn fields(headers: &mut HeaderMap) -> HeaderMap {
    let names: Vec<_> = headers.keys().filter(|name| cmcd::is_field(name.as_str().as_bytes())).cloned().collect();
    let mut fields = HeaderMap::new();
    for name in names {
        if let Lines::Occupied(lines) = headers.entry(&name) {
            let (_, lines) = lines.remove_entry_mult();
            fields.extend(lines.map(|line| (name.clone(), line)));
        }
    }
    fields
}

/// Whether a query may have a parameter of that name, in whatever writing.
fn may_have(query: &str) -> bool {
    query.contains(cmcd::PARAMETER) || query.contains('%')
}

/// The parameters of that name, and the others. Most often it stands alone, and is not copied.
fn parted(query: String) -> (Option<String>, Option<String>) {
    let is_one = |pair: &&str| is_parameter(pair.split_once('=').map_or(*pair, |(name, _)| name));
    if !query.contains('&') {
        return if is_one(&query.as_str()) { (Some(query), None) } else { (None, Some(query)) };
    }
    let mut found = query.split('&').filter(is_one);
    let Some(first) = found.next() else { return (None, Some(query)) };
    let parameters = found.fold(first.to_owned(), |all, more| all + "&" + more);
    let rest = uri::filter_query(&query, |name| !is_parameter(name)).map(Into::into);
    (Some(parameters), rest)
}

fn is_parameter(name: &str) -> bool {
    name == cmcd::PARAMETER
        || name.contains('%') && percent_encoding::percent_decode_str(name).eq(cmcd::PARAMETER.bytes())
}

impl Said {
    /// A query with it, as it was sent.
    pub fn with(&self, query: Option<&str>) -> Option<String> {
        let parts: Vec<_> = query.into_iter().chain(self.parameters.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join("&"))
    }

    /// Puts the fields back where the route passes them on; whether it does.
    pub fn goes_on(&self, route: &RoutePolicy, headers: &mut HeaderMap) -> bool {
        let does = route.config.reporting.cmcd == Cmcd::Forward;
        if does {
            headers.extend(self.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        does
    }
}

/// Tells what a request that was let in says. What is wrong with it is counted whoever sent it.
pub fn tell(edge: &Edge, policies: &Policies, head: &Head, (resource, said): (&Resource<'_>, &Said)) {
    let qoe = &policies.config.qoe;
    if !qoe.enabled || head.caller != Caller::Viewer {
        return;
    }
    let watcher = resource.watcher.as_ref();
    if watcher.is_some_and(|watcher| !beacon::is_chosen(watcher.session, qoe.intake.requests)) {
        return edge.beacons.dropped(Dropped::Sampled, 1);
    }
    let Some(mut read) = cmcd::from_request(said.parameters.as_deref(), &said.fields) else { return };
    let is_kept = keeps(resource.route, head, watcher);
    if is_kept.is_ok() {
        read.permit(&qoe.intake.allow);
    }
    edge.beacons.faults(&read.faults);
    if read.sid.is_none() && read.data == Data::default() {
        return;
    }
    match is_kept {
        Ok(watcher) => keep(edge, (resource.route, &head.path), (watcher, read)),
        Err(why) => edge.beacons.dropped(why, 1),
    }
}

/// Whose story it belongs to; why it is kept in none.
fn keeps<'w>(route: &RoutePolicy, head: &Head, watcher: Option<&'w Watcher>) -> Result<&'w Watcher, Dropped> {
    match route.config.reporting.beacons {
        Kept::Off => return Err(Dropped::Off),
        Kept::Essential => return Err(Dropped::Essential),
        Kept::All if beacon::wants_privacy(head) => return Err(Dropped::Essential),
        Kept::All => {}
    }
    watcher.ok_or(Dropped::UnknownViewer)
}

fn keep(edge: &Edge, (route, path): (&RoutePolicy, &str), (watcher, read): (&Watcher, Read)) {
    let (session, stream) = (watcher.session, route.stream(path));
    // Open sessions have their stream's name in memory already.
    let known = watcher.open.as_ref().map(|open| &open.stream).filter(|known| ***known == *stream);
    let view = read.sid.as_deref().map(|sid| edge.stories.view(session, sid));
    let report = Report { mode: Mode::Request, view, record: None, data: read.data };
    edge.beacons.kept(Mode::Request, 1);
    edge.stories.tell(Entry {
        at: millis(edge.clock.wall()),
        session: Some(session),
        route: Some(route.name.clone()),
        stream: (!stream.is_empty()).then(|| known.cloned().unwrap_or_else(|| stream.into())),
        event: Event::Report(Box::new(report)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(query: &str) -> (Option<String>, Option<String>) {
        if may_have(query) { parted(query.to_owned()) } else { (None, Some(query.to_owned())) }
    }

    #[test]
    fn the_parameter_is_cut_in_whatever_writing_and_nothing_else_is() {
        let some = |text: &str| Some(text.to_owned());
        for (query, found, rest) in [
            ("a=1&b", None, some("a=1&b")),
            ("CMCD=br%3D1", some("CMCD=br%3D1"), None),
            ("a=1&CMCD=x&b=%zz", some("CMCD=x"), some("a=1&b=%zz")),
            ("%43MCD=x&a", some("%43MCD=x"), some("a")),
            ("CMCD=x&CM%43D=y", some("CMCD=x&CM%43D=y"), None),
            ("cmcd=x&CMCDs=1&aCMCD=2", None, some("cmcd=x&CMCDs=1&aCMCD=2")),
            ("CMCD", some("CMCD"), None),
        ] {
            assert_eq!(left(query), (found, rest), "{query}");
        }
    }
}
