//! Faults as data: what a rule says, and what all rules together say of one request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::timeline::{PartPlan, Timeline};

/// A rule of the fault desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Name by which it is removed or released; given by the desk if empty. A rule with the name of another replaces it.
    #[serde(default)]
    pub id: String,
    /// What it applies to: a part of path and query, or, if it has a `*`, a pattern for all of it. Default: everything.
    #[serde(default = "everything")]
    pub pattern: String,
    /// For how many matching requests it holds; absent: until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
}

fn everything() -> String {
    "*".to_owned()
}

impl Rule {
    /// A rule for every request that matches `pattern`.
    pub fn new(pattern: &str, action: Action) -> Self {
        Self { id: String::new(), pattern: pattern.to_owned(), count: None, action }
    }

    /// The same for the next `count` matching requests only.
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Whether it applies to a request for `url` (path and query).
    pub fn matches(&self, url: &str) -> bool {
        if self.action.on_playlists_only() && !url.split('?').next().is_some_and(|path| path.ends_with(".m3u8")) {
            return false;
        }
        match self.pattern.split_once('*') {
            None => url.contains(&self.pattern),
            Some((head, tail)) => url.strip_prefix(head).is_some_and(|rest| glob(tail, rest)),
        }
    }
}

/// Whether `text` ends as `tail` says, which follows a `*`.
fn glob(tail: &str, text: &str) -> bool {
    let mut rest = text;
    let mut steps = tail.split('*').peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_none() {
            return rest.ends_with(step);
        }
        let Some(found) = rest.find(step) else {
            return false;
        };
        rest = &rest[found + step.len()..];
    }
    true
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// The answer begins later.
    Delay {
        /// By so many milliseconds.
        ms: u64,
    },
    /// The request is held until the rule is released or removed.
    Hold,
    /// The body stops until the rule is released or removed.
    Stall {
        /// After so many bytes.
        after: u64,
    },
    /// The body ends too early: the connection is closed (HTTP/1.1) or the stream reset (HTTP/2).
    Cut {
        /// After so many bytes.
        after: u64,
    },
    /// The connection is reset (TCP RST).
    Reset {
        /// After so many bytes of the body; absent: before any answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
    /// Another status.
    Status {
        /// Status code.
        code: u16,
        /// `Location`, for redirects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
    /// 200 with an HTML page.
    Html,
    /// Playlists stay as they were when the rule was made.
    Freeze {
        /// Whether blocking reloads are held (to end in 503) rather than answered at once with the frozen playlist.
        #[serde(default)]
        hold: bool,
    },
    /// Playlists are those of the past.
    Rewind {
        /// So many segments ago.
        segments: u64,
    },
    /// The timeline begins anew, at segment 0, when the rule is made.
    Restart,
    /// From the next segment on parts have another length, for all requests; removing the rule goes back from the next segment on.
    PartTarget {
        /// Milliseconds, rounded to whole frames.
        ms: u64,
    },
    /// Blocking reloads are answered at once with the present playlist.
    AnswerAtOnce,
    /// The body comes slowly.
    Drip {
        /// Bytes per second.
        bytes_per_s: u64,
    },
    /// The origin stops listening and resets all connections, until the rule is removed.
    Die,
}

impl Action {
    fn on_playlists_only(&self) -> bool {
        matches!(self, Self::Freeze { .. } | Self::Rewind { .. } | Self::AnswerAtOnce)
    }
}

/// Where requests wait: counts those that came, and lets all of them through at once.
#[derive(Debug)]
pub struct Barrier(watch::Sender<(u64, bool)>);

impl Barrier {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new((0, false))))
    }

    /// Requests that came to it.
    pub fn came(&self) -> u64 {
        self.0.borrow().0
    }

    /// Lets through all who wait and all who come.
    pub(super) fn open(&self) {
        self.0.send_modify(|(_, open)| *open = true);
    }

    /// Comes to it, and returns when it is open.
    pub(super) async fn pass(&self) {
        self.0.send_modify(|(came, _)| *came += 1);
        // The sender is `self`, so that the wait ends by the barrier being open.
        let _ = self.0.subscribe().wait_for(|(_, open)| *open).await;
    }

    /// Returns when `count` requests have come.
    pub(super) async fn reached(&self, count: u64) {
        let _ = self.0.subscribe().wait_for(|(came, _)| *came >= count).await;
    }
}

/// What is sent instead of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Nothing: the connection is reset.
    Reset,
    /// A status, and perhaps a `Location`.
    Status(u16, Option<String>),
    /// A page.
    Html,
}

