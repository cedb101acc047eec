//! Lines that a journal kept or another node told, the stories that are told from them, and what sessions are looked for
//! by.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use weir::rules::session::{SessionId, support_code};
use weir::rules::timeline::event::{Entry, Event};
use weir::rules::timeline::spans;
use weir::rules::timeline::story::{Cause, Told, story};
use weir::stories::entry_of;
use weir::stories::index::{Index, Query};

use super::is_near;

/// Entries in the lines of a text, as many as a target looks at.
fn entries(text: &[u8]) -> Vec<Entry> {
    text.split(|octet| *octet == b'\n').take(64).filter_map(entry_of).collect()
}

/// Lines of a journal. What is read of one is written and read as the same, and the spans of all of them are the same on
/// every attempt: none ends before it began.
pub fn entry(data: &[u8]) {
    for read in entries(data) {
        let line = serde_json::to_vec(&read).expect("entries are JSON");
        let again = entry_of(&line).expect("it was written here");
        let value = |entry: &Entry| serde_json::to_value(entry).expect("entries are JSON");
        assert!(again == read || is_near(&value(&again), &value(&read)), "{read:?}");
    }
    let exported = spans::export(data, "1");
    assert_eq!(exported, spans::export(data, "1"));
    let Some(exported) = exported else { return };
    let exported: Value = serde_json::from_slice(&exported).expect("it is JSON");
    let spans = exported["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("it has spans");
    for span in spans {
        let at = |name: &str| span[name].as_str().and_then(|nanos| nanos.parse::<u128>().ok()).expect("a moment");
        assert!(at("startTimeUnixNano") <= at("endTimeUnixNano"), "{span}");
        let digits = |name: &str| span[name].as_str().map_or(0, str::len);
        assert_eq!((digits("traceId"), digits("spanId")), (32, 16), "{span}");
    }
}

/// Lines of two nodes in turn, the first of which says whose story is told. It is told of nothing but its own entries and
/// the nodes', is within their time and in its order, and is the same in whichever order they are handed over.
pub fn lines(data: &[u8]) {
    let nodes: [Arc<str>; 2] = ["edge-1".into(), "edge-2".into()];
    let told = entries(data).into_iter().zip(nodes.iter().cycle());
    let told: Vec<_> = told.map(|(entry, node)| Told { node: node.clone(), entry }).collect();
    let Some(session) = told.iter().find_map(|told| told.entry.session) else { return };
    let is_theirs = |told: &&Told| told.entry.session == Some(session);
    let first = story(session, &told).expect("there are entries of it");
    let at = |told: &Told| told.entry.at;
    assert_eq!(Some(first.began), told.iter().filter(is_theirs).map(at).min());
    assert_eq!(Some(first.ended), told.iter().filter(is_theirs).map(at).max());
    assert_eq!(first.fault, first.cause.fault());
    assert!(!first.headline.is_empty() && first.lines.iter().all(|line| !line.text.is_empty()));
    assert!(first.lines.windows(2).all(|pair| pair[0].at <= pair[1].at), "{:?}", first.lines);
    let (since, until) = first.hurt();
    assert!(since <= until);
    let written = serde_json::to_string(&first).expect("it is JSON");
    let again: weir::rules::timeline::story::Story = serde_json::from_str(&written).expect("it was written here");
    assert_eq!((again.cause, &again.lines), (first.cause, &first.lines));

    let belongs = |told: &&Told| told.entry.session.is_none_or(|of| of == session);
    let own: Vec<_> = told.iter().filter(belongs).cloned().collect();
    assert_eq!(story(session, &own).as_ref(), Some(&first));
    let is_of_player = |told: &Told| matches!(told.entry.event, Event::Report(_));
    let moments: BTreeSet<_> = told.iter().map(at).collect();
    // What bears the same time keeps its order, and a player's time is set right.
    if moments.len() == told.len() && !told.iter().any(is_of_player) {
        let turned: Vec<_> = told.into_iter().rev().collect();
        assert_eq!(story(session, &turned), Some(first));
    }
}

/// A text, and in the lines below it the entries of sessions: what is found is what the text names, those heard of last come
/// first, each session is found by each of its names, and there are never more of them than there is room for.
pub fn search(data: &[u8]) {
    let (text, rest) = data.split_at(data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len()));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let session = SessionId::read(text);
    assert!(session.is_none_or(|id| id.to_string().eq_ignore_ascii_case(text)));
    let code = Query::read_code(text);
    if let Some(code) = &code {
        let spoken = code.replace('-', " ").to_lowercase();
        assert_eq!((Query::read_code(code).as_ref(), Query::read_code(&spoken).as_ref()), (Some(code), Some(code)));
    }
    let cause = Cause::of_word(text);
    assert!(cause.is_none_or(|cause| cause.word() == text));

    let entries = entries(rest);
    let mut index = Index::default();
    entries.iter().zip(1..).for_each(|(entry, number)| index.note(entry, number));
    let find = |query: Query| index.find(&query, usize::MAX).0;
    let (all, number) = index.find(&Query::default(), 3);
    assert!(all.len() == number.min(3) && number == index.figures().0);
    assert!(all.is_sorted_by_key(|(id, known)| (Reverse(known.heard), *id)));
    if let Some(id) = session {
        assert!(find(Query { session, ..Query::default() }).iter().all(|(found, _)| *found == id));
    }
    let coded = find(Query { code: code.clone(), ..Query::default() });
    assert!(code.is_none_or(|code| coded.iter().all(|(found, _)| support_code(found) == code)));
    let named = find(Query { stream: Some(text.to_owned()), cause, ..Query::default() });
    assert!(named.iter().all(|(_, known)| known.stream.as_deref().is_some_and(|stream| stream.contains(text))));

    for id in entries.iter().filter_map(|entry| entry.session) {
        let known = index.known(id).expect("it was noted").clone();
        assert!(known.first <= known.last && known.began <= known.heard);
        let stream = known.stream.as_deref().map(str::to_owned);
        let code = Query::read_code(&support_code(&id));
        assert!(code.is_some());
        let by = [
            Query { session: SessionId::read(&id.to_string()), ..Query::default() },
            Query { code, ..Query::default() },
            Query { stream, since: Some(known.heard), until: Some(known.began), ..Query::default() },
        ];
        assert!(by.into_iter().all(|query| find(query).iter().any(|(found, _)| *found == id)));
    }
    assert!(index.changes(0, u64::MAX).all(|entry| entry.session.is_none()));
    if let Some(id) = entries.iter().find_map(|entry| entry.session) {
        index.erase(id);
        assert!(index.known(id).is_none());
    }
    index.set_bound(2);
    assert!(index.figures().0 <= 2);
}
