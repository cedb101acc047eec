//! The lines of a story. What went as it should is told in sum: seconds that were served are put together until something
//! else happens, and of the path only what has changed is told.

use std::sync::Arc;

use crate::rules::qoe::report::State;
use crate::rules::session::SessionId;

use super::super::event::{Began, Ended, Event, Fetch, NodeChange, Path, Request, Served, Verdict};
use super::clocks::Moment;
use super::facts::{RTT_BAD_US, SLOW_MS, has_trouble};
use super::said::{self, Said};
use super::words::{counted, protocol, rate, size, span};
use super::{Kind, Line, Severity, Source};

/// A story of more lines is cut: what matters least goes.
const MOST_LINES: usize = 1_000;
/// What was served is told in sum for at most so long.
const SUM_MS: u64 = 60_000;
/// A player's words are shortened to this.
const LONGEST_TEXT: usize = 300;

struct Sum<'a> {
    from: u64,
    to: u64,
    node: &'a Arc<str>,
    served: Served,
}

#[derive(Default)]
struct Telling<'a> {
    lines: Vec<Line>,
    sum: Option<Sum<'a>>,
    states: std::collections::BTreeMap<Option<SessionId>, State>,
    path: Option<Path>,
}

/// The lines, and how many were left out.
pub(super) fn lines(moments: &[Moment<'_>]) -> (Vec<Line>, u64) {
    let mut telling = Telling::default();
    for moment in moments {
        telling.take(moment);
    }
    telling.sum_up();
    cut(telling.lines)
}

/// Keeps what matters most, and of what matters equally the earlier.
fn cut(lines: Vec<Line>) -> (Vec<Line>, u64) {
    if lines.len() <= MOST_LINES {
        return (lines, 0);
    }
    let omitted = (lines.len() - MOST_LINES) as u64;
    let mut order: Vec<_> = (0..lines.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(lines[*at].severity), *at));
    let mut kept = vec![false; lines.len()];
    order.into_iter().take(MOST_LINES).for_each(|at| kept[at] = true);
    let lines = lines.into_iter().zip(kept).filter_map(|(line, kept)| kept.then_some(line)).collect();
    (lines, omitted)
}

impl<'a> Telling<'a> {
    fn take(&mut self, moment: &Moment<'a>) {
        let entry = &moment.told.entry;
        let (source, said) = match &entry.event {
            Event::Served(served) => return self.add(moment, served),
            Event::Began(began) => (Source::Node, Some(of_began(began))),
            Event::Verdict(verdict) => (Source::Node, Some(of_verdict(verdict))),
            Event::Request(request) => (Source::Node, Some(of_request(request))),
            Event::Fetch(fetch) => (Source::Origin, Some(of_fetch(fetch))),
            Event::Report(report) => {
                let before = self.states.get(&report.view).copied();
                if let Some(state) = report.data.sta {
                    self.states.insert(report.view, state);
                }
                (Source::Player, said::of_report(report, before))
            }
            Event::Path(path) => (Source::Node, self.of_path(path)),
            Event::Ended(ended) => (Source::Node, Some(of_ended(ended))),
            Event::Node(change) => (Source::Node, Some(of_change(change, &moment.told.node))),
            Event::Lost(lost) => {
                let entries = if lost.count == 1 { "entry is" } else { "entries are" };
                let text = format!("{} {entries} missing here: {}", lost.count, lost.reason);
                (Source::Node, Some(Said::new(Kind::Lost, Severity::Warning, text)))
            }
        };
        if let Some(said) = said {
            self.sum_up();
            let text = shortened(said.text);
            let node = moment.told.node.clone();
            self.lines.push(Line { at: moment.at, source, node, kind: said.kind, severity: said.severity, text });
        }
    }

    fn add(&mut self, moment: &Moment<'a>, served: &Served) {
        let node = &moment.told.node;
        if let Some(sum) = &mut self.sum
            && sum.node == node
            && sum.served.protocol == served.protocol
            && moment.at.saturating_sub(sum.from) < SUM_MS
        {
            sum.to = moment.at;
            put_together(&mut sum.served, served);
            return;
        }
        self.sum_up();
        self.sum = Some(Sum { from: moment.at, to: moment.at, node, served: served.clone() });
    }