/// How a body ends before its time.
#[derive(Clone, Debug)]
pub enum Break {
    /// It waits there.
    Stall(Arc<Barrier>),
    /// It ends there.
    Cut,
    /// The connection is reset there.
    Reset,
}

/// How time looks through the rules that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lens {
    /// Playlists stand still at this Unix millisecond; whether blocking reloads are held.
    pub frozen: Option<(u64, bool)>,
    /// Playlists are so many segments old.
    pub rewind: u64,
    /// The timeline began at this Unix millisecond.
    pub restarted: Option<u64>,
    /// Blocking reloads do not block.
    pub at_once: bool,
}

impl Lens {
    /// The timeline as it looks.
    pub fn timeline(&self, timeline: Timeline, now: u64) -> Timeline {
        let Some(epoch_ms) = self.restarted else {
            return timeline;
        };
        let frames = timeline.plan.frames(timeline.edge(now).open);
        Timeline { epoch_ms, plan: PartPlan::new(frames * 1000 / super::clip::FPS) }
    }
}

/// What all rules say of one request.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Barriers to pass first.
    pub holds: Vec<Arc<Barrier>>,
    /// Milliseconds to wait then.
    pub delay_ms: u64,
    /// What is sent instead of the answer.
    pub instead: Option<Instead>,
    /// How time looks.
    pub lens: Lens,
    /// Bytes per second of the body.
    pub drip: Option<u64>,
    /// How and after how many bytes the body breaks.
    pub broken: Option<(u64, Break)>,
}

impl Verdict {
    /// Adds what a matching rule says, made at `since_ms`. Of rules for the same thing the first one counts.
    pub(super) fn add(&mut self, action: &Action, since_ms: u64, barrier: &Arc<Barrier>) {
        match action {
            Action::Delay { ms } => self.delay_ms = self.delay_ms.saturating_add(*ms),
            Action::Hold => self.holds.push(barrier.clone()),
            Action::Stall { after } => self.break_at(*after, Break::Stall(barrier.clone())),
            Action::Cut { after } => self.break_at(*after, Break::Cut),
            Action::Reset { after: Some(after) } => self.break_at(*after, Break::Reset),
            Action::Reset { after: None } => self.replace(Instead::Reset),
            Action::Status { code, location } => self.replace(Instead::Status(*code, location.clone())),
            Action::Html => self.replace(Instead::Html),
            Action::Freeze { hold } => self.lens.frozen = self.lens.frozen.or(Some((since_ms, *hold))),
            Action::Rewind { segments } => self.lens.rewind = self.lens.rewind.max(*segments),
            Action::Restart => self.lens.restarted = self.lens.restarted.max(Some(since_ms)),
            Action::AnswerAtOnce => self.lens.at_once = true,
            Action::Drip { bytes_per_s } => self.drip = self.drip.or(Some((*bytes_per_s).max(1))),
            Action::PartTarget { .. } | Action::Die => {} // act on the origin, not on a request
        }
    }

    fn replace(&mut self, instead: Instead) {
        self.instead.get_or_insert(instead);
    }

    fn break_at(&mut self, after: u64, how: Break) {
        self.broken.get_or_insert((after, how));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_parts_or_globs() {
        let matches = |pattern: &str, url: &str| Rule::new(pattern, Action::Hold).matches(url);
        for (pattern, url, expected) in [
            ("seg-", "/live/v0/seg-1.m4s", true),
            ("*", "/", true),
            ("/live/*.m4s", "/live/v0/seg-1.m4s", true),
            ("/live/*.m4s", "/br/v0/seg-1.m4s", false),
            ("/live/*.m4s", "/live/v0/seg-1.m4s?x", false),
            ("*v0*seg*", "/live/v0/seg-1.m4s", true),
            ("*seg*v0*", "/live/v0/seg-1.m4s", false),
            ("*aab", "/aaab", true),
            ("/a*a", "/a", false),
            ("_HLS_msn=7", "/live/v0/media.m3u8?_HLS_msn=7", true),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
        assert!(!Rule::new("*", Action::AnswerAtOnce).matches("/live/v0/seg-1.m4s"));
    }

    #[test]
    fn rules_read_as_the_json_of_the_control_port() {
        let rule: Rule = serde_json::from_str(r#"{"action":"stall","after":100,"pattern":"seg","count":2}"#).unwrap();
        assert_eq!(rule, Rule::new("seg", Action::Stall { after: 100 }).times(2));
        let rule: Rule = serde_json::from_str(r#"{"action":"part-target","ms":500}"#).unwrap();
        assert_eq!(rule, Rule::new("*", Action::PartTarget { ms: 500 }));
        assert!(serde_json::from_str::<Rule>(r#"{"action":"explode"}"#).is_err());
    }
}
