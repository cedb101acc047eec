//! How entries are written: octet by octet as their derivation says, by which they are read back. What players report comes
//! with every request, and most of its octets are names of fields: these are written as they stand here, and only values
//! go through the library.

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::{Entry, Event};
use crate::rules::qoe::report::{Data, Numbers, Rated, Report};
use crate::rules::session::SessionId;

/// Writes an entry as an object of JSON behind what stands in `line`.
pub fn write(entry: &Entry, line: &mut Vec<u8>) {
    match &entry.event {
        Event::Report(report) => write_report(entry, report, line),
        _ => json(entry, line),
    }
}

/// Writes fields by their names, each behind a comma, where they are said.
macro_rules! fields {
    ($line:ident: $($name:ident)*) => {
        $(if $name.is_said() {
            $line.extend_from_slice(concat!(",\"", stringify!($name), "\":").as_bytes());
            $name.write($line);
        })*
    };
}

fn write_report(entry: &Entry, report: &Report, line: &mut Vec<u8>) {
    let Entry { at, session, route, stream, event: _ } = entry;
    let Report { mode, view, record, data } = report;
    line.extend_from_slice(b"{\"at\":");
    json(at, line);
    session.iter().for_each(|session| write_id(",\"session\":\"", *session, line));
    fields!(line: route stream);
    line.extend_from_slice(b",\"event\":\"report\",\"mode\":");
    json(mode, line);
    view.iter().for_each(|view| write_id(",\"view\":\"", *view, line));
    fields!(line: record);
    write_data(data, line);
    line.push(b'}');
}

#[rustfmt::skip]
fn write_data(data: &Data, line: &mut Vec<u8>) {
    let Data {
        ab, lab, tab, bg, bl, br, bs, bsa, bsd, bsda, cdn, cen, cid, cmsdd, cmsds, cs, custom, d, dfa, dl, e, ec, h, lb,
        ltc, msd, mtp, nor, nr, nrr, ot, pb, pr, pt, rc, rtp, sf, smrt, sn, st, sta, su, tb, tbl, tpb, ts, ttfb, ttfbb,
        ttlb, url, v,
    } = data;
    fields!(
        line: ab lab tab bg bl br bs bsa bsd bsda cdn cen cid cmsdd cmsds cs custom d dfa dl e ec h lb
        ltc msd mtp nor nr nrr ot pb pr pt rc rtp sf smrt sn st sta su tb tbl tpb ts ttfb ttfbb
        ttlb url v
    );
}

/// What may be said, and is only then written.
trait Field: Serialize {
    fn is_said(&self) -> bool;

    fn write(&self, line: &mut Vec<u8>) {
        json(self, line);
    }
}

impl<T: Serialize> Field for Option<T> {
    fn is_said(&self) -> bool {
        self.is_some()
    }
}

impl<T: Serialize> Field for Vec<T> {
    fn is_said(&self) -> bool {
        !self.is_empty()
    }
}

impl Field for Numbers {
    fn is_said(&self) -> bool {
        !self.is_empty()
    }

    fn write(&self, line: &mut Vec<u8>) {
        for (place, Rated { value, of }) in self.iter().enumerate() {
            line.extend_from_slice(if place == 0 { b"[{\"value\":" } else { b",{\"value\":" });
            json(value, line);
            fields!(line: of);
            line.push(b'}');
        }
        line.push(b']');
    }
}

impl<K: Serialize, V: Serialize> Field for BTreeMap<K, V> {
    fn is_said(&self) -> bool {
        !self.is_empty()
    }
}

fn write_id(name: &str, id: SessionId, line: &mut Vec<u8>) {
    line.extend_from_slice(name.as_bytes());
    id.with_digits(|digits| line.extend_from_slice(digits.as_bytes()));
    line.push(b'"');
}

fn json(value: &(impl Serialize + ?Sized), line: &mut Vec<u8>) {
    serde_json::to_writer(line, value).expect("entries are JSON, and memory takes them");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::rules::timeline::event::Lost;

    /// All that a report may say.
    fn everything(text: &str, number: u64) -> Map<String, Value> {
        let numbers = json!([{ "value": number }, { "value": 2, "of": "av" }]);
        let next = json!([{ "path": text }, { "path": "a", "r": "1-2" }]);
        let words = json!({
            "bg": true, "bs": false, "nr": true, "su": true, "ec": [text, "b"], "custom": { "a-b": text }, "nor": next,
            "ot": "tt", "sta": "r", "pr": 1.5, "e": "t", "sf": "h", "st": "ll",
        });
        let Value::Object(mut all) = words else { unreachable!("it is one") };
        for name in ["ab", "lab", "tab", "bl", "br", "bsa", "bsd", "bsda", "lb", "mtp", "pb", "tb", "tbl", "tpb"] {
            all.insert(name.into(), numbers.clone());
        }
        for name in ["cdn", "cen", "cid", "cmsdd", "cmsds", "cs", "h", "nrr", "smrt", "url"] {
            all.insert(name.into(), text.into());
        }
        for name in ["d", "dfa", "dl", "ltc", "msd", "pt", "rc", "rtp", "sn", "ts", "ttfb", "ttfbb", "ttlb", "v"] {
            all.insert(name.into(), number.into());
        }
        all
    }

    fn written(entry: &Entry) -> String {
        let mut line = b"before".to_vec();
        write(entry, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn derived(entry: &Entry) -> String {
        format!("before{}", serde_json::to_string(entry).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_its_derivation_says(
            text in any::<String>(), number: u64, said in any::<u64>(), mode in 0..3_usize, who in 0..16_u8,
        ) {
            let all = everything(&text, number);
            let some = all.into_iter().enumerate().filter(|(at, _)| said >> at & 1 == 1).map(|(_, field)| field);
            let mut report = some.collect::<Map<_, _>>();
            report.insert("mode".into(), ["request", "event", "beacon"][mode].into());
            let mut report: Report = serde_json::from_value(report.into()).unwrap();
            let is = |bit: u8| who >> bit & 1 == 1;
            let id = |octet| SessionId([octet, 0, 255, octet, 9, 8, 7, 6, 5, 4, 3, octet]);
            report.view = is(0).then(|| id(mode as u8));
            report.record = is(1).then(|| text.as_str().into());
            let (session, route) = (is(2).then(|| id(who)), is(3).then(|| text.as_str().into()));
            let stream = is(2).then(|| "show".into());
            let entry = Entry { at: number, session, route, stream, event: Event::Report(Box::new(report)) };
            prop_assert_eq!(written(&entry), derived(&entry));
        }
    }

    #[test]
    fn all_of_a_report_is_written_and_read_back() {
        let all = everything("a\"b", 7);
        let data: Data = serde_json::from_value(all.clone().into()).unwrap();
        assert_eq!(serde_json::to_value(&data).unwrap(), Value::Object(all));
        let report = Report { mode: crate::rules::qoe::report::Mode::Event, view: None, record: None, data };
        let event = Event::Report(Box::new(report));
        let entry = Entry { at: 1, session: None, route: None, stream: None, event };
        assert_eq!(written(&entry), derived(&entry));
        assert_eq!(serde_json::from_str::<Entry>(&written(&entry)["before".len()..]).unwrap(), entry);
    }

    #[test]
    fn what_is_no_report_is_written_all_the_same() {
        let event = Event::Lost(Lost { reason: "ring-full".into(), count: 1 });
        let entry = Entry { at: 1, session: None, route: None, stream: None, event };
        assert_eq!(written(&entry), derived(&entry));
    }
}
