//! Media playlists as packagers write them and as a generator makes them: read and written without a changed octet,
//! shared between versions without a changed fact, and understood as another reader understands them.

#[path = "playlists/generate.rs"]
mod generate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use m3u8_rs::Playlist;
use proptest::prelude::*;
use weir::rules::hls::MediaPlaylist;
use weir::rules::hls::parse::{Kind, kind, parse};
use weir::rules::hls::playlist::ByteRange;

use generate::{Stream, View};

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/playlists").join(folder);
    let entries = fs::read_dir(folder).expect("a folder of the checkout");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of that folder").path()).collect();
    files.sort();
    files
}

/// Reads, and holds that nothing is lost.
fn read(text: &str, before: Option<&MediaPlaylist>) -> MediaPlaylist {
    let playlist = parse(text, before).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(playlist.render(), text);
    playlist
}

/// How many segments `playlist` shares with `before`; holds that none with the same lines under the same number is
/// there twice.
fn shared(playlist: &MediaPlaylist, before: &MediaPlaylist) -> usize {
    let earlier =
        |index| playlist.msn(index).checked_sub(before.msn(0)).and_then(|at| before.segments.get(at as usize));
    let mut count = 0;
    for (index, segment) in playlist.segments.iter().enumerate() {
        if let Some(earlier) = earlier(index).filter(|earlier| earlier.text == segment.text) {
            assert!(Arc::ptr_eq(earlier, segment));
            count += 1;
        }
    }
    count
}

/// Holds that m3u8-rs reads the same target duration, media sequence number, URIs, durations and ranges.
fn agrees_with_another_reader(text: &str, playlist: &MediaPlaylist) {
    let Ok(Playlist::MediaPlaylist(other)) = m3u8_rs::parse_playlist_res(text.as_bytes()) else {
        panic!("no media playlist for m3u8-rs:\n{text}");
    };
    assert_eq!(Duration::from_secs(other.target_duration), playlist.facts.target_duration);
    assert_eq!(other.media_sequence, playlist.facts.media_sequence);
    assert_eq!(other.discontinuity_sequence, playlist.facts.discontinuity_sequence);
    assert_eq!(other.end_list, playlist.facts.is_ended);
    // It takes a comment for a URI where the last line has no end.
    let theirs: Vec<_> = other.segments.iter().filter(|segment| !segment.uri.starts_with('#')).collect();
    assert_eq!(theirs.len(), playlist.segments.len());
    for (theirs, ours) in theirs.iter().zip(&playlist.segments) {
        assert_eq!(theirs.uri, ours.uri());
        assert_eq!(theirs.duration, ours.duration.as_secs_f64() as f32);
        assert_eq!(theirs.discontinuity, ours.discontinuities > 0);
        assert_eq!(theirs.byte_range.as_ref().map(|range| range.length), ours.byte_range.map(|range| range.length));
    }
}

#[test]
fn every_recorded_playlist_comes_out_as_it_went_in() {
    let (mut playlists, mut segments, mut of_before) = (0, 0, 0);
    for folder in ["gpac-sf/master_1", "gpac-sf/master_4", "gpac-br/master_1", "gpac-br/master_4"] {
        let mut before: Option<MediaPlaylist> = None;
        for file in fixtures(folder) {
            println!("{}", file.display());
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(kind(&text), Some(Kind::Media));
            let playlist = read(&text, before.as_ref());
            assert_eq!(playlist, read(&text, None));
            agrees_with_another_reader(&text, &playlist);
            if let Some(before) = &before {
                of_before += shared(&playlist, before);
                assert!(playlist.next() >= before.next());
            }
            before = Some(playlist);
            (playlists, segments) = (playlists + 1, segments + before.iter().map(|p| p.segments.len()).sum::<usize>());
        }
    }
    assert!(playlists > 200 && of_before * 10 > segments * 8, "{of_before} of {segments} in {playlists} were shared");
}

#[test]
fn a_recorded_multivariant_playlist_is_told_from_a_media_playlist() {
    for folder in ["gpac-sf", "gpac-br"] {
        let file = fixtures(folder).into_iter().find(|file| file.is_file()).unwrap();
        let text = fs::read_to_string(file).unwrap();
        assert_eq!(kind(&text), Some(Kind::Multivariant));
        assert_eq!(parse(&text, None).unwrap_err().what, "a tag of multivariant playlists");
    }
}

/// Holds that `playlist` says what `stream` shows through `view`.
fn says(stream: &Stream, view: &View, playlist: &MediaPlaylist) {
    assert_eq!(playlist.msn(0), stream.first + view.segments.start as u64);
    assert_eq!(playlist.segments.len(), view.segments.len());
    for (index, segment) in view.segments.clone().zip(&playlist.segments) {
        let spec = &stream.segments[index];
        assert_eq!((segment.uri(), segment.duration), (&*stream.uri(index), spec.duration));
        let range = stream.range(index).map(|range| ByteRange { start: range.start, length: range.end - range.start });
        assert_eq!(segment.byte_range, range);
        assert_eq!(segment.parts.len(), if index >= view.parts_from { spec.parts.len() } else { 0 });
        let octets: u64 = spec.parts.iter().flatten().sum();
        if let Some(range) = segment.parts.last().and_then(|part| part.byte_range) {
            assert_eq!(range.end(), octets);
        }
    }
    assert_eq!(playlist.next().part, view.open as u64);
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_comes_out_as_it_went_in((stream, view, _) in generate::history()) {
        let text = stream.text(&view);
        let playlist = read(&text, None);
        says(&stream, &view, &playlist);
        agrees_with_another_reader(&text, &playlist);
        prop_assert_eq!(kind(&text), Some(Kind::Media));
    }

    #[test]
    fn a_version_that_shares_says_the_same_as_one_that_does_not((stream, one, other) in generate::history()) {
        let before = read(&stream.text(&one), None);
        let text = stream.text(&other);
        let playlist = read(&text, Some(&before));
        prop_assert_eq!(&playlist, &read(&text, None));
        shared(&playlist, &before);
    }

    #[test]
    fn a_playlist_cut_off_anywhere_is_read_or_refused((stream, view, _) in generate::history(), cut in any::<prop::sample::Index>()) {
        let text = stream.text(&view);
        let mut end = cut.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if let Ok(playlist) = parse(&text[..end], None) {
            prop_assert_eq!(playlist.render(), &text[..end]);
        }
    }
}
