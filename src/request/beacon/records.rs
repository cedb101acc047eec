//! The records of a body: read one by one, each tied to its session, and cut down to what may be kept of it.

use std::collections::BTreeMap;

use aws_lc_rs::digest;

use crate::config::reports::Kept;
use crate::request::edge::Edge;
use crate::request::policies::Policies;
use crate::request::refusal::Unwelcome;
use crate::request::{Head, Refusal, Scheme};
use crate::rules::qoe::fault::{Fault, Faults};
use crate::rules::qoe::read::{Allow, Read};
use crate::rules::qoe::report::{Data, Report};
use crate::rules::qoe::{beacon, cmcd};
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Entry, Event};
use crate::stories::millis;
use crate::telemetry::beacons::{Beacons, Dropped};

use super::whose::{Sender, Theirs};
use super::{Kind, wants_privacy};

/// How far a player's clock may be from the node's, in milliseconds: beyond that it is none.
const APART: u64 = 24 * 60 * 60 * 1_000;

/// What could be read of a body: at least one record.
pub struct Batch {
    kind: Kind,
    /// Each with a hash of how it was sent.
    records: Vec<(Box<[u8]>, Read)>,
}

impl Batch {
    /// Reads a body; what cannot be read of it is counted.
    ///
    /// # Errors
    /// `Beacon`: nothing can.
    pub fn read(beacons: &Beacons, allow: &Allow, (kind, body): (Kind, &[u8])) -> Result<Self, Refusal> {
        let mut records = Vec::new();
        let mut first = None;
        let mut note = |raw: &[u8], read: Result<Read, Fault>| match read {
            Ok(mut read) => {
                read.permit(allow);
                beacons.faults(&read.faults);
                records.push((raw.into(), read));
            }
            Err(fault) => {
                beacons.faults(&Faults::from(fault));
                first = first.or(Some(fault));
            }
        };
        match kind {
            Kind::Cmcd => {
                cmcd::from_batch(body).for_each(|(raw, read)| note(raw, read));
                // Older players end the last record as all others (CTA-5004-B §3.3).
                if body.ends_with(b"\n") {
                    beacons.faults(&Fault::Irregular.into());
                }
            }
            Kind::Generic => match beacon::from_beacon(body) {
                Ok(all) => all.into_iter().for_each(|(raw, read)| note(raw.as_bytes(), read)),
                Err(fault) => note(b"", Err(fault)),
            },
        }
        match records.is_empty() {
            true => Err(Unwelcome::Empty(first.map_or("it is empty", Fault::as_str)).into()),
            false => Ok(Self { kind, records }),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// What the player of the first that says so calls its session.
    pub fn sid(&self) -> Option<&str> {
        self.records.iter().find_map(|(_, read)| read.sid.as_deref())
    }

    /// Whether there is one of such an event.
    pub fn has(&self, is_such: impl Fn(&str) -> bool) -> bool {
        self.records.iter().any(|(_, read)| is_such(read.data.e.as_deref().unwrap_or_default()))
    }
}

/// The entries that a batch comes to: those of its records whose sender has a session here and that may be kept.
///
/// # Errors
/// `Beacon`: the routes of all its records take none.
pub fn entries(
    edge: &Edge,
    policies: &Policies,
    head: &Head,
    (sender, batch): (&Sender, Batch),
) -> Result<Vec<Entry>, Refusal> {
    let at = millis(edge.clock.wall());
    let (all, mut off) = (batch.len(), 0);
    let mut entries = Vec::with_capacity(all);
    let drop = |why| edge.beacons.dropped(why, 1);
    for (raw, read) in batch.records {
        if read.sid.is_none() && !sender.is_named() {
            edge.beacons.faults(&Faults::from(Fault::NoSession));
            continue;
        }
        let Some(theirs) = sender.of(edge, policies, (head, &read)) else {
            drop(Dropped::UnknownViewer);
            continue;
        };
        match keeps(head, &theirs, (&read, at)) {
            Err(why) => {
                off += usize::from(why == Dropped::Off);
                drop(why);
            }
            Ok(kept) => entries.push(entry(edge, theirs, (&raw, read, kept), (batch.kind, at))),
        }
    }
    if off == all { Err(Unwelcome::Off.into()) } else { Ok(entries) }
}

/// How much of a record is kept.
fn keeps(head: &Head, theirs: &Theirs<'_>, (read, at): (&Read, u64)) -> Result<Kept, Dropped> {
    let route = theirs.route.map(|route| &route.config);
    if route.is_some_and(|route| route.https_only) && head.scheme == Scheme::Http {
        return Err(Dropped::Cleartext);
    }
    if read.data.ts.is_some_and(|ts| ts.abs_diff(at) > APART) {
        return Err(Dropped::Clock);
    }
    let kept = route.map(|route| route.reporting.beacons).unwrap_or_default();
    let kept = if kept == Kept::All && wants_privacy(head) { Kept::Essential } else { kept };
    match kept {
        Kept::Off => Err(Dropped::Off),
        Kept::Essential if !matches!(read.data.e.as_deref(), Some("ps" | "e")) => Err(Dropped::Essential),
        Kept::Essential | Kept::All => Ok(kept),
    }
}

fn entry(edge: &Edge, theirs: Theirs<'_>, (raw, read, kept): (&[u8], Read, Kept), (kind, at): (Kind, u64)) -> Entry {
    let session = theirs.session;
    let view = read.sid.as_deref().map(|sid| edge.stories.key().view(session, sid));
    let data = match kept {
        Kept::Essential => essential(read.data),
        Kept::All | Kept::Off => read.data,
    };
    let report = Report { mode: kind.mode(), view, record: Some(key(session, raw)), data };
    Entry {
        at,
        session: Some(session),
        route: theirs.route.map(|route| route.name.clone()),
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
        tpb: Vec::new(),
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
