//! Entries as the log keeps them: one line of JSON each, which is what goes upstream. There are very many of them: all of a
//! round are written in the same memory, and each is kept in as much as it takes.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use serde::Serialize;

use super::Stories;
use crate::journal::log::{Class, Record};
use crate::rules::timeline::event::{Entry, Event, SCHEMA};
use crate::rules::timeline::line;

/// Who tells it: the same in every line.
#[derive(Serialize)]
struct Teller<'a> {
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
}

/// What lines of a round are written with: the version of the line, the key that a receiver knows it by that gets it twice,
/// who tells it, and the fields of the entry.
pub(super) struct Lines<'a> {
    number: &'a AtomicU64,
    /// All before the key.
    version: String,
    /// How keys of the node's own begin.
    boot: String,
    /// What is between the key and the entry.
    teller: Vec<u8>,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Lines of these stories.
    pub(super) fn of(stories: &'a Stories) -> Self {
        let Stories { node, region, number, boot, .. } = stories;
        let mut teller = serde_json::to_vec(&Teller { node, region: region.as_deref() }).expect("names are JSON");
        teller[0] = b','; // it goes on behind the key
        teller.pop(); // and is not its end
        let (version, boot) = (format!("{{\"schema\":{SCHEMA},\"key\":"), format!("{boot:x}-"));
        Self { number, version, boot, teller, line: Vec::new() }
    }

    /// The record of an entry, with the next number.
    pub(super) fn record(&mut self, entry: &Entry) -> Record {
        let number = self.number.fetch_add(1, Relaxed);
        let (key, class) = match &entry.event {
            Event::Report(report) => {
                let class = match report.data.e.as_deref() {
                    Some("t") => Class::Interval,
                    Some("rr") => Class::Response,
                    _ => Class::Lasting,
                };
                (report.record.as_deref(), class)
            }
            _ => (None, Class::Lasting),
        };
        let Self { version, boot, teller, line, .. } = self;
        line.clear();
        line.extend_from_slice(version.as_bytes());
        match key {
            Some(key) => serde_json::to_writer(&mut *line, key).expect("a key is JSON"),
            None => write!(line, "\"{boot}{number:x}\"").expect("memory takes all that is written"),
        }
        line.extend_from_slice(teller);
        let begin = line.len();
        line::write(entry, line);
        line[begin] = b','; // its fields are the line's own
        Record { session: entry.session, at: entry.at, class, line: Bytes::copy_from_slice(line) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Names;
    use super::*;
    use crate::clock::{Clock, WallTime};
    use crate::journal::log::Log;
    use crate::rules::qoe::report::{Data, Mode, Report};
    use crate::rules::session::{PrintKey, SessionId};
    use crate::rules::timeline::event::Lost;

    fn line(region: Option<&str>, event: Event) -> String {
        let names = Names { node: "edge-\"1\"".into(), region: region.map(Into::into), boot: 0x19a };
        let log = (Log::in_memory(1 << 20), PrintKey::new(&[1; 32]));
        let stories = Stories::new(Clock::manual(WallTime::default()), names, 1, log);
        let entry = Entry { at: 7, session: Some(SessionId([1; 12])), route: Some("live".into()), stream: None, event };
        let mut lines = Lines::of(&stories);
        lines.record(&entry);
        String::from_utf8(lines.record(&entry).line.to_vec()).unwrap()
    }

    #[test]
    fn a_line_says_its_version_its_key_its_teller_and_its_entry() {
        let session = "010101010101010101010101";
        let data = Data { sn: Some(1), cid: Some(Arc::from("show")), ..Data::default() };
        let report = |record: Option<&str>| {
            let (record, data) = (record.map(Into::into), data.clone());
            Event::Report(Box::new(Report { mode: Mode::Event, view: None, record, data }))
        };
        assert_eq!(
            line(Some("ams"), Event::Lost(Lost { reason: "ring-full".into(), count: 2 })),
            format!(
                r#"{{"schema":1,"key":"19a-1","node":"edge-\"1\"","region":"ams","at":7,"session":"{session}","route":"live","event":"lost","reason":"ring-full","count":2}}"#
            )
        );
        assert_eq!(
            line(None, report(None)),
            format!(
                r#"{{"schema":1,"key":"19a-1","node":"edge-\"1\"","at":7,"session":"{session}","route":"live","event":"report","mode":"event","cid":"show","sn":1}}"#
            )
        );
        assert_eq!(
            line(None, report(Some("ab"))),
            format!(
                r#"{{"schema":1,"key":"ab","node":"edge-\"1\"","at":7,"session":"{session}","route":"live","event":"report","mode":"event","record":"ab","cid":"show","sn":1}}"#
            )
        );
    }
}
