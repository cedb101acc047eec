use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::rules::hls::Position;
use crate::rules::hls::parse::parse;

const FULL: Form = Form { skipping: None, coding: Coding::Identity };
const GZIP: Form = Form { skipping: None, coding: Coding::Gzip };

/// A live playlist of `count` segments from `first` on, with `parts` of the next one.
fn text(first: u64, count: u64, parts: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=1.0\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,PART-HOLD-BACK=3.0\n\
         #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for msn in first..first + count {
        text += &format!("#EXTINF:4.0,\nsegment-{msn}-{:016x}.m4s\n", msn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    for part in 0..parts {
        text += &format!("#EXT-X-PART:DURATION=1.0,URI=\"segment-{}.{part}.m4s\"\n", first + count);
    }
    text
}

fn published(text: &str, before: Option<&Edition>) -> Arc<Published> {
    let before = before.map(|before| &before.published.playlist);
    let playlist = parse(text, before).unwrap();
    Arc::new(Published { playlist, ..Published::default() })
}

fn edition(text: &str, before: Option<&Edition>) -> Edition {
    Edition::new(published(text, before), HeaderMap::new(), before)
}

fn sibling(msn: u64) -> Vec<Sibling> {
    vec![Sibling { uri: "low.m3u8".into(), next: Position::segment(msn), has_parts: false, closed_parts: 0 }]
}

fn octets(rendered: &Rendered) -> Vec<u8> {
    let octets = rendered.chunks.concat();
    assert_eq!(rendered.length, octets.len() as u64);
    assert_eq!(rendered.headers[CONTENT_LENGTH], octets.len().to_string());
    assert!(rendered.chunks.iter().all(|chunk| !chunk.is_empty()));
    octets
}

fn identity(edition: &Edition) -> String {
    String::from_utf8(octets(&edition.form(FULL, 0, Vec::new, Tick::default()))).unwrap()
}

fn gunzip(rendered: &Rendered) -> String {
    assert_eq!(rendered.headers[CONTENT_ENCODING], "gzip");
    let member = octets(rendered);
    let (mut text, mut decoder) = (String::new(), flate2::bufread::GzDecoder::new(&*member));
    decoder.read_to_string(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "nothing stands behind the member");
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_coding_of_every_version_says_the_same(
        first in prop_oneof![Just(0), Just(63), 0..1_000_u64],
        count in 0..400_u64,
        steps in proptest::collection::vec((0..70_u64, 0..70_u64, 0..4_u64, any::<bool>()), 1..6),
    ) {
        let (mut first, mut end) = (first, first + count);
        let mut before: Option<Edition> = None;
        for (gone, come, parts, reports) in steps {
            first = (first + gone).min(end);
            end += come;
            let text = text(first, end - first, parts);
            let edition = edition(&text, before.as_ref());
            let siblings = || if reports { sibling(end) } else { Vec::new() };
            let full = octets(&edition.form(FULL, 1, siblings, Tick::default()));
            let full = String::from_utf8(full).unwrap();
            prop_assert_eq!(&full[..text.len()], &text);
            prop_assert_eq!(full.len() > text.len(), reports);
            prop_assert_eq!(gunzip(&edition.form(GZIP, 1, siblings, Tick::default())), full);
            before = Some(edition);
        }
    }
}

#[test]
fn a_long_window_that_moves_on_is_compressed_where_it_changed() {
    let (one, two) = (text(100, 7_200, 0), text(101, 7_200, 1));
    let before = edition(&one, None);
    assert_eq!(gunzip(&before.form(GZIP, 0, Vec::new, Tick::default())), one);
    let old = before.shelf.cut(&before.published.playlist).blocks;
    let after = edition(&two, Some(&before));
    assert_eq!(gunzip(&after.form(GZIP, 0, Vec::new, Tick::default())), two);
    let cut = after.shelf.cut(&after.published.playlist);
    let is_old = |block: &Arc<blocks::Block>| old.iter().any(|old| Arc::ptr_eq(old, block));
    let fresh = cut.blocks.iter().filter(|block| !is_old(block)).count();
    assert_eq!((cut.blocks.len(), fresh), (112, 0));
    assert_eq!((cut.front.len(), cut.back.len()), (27, 5));
}

#[test]
fn few_chunks_leave_for_many_blocks() {
    let edition = edition(&text(0, 7_200, 0), None);
    let gzip = edition.form(GZIP, 0, Vec::new, Tick::default());
    assert!(gzip.chunks.len() as u64 <= gzip.length / (8 << 10) + 1, "{} of {}", gzip.chunks.len(), gzip.length);
}

#[test]
fn a_form_is_made_once_and_anew_only_where_reports_say_something_new() {
    let edition = edition(&text(0, 6, 2), None);
    let form = |form, stamp, msn| edition.form(form, stamp, || sibling(msn), Tick::default());
    let first = form(FULL, 1, 7);
    assert!(Arc::ptr_eq(&first, &edition.form(FULL, 1, || panic!("they are known"), Tick::default())));
    assert!(Arc::ptr_eq(&first, &form(FULL, 2, 7)), "the same words");
    assert!(Arc::ptr_eq(&first, &edition.form(FULL, 2, || panic!("they are known"), Tick::default())));
    let (second, gzip) = (form(FULL, 3, 8), form(GZIP, 3, 8));
    assert!(!Arc::ptr_eq(&first, &second));
    let text = String::from_utf8(octets(&second)).unwrap();
    assert!(text.ends_with("URI=\"segment-6.1.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"low.m3u8\",LAST-MSN=7\n"), "{text}");
    assert_eq!(gunzip(&gzip), text);
    let tags = [&first, &second, &gzip].map(|rendered| rendered.headers[ETAG].clone());
    assert!(tags[0] != tags[1] && tags[1] != tags[2]);
}

#[test]
fn two_nodes_give_the_same_octets_the_same_tag() {
    let text = text(3, 300, 2);
    let [one, two] = [edition(&text, None), edition(&text, None)];
    for form in [FULL, GZIP] {
        let [one, two] = [&one, &two].map(|edition| edition.form(form, 1, Vec::new, Tick::default()));
        assert_eq!(one.headers[ETAG], two.headers[ETAG]);
        assert_eq!(octets(&one), octets(&two));
    }
}

#[test]
fn the_end_of_a_playlist_stays_behind_the_reports() {
    let edition = edition(&format!("{}#EXT-X-ENDLIST\n", text(0, 3, 0)), None);
    let rendered = edition.form(GZIP, 1, || sibling(3), Tick::default());
    assert!(gunzip(&rendered).ends_with("LAST-MSN=2\n#EXT-X-ENDLIST\n"));
    assert_eq!(rendered.headers[CACHE_CONTROL], "max-age=12");
}

#[test]
fn a_last_line_without_an_end_gets_one_before_the_reports_only() {
    let text = text(0, 3, 0);
    let edition = edition(text.trim_end(), None);
    assert_eq!(identity(&edition), text.trim_end());
    let reported = edition.form(FULL, 1, || sibling(3), Tick::default());
    assert!(String::from_utf8(octets(&reported)).unwrap().starts_with(&format!("{text}#EXT-X-RENDITION-REPORT")));
}

#[test]
fn a_delta_update_that_cannot_be_made_is_the_full_playlist_made_once() {
    let edition = edition(&text(0, 3, 0), None);
    let skipping = Form { skipping: Some(Skipping::Segments), ..GZIP };
    let full = edition.form(skipping, 1, Vec::new, Tick::default());
    assert!(Arc::ptr_eq(&full, &edition.form(GZIP, 1, Vec::new, Tick::default())));
}

#[test]
fn a_delta_update_is_a_form_of_its_own_with_the_same_reports() {
    let text = text(0, 40, 1);
    let edition = edition(&text, None);
    let form = |coding| Form { skipping: Some(Skipping::Segments), coding };
    let delta = octets(&edition.form(form(Coding::Identity), 1, || sibling(41), Tick::default()));
    let delta = String::from_utf8(delta).unwrap();
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=33\n"), "{delta}");
    assert!(delta.ends_with("LAST-MSN=40\n"));
    assert_eq!(gunzip(&edition.form(form(Coding::Gzip), 1, || sibling(41), Tick::default())), delta);
    let merged = crate::rules::hls::delta::merge(&edition.published.playlist, &parse(&delta, None).unwrap()).unwrap();
    assert!(merged.render().starts_with(&text));
}

#[test]
fn a_head_says_what_a_form_is() {
    let headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Origin"))]);
    let edition = Edition::new(published(&text(0, 3, 0), None), headers, None);
    let rendered = edition.form(GZIP, 0, Vec::new, Tick::default());
    assert_eq!(rendered.headers[CONTENT_TYPE], "application/vnd.apple.mpegurl");
    assert_eq!(rendered.headers[CACHE_CONTROL], "max-age=2");
    let vary: Vec<_> = rendered.headers.get_all(VARY).iter().collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    assert!(!edition.form(FULL, 0, Vec::new, Tick::default()).headers.contains_key(CONTENT_ENCODING));
}
