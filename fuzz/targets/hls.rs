//! Playlists, and what is asked of them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use weir::clock::{self, Tick};
use weir::rules::hls::multivariant::Multivariant;
use weir::rules::hls::parse::Kind;
use weir::rules::hls::playlist::Segment;
use weir::rules::hls::reload::{Frontier, Reload};
use weir::rules::hls::variables::Variables;
use weir::rules::hls::window::{Advance, Published, Window};
use weir::rules::hls::{self, Directives, MediaPlaylist, Position, parse, query, rewrite};
use weir::rules::uri::{Strictness, Target};

#[path = "../../src/rules/hls/delta/tests/history.rs"]
mod history;

/// What is no directive stays in the query in its order, a kept query is kept whole, and a reload is judged the same when
/// it comes and while it waits.
pub fn directives(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let (directives, rest) = Directives::take(Some(query));
    if let Some(rest) = rest.as_deref() {
        assert_eq!(Directives::take(Some(rest)), (Ok(Directives::default()), Some(rest.to_owned())));
    }
    let kept = query::keep(rest.as_deref(), |name| name.len() % 2 == 1);
    let again = query::keep(kept.query.as_deref(), |name| name.len() % 2 == 1);
    assert_eq!((again.query, again.dropped), (kept.query.clone(), 0));
    let Ok(directives) = directives else { return };
    let mut frontier = Frontier {
        next: Position::segment(100),
        closed_parts: vec![4],
        target_duration: Duration::from_secs(2),
        part_target: Some(Duration::from_millis(500)),
        is_ended: false,
    };
    let mut waiting = None;
    for next in [Position::new(100, 3), Position::segment(101), Position::new(101, 1), Position::segment(102)] {
        let verdict = frontier.judge(&directives);
        if let Some(wanted) = waiting {
            assert_eq!(frontier.judge_waiting(wanted), verdict);
        }
        waiting = match verdict {
            Reload::Wait(wanted) => Some(wanted),
            Reload::Now | Reload::Refuse(_) => None,
        };
        frontier.next = next;
    }
    frontier.is_ended = true;
    assert_eq!(frontier.judge(&directives), Reload::Now);
}

/// A playlist of either kind in which nothing is ours stays; URIs are all that is rewritten; what is resolved is canonical.
pub fn rewrite(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(matches!(rewrite::rewrite(text, |_| None), Cow::Borrowed(same) if same == text));
    const MARKS: [char; 2] = ['\u{1}', '\u{2}'];
    if !text.contains(MARKS) {
        let marked = rewrite::rewrite(text, |uri| Some(format!("\u{1}{uri}\u{2}")));
        assert_eq!(marked.replace(MARKS, ""), text);
    }
    let Ok(multivariant) = Multivariant::parse(text) else { return };
    assert!(parse::kind(text).is_some());
    let variables = Variables::of(&multivariant.definitions, Some("token=a%2Fb&a=1"), &Variables::default());
    for rendition in multivariant.renditions {
        assert!(text.contains(&*rendition.uri));
        let Some(uri) = variables.replace(&rendition.uri) else { continue };
        let Some(resolved) = rewrite::resolve("/live/news/main.m3u8?a=1", &uri) else { continue };
        let (path, query) = resolved.split_once('?').map_or((&*resolved, None), |(path, query)| (path, Some(query)));
        let asked = Target::canonical(path, query, Strictness::Lenient).expect("what was resolved can be asked for");
        assert_eq!(asked.path_and_query(), resolved);
    }
}

/// A playlist comes out as it went in, what it says lies within it, and whoever has another version reads the same. The
/// two versions are parted by an octet 0.
pub fn playlist(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (earlier, text) = text.split_once('\0').unwrap_or((text, text));
    let before = parse::parse(earlier, None).ok();
    let again = parse::parse(text, before.as_ref());
    let Ok(playlist) = parse::parse(text, None) else {
        // A delta update may go on from a segment that it does not list.
        assert!(again.is_err() || again.is_ok_and(|playlist| playlist.facts.skip.is_some()));
        return;
    };
    assert_eq!(parse::kind(text), Some(Kind::Media));
    assert_eq!(playlist.render(), text);
    assert_eq!(again.as_ref(), Ok(&playlist));
    for segment in &playlist.segments {
        assert!(!segment.uri().is_empty() && segment.byte_range.is_none_or(|range| range.end() >= range.start));
        for line in &segment.lasting {
            assert!(segment.lasting_text(line).starts_with("#EXT") && segment.lasting_text(line).ends_with('\n'));
        }
    }
    assert_eq!(playlist.next().msn, playlist.msn(playlist.segments.len()));
    _ = (playlist.duration(), playlist.hints().count());
}

/// A history of a live playlist: whoever has a young copy and an update has the full playlist.
pub fn delta(data: &[u8]) {
    // Every version is read and merged: a long history would find no more, and take the square of the time.
    history::run(&data[..data.len().min(600)]);
}

/// Versions of a playlist, parted by zero octets, each behind an octet that says how long it took to come: the sequence
/// that viewers see never goes back, and what a number stands for stays.
pub fn window(data: &[u8]) {
    let (mut window, mut now, mut last) = (Window::default(), Tick::default(), None::<Arc<Published>>);
    for version in data.split(|octet| *octet == 0).take(64) {
        let Some((wait, text)) = version.split_first() else { continue };
        now = now + Duration::from_millis(100) * u32::from(*wait);
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let Ok(playlist) = parse::parse(text, window.ingested()) else { continue };
        let Advance::Advanced(published, findings) = window.take(playlist, now) else {
            assert_eq!(window.published(), last.as_ref());
            continue;
        };
        assert!(findings.len() <= 16);
        if let Some(last) = &last {
            follows(last, &published);
        }
        let again = parse::parse(&published.playlist.render(), None).expect("what viewers see is a playlist");
        let numbers =
            |list: &MediaPlaylist| (list.facts.media_sequence, list.facts.discontinuity_sequence, list.next());
        assert_eq!(numbers(&again), numbers(&published.playlist));
        last = Some(published);
    }
    // Somebody who did not watch meanwhile goes on with the same numbers.
    if let (Some(last), Some(list)) = (last, window.ingested().cloned())
        && let Advance::Advanced(published, _) = Window::resume(window.remember()).take(list, now)
    {
        assert_eq!((published.frontier.next, published.generation), (last.frontier.next, last.generation));
        assert!(last.playlist.msn(0) <= published.playlist.msn(0));
    }
}

fn follows(last: &Published, next: &Published) {
    let (old, new) = (&last.playlist, &next.playlist);
    assert!(old.facts.media_sequence <= new.facts.media_sequence);
    assert!(old.facts.discontinuity_sequence <= new.facts.discontinuity_sequence);
    assert!(last.frontier.next <= next.frontier.next && last.generation <= next.generation);
    let gone = (new.msn(0) - old.msn(0)).min(old.segments.len() as u64) as usize;
    let names = |segments: &[Arc<Segment>]| -> Vec<_> {
        segments.iter().map(|segment| (segment.uri().to_owned(), segment.byte_range)).collect()
    };
    let listed = names(&old.segments[gone..]);
    assert_eq!(names(&new.segments[..listed.len()]), listed);
}