    fn sum_up(&mut self) {
        let Some(Sum { from, to, node, served }) = self.sum.take() else { return };
        let text = of_served(&served, to.saturating_sub(from) / 1_000 + 1);
        let (source, kind) = (Source::Node, Kind::Served);
        let severity = if served.first_byte_ms >= SLOW_MS { Severity::Warning } else { Severity::Info };
        self.lines.push(Line { at: from, source, node: node.clone(), kind, severity, text });
    }

    /// The first look at the path, and every one that is quite another than what was told of it last.
    fn of_path(&mut self, path: &Path) -> Option<Said> {
        let bad = path.rtt_us >= RTT_BAD_US;
        let far = |before: &Path| {
            let (least, most) = (before.rtt_us.min(path.rtt_us), before.rtt_us.max(path.rtt_us));
            most > least.saturating_mul(2).saturating_add(20_000)
                || path.retransmits > before.retransmits.saturating_mul(2).saturating_add(50)
        };
        if self.path.as_ref().is_some_and(|before| !far(before)) {
            return None;
        }
        self.path = Some(*path);
        let carries = path.throughput_kbps.map(|kbps| format!(", room for {}", rate(kbps))).unwrap_or_default();
        let again = match path.retransmits {
            0 => "nothing sent again".to_owned(),
            number => format!("{} sent again", counted(number, "packet")),
        };
        let rtt = f64::from(path.rtt_us) / 1_000.0;
        let severity = if bad { Severity::Warning } else { Severity::Info };
        Some(Said::new(Kind::Path, severity, format!("the way to the viewer: {rtt:.1} ms and back, {again}{carries}")))
    }
}

fn put_together(sum: &mut Served, served: &Served) {
    sum.requests = sum.requests.saturating_add(served.requests);
    sum.playlists = sum.playlists.saturating_add(served.playlists);
    sum.media = sum.media.saturating_add(served.media);
    sum.hits = sum.hits.saturating_add(served.hits);
    sum.bytes = sum.bytes.saturating_add(served.bytes);
    sum.first_byte_ms = sum.first_byte_ms.max(served.first_byte_ms);
    sum.hold_ms = sum.hold_ms.max(served.hold_ms);
    sum.rendition = served.rendition.clone().or(sum.rendition.take());
}

