//! The records of a body: read one by one, each tied to its session, and cut down to what may be kept of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::config::reports::Kept;
use crate::request::edge::Edge;
use crate::request::policies::Policies;
use crate::request::refusal::Unwelcome;
use crate::request::{Head, Refusal, Scheme};
use crate::rules::qoe::fault::Fault;
use crate::rules::qoe::read::Read;
use crate::rules::qoe::report::{Data, Numbers, Report};
use crate::rules::qoe::{beacon, cmcd};
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Entry, Event};
use crate::stories::millis;
use crate::telemetry::beacons::{Dropped, Losses};

use super::terms::{Over, Terms};
use super::turn::Turn;
use super::whose::{Sender, Theirs};
use super::{Kind, wants_privacy};

/// How far a player's clock may be from the node's, in milliseconds: beyond that it is none.
const APART: u64 = 24 * 60 * 60 * 1_000;

/// A record that could be read, and how it was sent.
pub struct Record<'b> {
    sent: Cow<'b, [u8]>,
    read: Read,
}

impl Record<'_> {
    /// What event it is of.
    pub fn event(&self) -> &str {
        self.read.data.e.as_deref().unwrap_or_default()
    }
}

/// The work on one body.
pub struct Intake<'i> {
    /// The node.
    pub edge: &'i Edge,
    /// Its configuration.
    pub policies: &'i Policies,
    /// What the body came with.
    pub head: &'i Head,
    /// What it holds.
    pub kind: Kind,
    /// Who sent it.
    pub sender: &'i Sender<'i>,
    /// The worker's time for it.
    pub turn: Turn<'i>,
    /// What of it was dropped.
    pub losses: Losses,
}

impl<'i> Intake<'i> {
    /// What can be read of a body: at least one record.
    ///
    /// # Errors
    /// `TooManyRequests`; `Beacon`: nothing can.
    pub async fn read<'b>(&mut self, body: &'b [u8]) -> Result<Vec<Record<'b>>, Refusal> {
        match self.kind {
            Kind::Cmcd => {
                let lines = body.split(|octet| *octet == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
                let count = lines.min(cmcd::MOST_RECORDS);
                let records = cmcd::from_batch(body).take(count);
                let records = records.map(|(line, read)| read.map(|read| (Cow::Borrowed(line), read)));
                self.read_all(records, (count, lines - count)).await
            }
            Kind::Generic => match beacon::from_beacon(body) {
                Ok((records, beyond)) => {
                    let count = records.len();
                    let records = records.map(|read| read.map(|(text, read)| (text.into_bytes().into(), read)));
                    self.read_all(records, (count, beyond)).await
                }
                Err(fault) => {
                    self.losses.fault(fault, 1);
                    Err(Unwelcome::Empty(fault.as_str()).into())
                }
            },
        }
    }

    async fn read_all<'b>(
        &mut self,
        records: impl Iterator<Item = Result<(Cow<'b, [u8]>, Read), Fault>> + Send,
        (count, beyond): (usize, usize),
    ) -> Result<Vec<Record<'b>>, Refusal> {
        let mut all = Vec::with_capacity(count);
        let (mut first, mut is_counted) = (None, self.sender.is_named());
        if is_counted {
            self.sender.may_report(self.edge, self.head, (count, None))?;
        }
        for record in records {
            match record {
                Ok((sent, mut read)) => {
                    self.turn.worked_on(sent.len()).await;
                    if !is_counted && read.sid.is_some() {
                        self.sender.may_report(self.edge, self.head, (count, read.sid.as_deref()))?;
                        is_counted = true;
                    }
                    read.permit(&self.policies.config.qoe.intake.allow);
                    self.losses.faults(&read.faults);
                    all.push(Record { sent, read });
                }
                Err(fault) => {
                    // It may have been as long as any.
                    self.turn.worked_on(cmcd::LONGEST_RECORD).await;
                    self.losses.fault(fault, 1);
                    first = first.or(Some(fault));
                }
            }
        }
        if !is_counted {
            self.sender.may_report(self.edge, self.head, (count, None))?;
        }
        self.losses.fault(Fault::TooMany, u32::try_from(beyond).unwrap_or(u32::MAX));
        match all.is_empty() {
            true => Err(Unwelcome::Empty(first.map_or("it is empty", Fault::as_str)).into()),
            false => Ok(all),
        }
    }

    /// The entries that records come to: of those whose sender has a session here and that may be kept.
    ///
    /// # Errors
    /// `Beacon`: the routes of all of them take none.
    pub async fn entries(&mut self, records: Vec<Record<'_>>) -> Result<Vec<Entry>, Refusal> {
        let at = millis(self.edge.clock.wall());
        let (all, mut off) = (records.len(), 0);
        let mut entries = Vec::with_capacity(all);
        for record in records {
            self.turn.worked_on(record.sent.len()).await;
            if record.read.sid.is_none() && !self.sender.is_named() {
                self.losses.fault(Fault::NoSession, 1);
                continue;
            }
            let Some(theirs) = self.sender.of(self.edge, self.policies, (self.head, &record.read)) else {
                self.losses.dropped(Dropped::UnknownViewer);
                continue;
            };
            match keeps(self.head, &theirs, (&record.read, at)) {
                Err(why) => {
                    off += usize::from(why == Dropped::Off && theirs.terms.takes_none);
                    self.losses.dropped(why);
                }
                Ok(kept) => entries.push(entry(self.edge, theirs, (record, kept), (self.kind, at))),
            }
        }
        if off == all { Err(Unwelcome::Off.into()) } else { Ok(entries) }
    }
}

