//! `weir session`: one viewer's session as a story. Each node is asked for what it wrote down; the story is told here, by the
//! same rule as on the nodes, so that a viewer who crosses nodes has one.

use std::collections::BTreeSet;
use std::io::{self, Write};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{plain, row};
use super::client::{ClientError, Node, escaped};
use super::{Outcome, SessionArguments};
use crate::clock::{Clock, WallTime};
use crate::rules::fields::date;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::Entry;
use crate::rules::timeline::story::words::{protocol, rate, size, span, times};
use crate::rules::timeline::story::{Cause, Severity, Source, Story, Told, story};

/// `GET /sessions/{id}/entries`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entries {
    node: String,
    session: String,
    entries: Vec<Value>,
}

/// `300`: several sessions are called so.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    found: Vec<Row>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    session: String,
    support_code: String,
    stream: Option<String>,
    began: u64,
    ended: u64,
    headline: String,
}

/// `GET /sessions/{id}/others`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Others {
    sessions: usize,
    examined: usize,
    complete: bool,
    streams: std::collections::BTreeMap<String, usize>,
    protocols: std::collections::BTreeMap<String, usize>,
    countries: std::collections::BTreeMap<String, usize>,
    players: std::collections::BTreeMap<String, usize>,
    found: Vec<Row>,
}

/// `DELETE /sessions/{id}`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Erased {
    entries: u64,
}

/// What a node says to a name.
enum Said {
    Entries(Entries),
    Several(Vec<Row>),
    Nothing,
}

/// Nodes that were asked, with what could not be asked.
struct Asked<'a> {
    nodes: Vec<Node<'a>>,
    failed: Vec<ClientError>,
}

/// `weir session`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn session(
    arguments: &SessionArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let nodes: Result<Vec<_>, _> = arguments.nodes().iter().map(|one| Node::of(one, clock)).collect();
    let mut asked = match nodes {
        Ok(nodes) => Asked { nodes, failed: Vec::new() },
        Err(error) => return super::client::complain(&error, complaints),
    };
    let (rows, told) = asked.gather(&arguments.what, arguments.access.as_deref()).await;
    if arguments.erase {
        return asked.erase(arguments, &rows, (out, complaints)).await;
    }
    let newest = rows.iter().max_by_key(|row| row.ended).and_then(|row| SessionId::read(&row.session));
    let Some(id) = newest else { return asked.nothing(arguments, complaints) };
    let told = asked.all_of(id, told).await;
    let Some(story) = story(id, &told) else { return asked.nothing(arguments, complaints) };
    let others = if arguments.others { asked.others(id).await } else { Vec::new() };
    // What could not be asked may be missing from the story.
    let outcome = asked.complain(complaints)?;
    if arguments.json {
        let mut facts = serde_json::to_value(&story).expect("a story is JSON");
        if arguments.others {
            facts["others"] = others.into_iter().map(|(_, facts)| facts).collect();
        }
        writeln!(out, "{facts}")?;
        return Ok(outcome);
    }
    out.write_all(text(&story).as_bytes())?;
    if arguments.others {
        let others: Vec<_> = others.into_iter().map(|(others, _)| others).collect();
        out.write_all(others_text(&story, &others).as_bytes())?;
    }
    out.write_all(more_text(&story, &rows).as_bytes())?;
    Ok(outcome)
}

