//! What a player says, in plain words. Its words are shortened and never mixed with the node's.

use crate::rules::qoe::report::{Data, Mode, Report, State};

use super::play::most;
use super::words::{rate, span};
use super::{Kind, Severity};

/// A line's substance.
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) severity: Severity,
    pub(super) text: String,
}

impl Said {
    pub(super) fn new(kind: Kind, severity: Severity, text: impl Into<String>) -> Self {
        Self { kind, severity, text: text.into() }
    }
}

/// What is worth a line of its own; `before`: what the player said last of its state.
pub(super) fn of_report(report: &Report, before: Option<State>) -> Option<Said> {
    let data = &report.data;
    if let Some(said) = data.sta.filter(|state| Some(*state) != before).map(|state| of_state(state, before, data)) {
        return Some(said);
    }
    let note = |severity, text: String| Some(Said::new(Kind::Report, severity, text));
    if let Some(event) = data.e.as_deref() {
        return of_event(event, data).or_else(|| of_numbers(report));
    }
    if data.bs == Some(true) {
        let ms = most(&data.bsd).map(|ms| format!(" for {}", span(ms))).unwrap_or_default();
        return note(Severity::Error, format!("the player ran out of buffer{ms}"));
    }
    of_numbers(report)
}

fn of_state(state: State, before: Option<State>, data: &Data) -> Said {
    let again = matches!(before, Some(State::Rebuffering | State::Paused | State::Seeking | State::Waiting));
    let rated = most(&data.pb).or(most(&data.br)).map(|kbps| format!(" at {}", rate(kbps))).unwrap_or_default();
    let errors = if data.ec.is_empty() { String::new() } else { format!(": {}", data.ec.join(", ")) };
    let (severity, text) = match state {
        State::Starting => (Severity::Info, "the player starts".to_owned()),
        State::Playing if again => (Severity::Info, format!("the player plays again{rated}")),
        State::Playing => {
            let took = data.msd.map(|ms| format!(", {} after its start", span(ms))).unwrap_or_default();
            (Severity::Info, format!("the player plays{rated}{took}"))
        }
        State::Seeking => (Severity::Info, "the viewer seeks".to_owned()),
        State::Rebuffering if matches!(before, None | Some(State::Starting | State::Preloading)) => {
            (Severity::Info, "the player fills its buffer".to_owned())
        }
        State::Rebuffering if before == Some(State::Seeking) => {
            (Severity::Info, "the player fills its buffer after the seek".to_owned())
        }
        State::Rebuffering => (Severity::Error, "the player stalls".to_owned()),
        State::Paused => (Severity::Info, "the viewer pauses".to_owned()),
        State::Waiting => (Severity::Warning, "the player waits".to_owned()),
        State::Ended => (Severity::Info, "the player has played to the end".to_owned()),
        State::Failed => (Severity::Error, format!("the player gives up{errors}")),
        State::Quit => (Severity::Info, "the viewer leaves".to_owned()),
        State::Preloading => (Severity::Info, "the player loads ahead of its start".to_owned()),
    };
    Said::new(Kind::State, severity, text)
}

fn of_event(event: &str, data: &Data) -> Option<Said> {
    let name = |text: &Option<Box<str>>| text.as_deref().unwrap_or("?").to_owned();
    let (severity, text) = match event {
        "e" => (Severity::Warning, format!("the player reports an error: {}", data.ec.join(", "))),
        "bc" => {
            let to = most(&data.br).or(most(&data.pb)).map(|kbps| format!(" to {}", rate(kbps))).unwrap_or_default();
            (Severity::Info, format!("the player changes its bit rate{to}"))
        }
        "b" if data.bg == Some(true) => (Severity::Info, "the player goes to the background".to_owned()),
        "b" => (Severity::Info, "the player comes to the foreground".to_owned()),
        "c" => (Severity::Info, format!("another content: {}", data.cid.as_deref().unwrap_or("?"))),
        "h" => (Severity::Info, format!("the player asks another host: {}", name(&data.h))),
        "m" => (Severity::Info, "the viewer mutes".to_owned()),
        "um" => (Severity::Info, "the viewer unmutes".to_owned()),
        "pc" => (Severity::Info, "the player is made small".to_owned()),
        "pe" => (Severity::Info, "the player is made large".to_owned()),
        "pr" => (Severity::Info, format!("the player plays at {} times the speed", data.pr.unwrap_or(1.0))),
        "sk" => (Severity::Info, "the viewer skips".to_owned()),
        "abs" | "as" => (Severity::Info, "an advertisement begins".to_owned()),
        "abe" | "ae" => (Severity::Info, "an advertisement ends".to_owned()),
        "ce" => (Severity::Info, format!("the player reports {}", name(&data.cen))),
        _ => return None,
    };
    Some(Said::new(Kind::Report, severity, text))
}

/// What is odd about a report of one response, or one that comes again and again.
fn of_numbers(report: &Report) -> Option<Said> {
    const SLOW_MS: u64 = 3_000;
    let data = &report.data;
    if report.mode == Mode::Request || data.e.as_deref() != Some("rr") {
        return None;
    }
    let url = data.url.as_deref().unwrap_or("something");
    let failed = data.rc.filter(|status| *status == 0 || *status >= 400);
    let slow = data.ttlb.or(data.ttfb).filter(|ms| *ms >= SLOW_MS);
    let text = match (failed, slow) {
        (Some(0), _) => format!("the player got no answer for {url}"),
        (Some(status), _) => format!("the player got {status} for {url}"),
        (None, Some(ms)) => format!("the player waited {} for {url}", span(ms)),
        (None, None) => return None,
    };
    Some(Said::new(Kind::Report, Severity::Warning, text))
}