/// A player's words do not fill the page, and control nobody's terminal.
fn shortened(text: String) -> String {
    let is_plain = !text.chars().any(char::is_control);
    if is_plain && text.len() <= LONGEST_TEXT {
        return text;
    }
    let mut text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

fn of_began(began: &Began) -> Said {
    let tls = if began.tls { "" } else { " without TLS" };
    let player = began.player.as_deref().map(|player| format!(", {player}")).unwrap_or_default();
    let device = match &*began.device {
        "" | "unknown" => String::new(),
        device => format!(" on {device}"),
    };
    let address = began.address.as_deref().map(|address| format!(", from {address}")).unwrap_or_default();
    let country = began.country.as_deref().map(|country| format!(" ({country})")).unwrap_or_default();
    let text = format!("the viewer comes over {}{tls}{player}{device}{address}{country}", protocol(&began.protocol));
    Said::new(Kind::Session, Severity::Info, text)
}

fn of_verdict(verdict: &Verdict) -> Said {
    match &verdict.reason {
        None => Said::new(Kind::Token, Severity::Info, format!("the token opens {}", verdict.access)),
        Some(reason) => {
            Said::new(Kind::Token, Severity::Error, format!("the token does not open {}: {reason}", verdict.access))
        }
    }
}

fn of_request(request: &Request) -> Said {
    let Request { path, status, .. } = request;
    let mut text = format!("{path}: {status}");
    if let Some(reason) = &request.reason {
        text += &format!(" {reason}");
    }
    text += &format!(" in {}", span(request.took_ms));
    if request.hold_ms > 0 {
        text += &format!(", held {}", span(request.hold_ms));
    }
    let cause = request.cause.as_deref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    text += &format!(", {}{cause}", request.cache);
    if let Some(fetch) = &request.origin {
        text += &format!("; {}", fetch_text(fetch));
    }
    if !request.complete {
        text += match request.broken.as_deref() {
            Some("viewer") => "; the viewer wanted no more of it",
            Some("origin") => "; it broke off before its end",
            Some("network") => "; the way to the viewer broke down",
            _ => "; the viewer did not get all of it",
        };
    }
    let failed = request.origin.as_ref().is_some_and(|fetch| has_trouble(fetch).is_some());
    let is_cut = !request.complete && request.broken.as_deref() != Some("viewer");
    let slow = request.first_byte_ms >= SLOW_MS || failed || is_cut;
    let severity = match () {
        () if *status >= 400 => Severity::Error,
        () if slow => Severity::Warning,
        () => Severity::Info,
    };
    Said::new(Kind::Request, severity, text)
}

fn fetch_text(fetch: &Fetch) -> String {
    let Fetch { origin, wait_ms, .. } = fetch;
    match (fetch.status, &fetch.error) {
        (_, Some(error)) => format!("origin {origin} failed after {}: {error}", span(*wait_ms)),
        (Some(status), None) => format!("origin {origin} answered {status} after {}", span(*wait_ms)),
        (None, None) => format!("origin {origin} did not answer within {}", span(*wait_ms)),
    }
}

fn of_fetch(fetch: &Fetch) -> Said {
    let severity = if has_trouble(fetch).is_some() { Severity::Warning } else { Severity::Info };
    Said::new(Kind::Fetch, severity, fetch_text(fetch))
}

fn of_served(served: &Served, seconds: u64) -> String {
    let mut parts = Vec::new();
    let others = served.requests.saturating_sub(served.playlists).saturating_sub(served.media);
    for (number, what) in [(served.playlists, "playlist"), (served.media, "media object"), (others, "other")] {
        if number > 0 {
            parts.push(counted(number.into(), what));
        }
    }
    let rendition = served.rendition.as_deref().map(|rendition| format!(" of {rendition}")).unwrap_or_default();
    let hold = if served.hold_ms > 0 { format!(", held up to {}", span(served.hold_ms)) } else { String::new() };
    format!(
        "{}{rendition} in {seconds} s: {}, {} from memory, first octet within {}{hold}",
        parts.join(", "),
        size(served.bytes),
        served.hits,
        span(served.first_byte_ms),
    )
}

fn of_ended(ended: &Ended) -> Said {
    let sum = format!("after {} and {}", counted(ended.requests, "request"), size(ended.bytes));
    match &*ended.reason {
        "idle" => Said::new(Kind::Session, Severity::Info, format!("nothing more is asked for, {sum}")),
        reason => Said::new(Kind::Session, Severity::Error, format!("the session is ended here: {reason}, {sum}")),
    }
}

fn of_change(change: &NodeChange, node: &str) -> Said {
    let of = change.of.as_deref().unwrap_or("?");
    let (severity, mut text) = match &*change.what {
        "started" => (Severity::Warning, format!("node {node} starts")),
        "reloaded" => (Severity::Info, format!("node {node} has read its configuration anew")),
        "draining" => (Severity::Warning, format!("node {node} is drained: viewers are asked to leave")),
        "drain-cancelled" => (Severity::Info, format!("node {node} takes viewers again: the drain is cancelled")),
        "stopping" => (Severity::Warning, format!("node {node} stops")),
        "origin-down" => (Severity::Warning, format!("origin {of} is not well")),
        "origin-up" => (Severity::Info, format!("origin {of} is well again")),
        "playlist-late" => (Severity::Warning, format!("the playlist {of} has stopped advancing")),
        "playlist-again" => (Severity::Info, format!("the playlist {of} advances again")),
        "keys-unavailable" => (Severity::Warning, format!("the keys of {of} cannot be had")),
        "keys-available" => (Severity::Info, format!("the keys of {of} are there again")),
        "webhook-down" => (Severity::Info, format!("the backend of {of} takes no events")),
        "webhook-up" => (Severity::Info, format!("the backend of {of} takes events again")),
        "sink-down" => (Severity::Info, format!("the sink {of} takes nothing")),
        "sink-up" => (Severity::Info, format!("the sink {of} takes again")),
        "alarm" => (Severity::Warning, format!("alarm: {of}")),
        other => (Severity::Info, format!("node {node}: {other}")),
    };
    if let Some(detail) = &change.detail {
        text += &format!(" ({detail})");
    }
    Said::new(Kind::Change, severity, text)
}