impl Asked<'_> {
    /// Asks every node for what is called so: the sessions that it names, and what was written down of them.
    async fn gather(&mut self, what: &str, access: Option<&str>) -> (Vec<Row>, Vec<Entries>) {
        let mut rows = Vec::new();
        let mut told = Vec::new();
        for node in &self.nodes {
            match entries(node, what, access).await {
                Ok(Said::Entries(entries)) => {
                    let ended = entries.entries.iter().filter_map(|entry| entry["at"].as_u64()).max();
                    rows.push(Row {
                        session: entries.session.clone(),
                        ended: ended.unwrap_or_default(),
                        ..Row::default()
                    });
                    told.push(entries);
                }
                Ok(Said::Several(several)) => rows.extend(several),
                Ok(Said::Nothing) => {}
                Err(error) => self.failed.push(error),
            }
        }
        (rows, told)
    }

    /// What all nodes wrote down of one session: `told` is known, the rest is asked for.
    async fn all_of(&mut self, id: SessionId, told: Vec<Entries>) -> Vec<Told> {
        let name = id.to_string();
        let mut theirs: Vec<_> = told.into_iter().filter(|entries| entries.session == name).collect();
        if theirs.len() < self.nodes.len() {
            let (_, again) = self.gather(&name, None).await;
            theirs = again;
        }
        let mut seen = BTreeSet::new();
        // A node that is named twice says everything twice.
        theirs.retain(|entries| seen.insert(entries.node.clone()));
        // What a later version tells beyond what is known here is left out.
        let read = |entry: Value| serde_json::from_value::<Entry>(entry).ok();
        let told = theirs.into_iter().flat_map(|Entries { node, entries, .. }| {
            let node: std::sync::Arc<str> = node.into();
            entries.into_iter().filter_map(read).map(move |entry| Told { node: node.clone(), entry })
        });
        told.collect()
    }

    async fn others(&mut self, id: SessionId) -> Vec<(Others, Value)> {
        let mut all = Vec::new();
        for node in &self.nodes {
            let target = format!("/sessions/{id}/others");
            match node.ok::<Value>(Method::GET, &target, "").await {
                Ok((facts, _)) => {
                    let others = serde_json::from_value(facts.clone()).unwrap_or_default();
                    all.push((others, facts));
                }
                // It was not on every node.
                Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
                Err(error) => self.failed.push(error),
            }
        }
        all
    }

    /// Erases everything that is called so, on every node: a node names so many sessions at once, and is asked again.
    async fn erase(
        mut self,
        arguments: &SessionArguments,
        rows: &[Row],
        (out, complaints): (&mut dyn Write, &mut dyn Write),
    ) -> io::Result<Outcome> {
        let named = |rows: &[Row]| rows.iter().map(|row| row.session.clone()).collect::<BTreeSet<_>>();
        let (mut sessions, mut done, mut facts) = (named(rows), BTreeSet::new(), Vec::new());
        if sessions.is_empty() {
            return self.nothing(arguments, complaints);
        }
        while !sessions.is_empty() {
            for session in &sessions {
                let (gone, on) = self.erase_one(session).await;
                facts.push(json!({ "session": session, "entries": gone, "nodes": on }));
                if !arguments.json {
                    writeln!(out, "{} is erased: {gone} entries on {}", plain(session), nodes(on))?;
                }
            }
            done.append(&mut sessions);
            let (rows, _) = self.gather(&arguments.what, arguments.access.as_deref()).await;
            sessions = &named(&rows) - &done;
        }
        if arguments.json {
            writeln!(out, "{}", Value::from(facts))?;
        } else {
            writeln!(out, "what was sent upstream already is the receiver's to erase")?;
        }
        self.complain(complaints)
    }

    /// Erases one session on every node: how many entries that were, on how many nodes.
    async fn erase_one(&mut self, session: &str) -> (u64, usize) {
        let (mut gone, mut on) = (0, 0);
        for node in &self.nodes {
            let target = format!("/sessions/{}", escaped(session));
            match node.ok::<Erased>(Method::DELETE, &target, "").await {
                Ok((erased, _)) => {
                    gone += erased.entries;
                    on += 1;
                }
                Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
                Err(error) => self.failed.push(error),
            }
        }
        (gone, on)
    }

    fn nothing(&self, arguments: &SessionArguments, complaints: &mut dyn Write) -> io::Result<Outcome> {
        let outcome = self.complain(complaints)?;
        if self.failed.len() < self.nodes.len() {
            let what = plain(&arguments.what);
            writeln!(complaints, "weir: nothing of `{what}` is kept on {}", nodes(self.nodes.len()))?;
            writeln!(complaints, "  help: name the other nodes of the region too, each with --admin")?;
            if arguments.access.is_none() {
                writeln!(complaints, "  help: a subject needs `--access NAME` where it is not the only one called so")?;
            }
            return Ok(Outcome::Finding);
        }
        Ok(outcome)
    }

    /// Says which nodes could not be asked, once.
    fn complain(&self, complaints: &mut dyn Write) -> io::Result<Outcome> {
        let (mut outcome, mut said) = (Outcome::Good, BTreeSet::new());
        for error in self.failed.iter().filter(|error| said.insert(error.to_string())) {
            outcome = super::client::complain(error, complaints)?;
        }
        Ok(outcome)
    }
}

