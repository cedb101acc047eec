//! What players report, and what is said to them.

use http::HeaderMap;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use weir::rules::fields::structured;
use weir::rules::fields::structured::{Bare, Item, List, Member};
use weir::rules::qoe::beacon::from_beacon;
use weir::rules::qoe::cmcd::{LONGEST_RECORD, from_batch, from_request};
use weir::rules::qoe::cmsd;
use weir::rules::qoe::cmsd::Hop;
use weir::rules::qoe::fault::Fault;
use weir::rules::qoe::read::{Allow, Read};
use weir::rules::qoe::report::Data;

use super::{fields, is_near};

#[path = "../../tests/cmcd/write.rs"]
mod cmcd_write;

/// Octets of the parameter of a query, decoded.
const LONGEST_PARAMETER: usize = 8 << 10;

/// What was read is written and read again as the same; nothing of it that opens anything is kept, and no custom key that
/// is not allowed.
fn report_keeps(read: &Read) {
    let text = cmcd_write::written(read);
    // It may be longer than what was read: every octet of a path is escaped that can be.
    if text.len() > if read.data.e.is_some() { LONGEST_RECORD } else { LONGEST_PARAMETER } {
        return report_is_kept(read.clone());
    }
    let again = match read.data.e {
        Some(_) => from_batch(text.as_bytes()).next().expect("a record").1.expect("it was written here"),
        None => {
            let query = format!("CMCD={}", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            from_request(Some(&query), &HeaderMap::new()).expect("the parameter is there")
        }
    };
    assert!(again.faults.iter().all(|(fault, _)| fault == Fault::Irregular), "{text}");
    assert_eq!((&again.data, &again.sid, &again.custom), (&read.data, &read.sid, &read.custom));
    report_is_kept(read.clone());
}

fn report_is_kept(mut read: Read) {
    read.permit(&Allow::default());
    let Data { url, nor, custom, tpb, .. } = &read.data;
    let paths = url.iter().chain(nor.iter().map(|next| &next.path));
    assert!(paths.into_iter().all(|path| !path.contains(['?', '#', ';']) && !path.starts_with("//")));
    assert!(custom.is_empty() && tpb.is_empty() && read.custom.is_empty());
    let line = serde_json::to_string(&read.data).expect("it is made of texts and numbers");
    assert_eq!(serde_json::from_str::<Data>(&line).expect("it was written here"), read.data);
}

/// A query, and fields in the lines below it.
pub fn cmcd(data: &[u8]) {
    let (query, rest) = data.split_at(data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len()));
    let query = std::str::from_utf8(query).ok();
    let of_query = from_request(query, &HeaderMap::new());
    of_query.iter().for_each(report_keeps);
    from_request(None, &fields(rest)).iter().for_each(report_keeps);
}

/// Every line is a record of its own: what is read of it does not depend on those around it.
pub fn cmcd_events(data: &[u8]) {
    let whole: Vec<_> = from_batch(data).map(|(_, read)| read).collect();
    let alone = data.split(|octet| *octet == b'\n').flat_map(|line| from_batch(line).map(|(_, read)| read));
    assert!(whole.iter().zip(alone).all(|(whole, alone)| *whole == alone || whole.is_err()));
    whole.iter().flatten().for_each(report_keeps);
}

/// What is read of a body is read of its records' own writing.
pub fn beacon(data: &[u8]) {
    for (text, read) in from_beacon(data).into_iter().flat_map(|(records, _)| records).flatten() {
        // Numbers may be longer in that.
        if text.len() <= LONGEST_RECORD {
            let (again, beyond) = from_beacon(text.as_bytes()).expect("its own writing is a record");
            let again: Vec<_> = again.flatten().collect();
            let [(text_again, read_again)] = &again[..] else { panic!("{text} is {again:?}") };
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("it was written as JSON");
            let data = |read: &Read| serde_json::to_value(&read.data).expect("it is made of texts and numbers");
            assert!(is_near(&value(text_again), &value(&text)) && is_near(&data(read_again), &data(&read)), "{text}");
            let rest = |read: &Read| (read.sid.clone(), read.custom.clone(), read.faults);
            assert_eq!((rest(read_again), beyond), (rest(&read), 0));
        }
        report_is_kept(read);
    }
}

/// Whatever others said, the field is a list of which ours is the last member, and a second hop leaves the first.
pub fn cmsd(data: &[u8]) {
    let mut headers = fields(data);
    let hold_ms = Some(380);
    cmsd::append(&mut headers, &Hop { node: "one", hold_ms, ..Hop::default() });
    cmsd::append(&mut headers, &Hop { node: "two", ..Hop::default() });
    let joined = structured::joined(&headers, &cmsd::CMSD_DYNAMIC).expect("a member was added");
    let list = List::parse(&joined).expect("CMSD-Dynamic is a list");
    let names: Vec<_> = list.0.iter().rev().take(2).map(name_of).collect();
    assert!(matches!(names[..], ["two", "one"] | ["two"]), "{names:?}");
}

fn name_of(member: &Member) -> &str {
    match member {
        Member::Item(Item { value: Bare::String(name), .. }) => name,
        _ => "",
    }
}