/// How much of a record is kept.
fn keeps(head: &Head, theirs: &Theirs<'_>, (read, at): (&Read, u64)) -> Result<Kept, Dropped> {
    let Terms { kept, over, .. } = theirs.terms;
    if over == Over::Tls && head.scheme == Scheme::Http {
        return Err(Dropped::Cleartext);
    }
    if read.data.ts.is_some_and(|ts| ts.abs_diff(at) > APART) {
        return Err(Dropped::Clock);
    }
    let kept = if kept == Kept::All && wants_privacy(head) { Kept::Essential } else { kept };
    match kept {
        Kept::Off => Err(Dropped::Off),
        Kept::Essential if !matches!(read.data.e.as_deref(), Some("ps" | "e")) => Err(Dropped::Essential),
        Kept::Essential | Kept::All => Ok(kept),
    }
}

fn entry(edge: &Edge, theirs: Theirs<'_>, (record, kept): (Record<'_>, Kept), (kind, at): (Kind, u64)) -> Entry {
    let Record { sent, read } = record;
    let session = theirs.session;
    let view = read.sid.as_deref().map(|sid| edge.stories.view(session, sid));
    let data = match kept {
        Kept::Essential => essential(read.data),
        Kept::All | Kept::Off => read.data,
    };
    let report = Report { mode: kind.mode(), view, record: Some(key(session, &sent)), data };
    Entry {
        at,
        session: Some(session),
        route: Some(theirs.route.name.clone()),
        stream: theirs.stream,
        event: Event::Report(Box::new(report)),
    }
}

/// What is left without anything that outlives the session, or says what is watched.
fn essential(data: Data) -> Data {
    Data {
        cid: None,
        cs: None,
        custom: BTreeMap::new(),
        h: None,
        nor: Vec::new(),
        smrt: None,
        tpb: Numbers::default(),
        url: None,
        ..data
    }
}

/// What a receiver knows a record by that it gets twice: players send one again octet by octet, `sn` included.
fn key(session: SessionId, raw: &[u8]) -> Box<str> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&session.0);
    context.update(raw);
    context.finish().as_ref()[..16].iter().map(|octet| format!("{octet:02x}")).collect::<String>().into()
}
