//! Entries of a timeline, told to the tally of their session.

use super::event::{Entry, Event, Kind, Request, Served};
use crate::rules::qoe::claims::Passed;
use crate::rules::qoe::figures::{End, SessionFigures};
use crate::rules::qoe::report::Mode;
use crate::rules::qoe::tally::Tally;

/// Tells a session's tally what happened.
pub fn note(tally: &mut Tally, entry: &Entry) {
    match &entry.event {
        Event::Report(report) => tally.report(entry.at, report),
        Event::Served(served) => tally.pass(entry.at, &passed(served)),
        Event::Request(request) => {
            if request.hold_ms > 0 {
                tally.hold(entry.at, &request.path, request.hold_ms);
            }
            tally.pass(entry.at, &alone(entry.at, request));
        }
        Event::Ended(ended) => {
            let end = if &*ended.reason == "idle" { End::Silence } else { End::Session };
            tally.finish(entry.at, end);
        }
        Event::Began(_) | Event::Verdict(_) | Event::Fetch(_) | Event::Path(_) | Event::Node(_) | Event::Lost(_) => {}
    }
}

fn passed(served: &Served) -> Passed {
    Passed {
        requests: served.requests.into(),
        playlists: served.playlists.into(),
        media: served.media.into(),
        bytes: served.bytes,
        sending_ms: served.sending_ms,
        target_ms: served.playlist_target_ms,
        playlist_at: served.playlist_at,
        media_at: served.media_at,
        behind_ms: served.behind_ms,
    }
}

/// What one request that is told by itself adds: one that failed shows that somebody is there, and brought nothing.
fn alone(ended: u64, request: &Request) -> Passed {
    let is_good = (200..400).contains(&request.status);
    let is = |kinds: &[Kind]| u64::from(is_good && kinds.contains(&request.kind));
    let waited = request.first_byte_ms + request.hold_ms;
    Passed {
        requests: 1,
        playlists: is(&[Kind::Multivariant, Kind::Playlist]),
        media: is(&[Kind::Part, Kind::Segment]),
        bytes: request.bytes,
        sending_ms: request.took_ms.saturating_sub(waited),
        target_ms: request.playlist_target_ms,
        playlist_at: Some(ended.saturating_sub(request.took_ms)),
        media_at: Some(ended),
        behind_ms: request.behind_ms.filter(|_| is_good),
    }
}

/// What the entries of one session come to, at this time. They may come in any order: reports are put in theirs.
pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>, now: u64) -> SessionFigures {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|entry| place(entry));
    let mut tally = Tally::whole();
    entries.into_iter().for_each(|entry| note(&mut tally, entry));
    tally.figures(now)
}

/// Requests and what comes with them stand where they arrived; a player's reports where they arrived too, and those that
/// arrived together in the order in which they were made.
fn place(entry: &Entry) -> (u64, u64, u64) {
    match &entry.event {
        Event::Report(report) if report.mode != Mode::Request => {
            (entry.at, report.data.ts.unwrap_or(entry.at), report.data.sn.unwrap_or_default())
        }
        _ => (entry.at, 0, 0),
    }
}

#[cfg(test)]
mod tests;