async fn entries(node: &Node<'_>, what: &str, access: Option<&str>) -> Result<Said, ClientError> {
    let access = access.map(|access| format!("?access={}", escaped(access))).unwrap_or_default();
    let answer = node.ask(Method::GET, &format!("/sessions/{}/entries{access}", escaped(what)), "").await?;
    match answer.status {
        StatusCode::MULTIPLE_CHOICES => Ok(Said::Several(node.read::<Found>(answer)?.0.found)),
        StatusCode::NOT_FOUND => Ok(Said::Nothing),
        _ => Ok(Said::Entries(node.good(answer)?.0)),
    }
}

fn nodes(number: usize) -> String {
    if number == 1 { "1 node".to_owned() } else { format!("{number} nodes") }
}

/// A story as it reads on a terminal.
fn text(story: &Story) -> String {
    let Story { support_code, session, headline, cause, who, lines, .. } = story;
    let mut text = format!("{support_code}  {session}\n\n{}\n\n", plain(headline));
    row(&mut text, "cause", cause.word());
    row(&mut text, "watched", &watched(story));
    row(&mut text, "with", &with(story));
    row(&mut text, "when", &when(story));
    row(&mut text, "on", &who.nodes.iter().map(|node| plain(node)).collect::<Vec<_>>().join(", "));
    row(&mut text, "delivered", &delivered(story));
    row(&mut text, "reported", &reported(story));
    for (at, sentence) in story.evidence.iter().enumerate() {
        row(&mut text, if at == 0 { "also" } else { "" }, &plain(sentence));
    }
    text.push('\n');
    let longest = who.nodes.iter().map(|node| node.len()).max().unwrap_or_default();
    for line in lines {
        let mark = match line.severity {
            Severity::Info => ' ',
            Severity::Warning => '~',
            Severity::Error => '!',
        };
        let source = match line.source {
            Source::Node => "node",
            Source::Player => "player",
            Source::Origin => "origin",
        };
        let on = if who.nodes.len() > 1 { format!("{:longest$}  ", plain(&line.node)) } else { String::new() };
        text += &format!("{mark} {}  {on}{source:6}  {}\n", moment(line.at), plain(&line.text));
    }
    if story.omitted > 0 {
        text += &format!("  {} more lines went as they should and are left out\n", story.omitted);
    }
    text
}

/// Hours, minutes, seconds and milliseconds of the day, by UTC.
fn moment(at: u64) -> String {
    let seconds = at / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, at % 1_000)
}

fn day(at: u64) -> String {
    let date = date::format(WallTime::at(std::time::Duration::from_millis(at)));
    date.to_str().unwrap_or_default().to_owned()
}

fn watched(story: &Story) -> String {
    let who = &story.who;
    let mut parts = Vec::new();
    parts.extend(who.stream.as_deref().map(plain));
    parts.extend(who.route.as_deref().map(|route| format!("route {}", plain(route))));
    parts.extend(who.access.as_deref().map(|access| format!("access {}", plain(access))));
    parts.join(", ")
}

fn with(story: &Story) -> String {
    let who = &story.who;
    let mut parts = Vec::new();
    parts.extend(who.player.as_deref().map(plain));
    parts.extend(who.device.as_deref().filter(|device| *device != "unknown").map(plain));
    let protocols: Vec<_> = who.protocols.iter().map(|word| plain(protocol(word))).collect();
    parts.extend((!protocols.is_empty()).then(|| protocols.join(" and ")));
    parts.extend(who.country.as_deref().map(plain));
    parts.join(", ")
}

fn when(story: &Story) -> String {
    format!("{}, for {}", day(story.began), span(story.ended.saturating_sub(story.began)))
}

fn delivered(story: &Story) -> String {
    let figures = &story.figures;
    let mut parts = vec![format!("{} requests", figures.requests)];
    parts.push(format!("{} from memory", figures.hits));
    if figures.refused > 0 {
        parts.push(format!("{} refused", figures.refused));
    }
    parts.push(size(figures.bytes));
    parts.extend(figures.rtt_ms.map(|ms| format!("round trip up to {ms:.0} ms")));
    parts.extend(figures.retransmits.filter(|number| *number > 0).map(|number| format!("{number} packets sent again")));
    parts.join(", ")
}

fn reported(story: &Story) -> String {
    let figures = &story.figures;
    if figures.reports == 0 {
        return "nothing".to_owned();
    }
    let mut parts = Vec::new();
    let about = if figures.startup_estimated { "about " } else { "" };
    parts.extend(figures.startup_ms.map(|ms| format!("started in {about}{}", span(ms))));
    parts.extend(figures.played_ms.map(|ms| format!("{} played", span(ms))));
    let stalls = usize::try_from(figures.stalls).unwrap_or(usize::MAX);
    parts.push(match stalls {
        0 => "no stall".to_owned(),
        number => format!("stalled {}, for {}", times(number), span(figures.stalled_ms)),
    });
    parts.extend(figures.kbps.map(rate));
    parts.extend(figures.latency_ms.map(|ms| format!("{} behind live", span(ms))));
    if figures.reports_missing + figures.reports_dropped > 0 {
        parts.push(format!("{} reports missing, {} dropped", figures.reports_missing, figures.reports_dropped));
    }
    parts.join(", ")
}

fn others_text(story: &Story, all: &[Others]) -> String {
    if story.cause == Cause::NothingWrong {
        return "\nnothing went wrong here that others could have had\n".to_owned();
    }
    let sum = |of: &dyn Fn(&Others) -> usize| all.iter().map(of).sum::<usize>();
    let number = sum(&|others| others.sessions);
    let at_least = if all.iter().all(|others| others.complete) { "" } else { "at least " };
    let mut text = format!(
        "\n{at_least}{} had the same ({}) at the same time, of {} looked at\n",
        match number {
            0 => "nobody else".to_owned(),
            1 => "1 other session".to_owned(),
            number => format!("{number} other sessions"),
        },
        story.cause.word(),
        sum(&|others| others.examined),
    );
    let by = |of: &dyn Fn(&Others) -> &std::collections::BTreeMap<String, usize>| {
        let mut counts = std::collections::BTreeMap::new();
        for (name, number) in all.iter().flat_map(|others| of(others).iter()) {
            *counts.entry(plain(name)).or_insert(0) += number;
        }
        counts.into_iter().map(|(name, number)| format!("{name} {number}")).collect::<Vec<_>>().join(", ")
    };
    row(&mut text, "streams", &by(&|others| &others.streams));
    row(&mut text, "protocols", &by(&|others| &others.protocols));
    row(&mut text, "countries", &by(&|others| &others.countries));
    row(&mut text, "players", &by(&|others| &others.players));
    for row in all.iter().flat_map(|others| &others.found) {
        text += &format!("  {}  {}\n", plain(&row.support_code), plain(&row.headline));
    }
    text
}

/// The other sessions that are called so.
fn more_text(story: &Story, rows: &[Row]) -> String {
    let told = story.session.to_string();
    let mut more: Vec<_> = rows.iter().filter(|row| row.session != told && !row.support_code.is_empty()).collect();
    more.sort_by_key(|row| std::cmp::Reverse(row.ended));
    more.dedup_by_key(|row| row.session.clone());
    if more.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{} more of this name, the latest first\n", more.len());
    for row in more {
        let stream = row.stream.as_deref().map(plain).unwrap_or_default();
        text += &format!("  {}  {}  {stream}  {}\n", plain(&row.session), day(row.began), plain(&row.headline));
    }
    text
}

#[cfg(test)]
mod tests;
