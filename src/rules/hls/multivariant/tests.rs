use proptest::prelude::*;

use super::*;

/// Roles, bandwidths and URIs of the renditions.
fn renditions(text: &str) -> Vec<(Role, Option<u64>, String)> {
    let parsed = Multivariant::parse(text).unwrap();
    assert_eq!(parsed.text, text);
    let renditions = parsed.renditions.into_iter();
    renditions.map(|rendition| (rendition.role, rendition.bandwidth, rendition.uri.into())).collect()
}

fn rendition(role: Role, bandwidth: impl Into<Option<u64>>, uri: &str) -> (Role, Option<u64>, String) {
    (role, bandwidth.into(), uri.to_owned())
}

const LADDER: &str = r#"#EXTM3U
#EXT-X-VERSION:11
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-DEFINE:NAME="cdn",VALUE="https://a.example"
#EXT-X-DEFINE:QUERYPARAM="token"
#EXT-X-CONTENT-STEERING:SERVER-URI="/steering.json",PATHWAY-ID="A"
#EXT-X-SESSION-KEY:METHOD=AES-128,URI="/key"
#EXT-X-SESSION-DATA:DATA-ID="com.example.title",URI="/title.json"

# sound
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="English, stereo",DEFAULT=YES,URI="audio/en.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="In the video",DEFAULT=NO
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="Deutsch",URI="subs/de.m3u8?token={$token}"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc",NAME="cc",INSTREAM-ID="CC1"
#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="angles",NAME="low",URI="v/low.m3u8"
#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="angles",NAME="goal",URI="v/goal.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=800000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.4d401e,mp4a.40.2",AUDIO="aac",VIDEO="angles"
v/low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,AUDIO="aac"
#EXT-X-A-TAG-OF-THE-FUTURE

{$cdn}/v/high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3200000,CODECS="avc1.640028,ec-3",RESOLUTION=1920x1080,AUDIO="surround"
{$cdn}/v/high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"
audio/en.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,CODECS="avc1.4d401e",URI="v/iframes.m3u8"
"#;

fn ladder() -> Vec<(Role, Option<u64>, String)> {
    vec![
        rendition(Role::Audio, 64_000, "audio/en.m3u8"),
        rendition(Role::Subtitles, None, "subs/de.m3u8?token={$token}"),
        rendition(Role::Video, 800_000, "v/low.m3u8"),
        rendition(Role::Video, None, "v/goal.m3u8"),
        rendition(Role::Main, 3_200_000, "{$cdn}/v/high.m3u8"),
        rendition(Role::IFrames, 90_000, "v/iframes.m3u8"),
    ]
}

#[test]
fn every_media_playlist_is_found_once_with_role_and_bandwidth() {
    assert_eq!(renditions(LADDER), ladder());
    assert_eq!(renditions(&LADDER.replace('\n', "\r\n")), ladder());
    assert_eq!(renditions(LADDER.trim_end()), ladder());
    let definitions =
        [Definition::Value("cdn".into(), "https://a.example".into()), Definition::QueryParameter("token".into())];
    assert_eq!(Multivariant::parse(LADDER).unwrap().definitions, definitions);
}

/// What a foreign reader finds: URIs of variants with their bandwidth, those of I-frames, and those of media.
fn of_foreign_reader(text: &str) -> Vec<(Option<u64>, String)> {
    let playlist = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
    let variants = playlist.variants.into_iter().map(|variant| (Some(variant.bandwidth), variant.uri));
    let media = playlist.alternatives.into_iter().filter_map(|media| Some((None, media.uri?)));
    variants.chain(media).collect()
}

#[test]
fn a_foreign_reader_finds_the_same() {
    let ours = renditions(LADDER);
    let foreign = of_foreign_reader(LADDER);
    let mut uris: Vec<_> = foreign.iter().map(|(_, uri)| uri).collect();
    uris.sort();
    uris.dedup();
    assert_eq!(uris.len(), ours.len());
    for (_, bandwidth, uri) in &ours {
        let said = foreign.iter().filter(|(_, other)| other == uri).map(|(bandwidth, _)| *bandwidth).max();
        assert_eq!(said, Some(*bandwidth), "{uri}");
    }
}

#[test]
fn what_must_be_understood_is_ignored_with_its_uri() {
    let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,REQ-FUTURE=\"1\"\na\n#EXT-X-STREAM-INF:BANDWIDTH=2,REQ-VIDEO-LAYOUT=\"CH-STEREO\"\nb\n\
        #EXT-X-MEDIA:TYPE=AUDIO,REQ-FUTURE=1,URI=\"c\"\n#EXT-X-MEDIA:TYPE=SMELL,URI=\"d\"\n#EXT-X-I-FRAME-STREAM-INF:REQ-A=1,URI=\"e\"\n";
    assert_eq!(renditions(text), [rendition(Role::Main, 2, "b")]);
}

#[test]
fn what_cannot_be_read_takes_nothing_else_with_it() {
    for (lines, found) in [
        ("stray.m3u8", vec![]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1", vec![]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=2\na", vec![rendition(Role::Main, 2, "a")]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\na\nb", vec![rendition(Role::Main, 1, "a")]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1, CODECS=\"x\"\na", vec![rendition(Role::Main, 1, "a")]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=fast\na", vec![rendition(Role::Main, None, "a")]),
        ("#EXT-X-STREAM-INF\na", vec![rendition(Role::Main, None, "a")]),
        ("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"\"", vec![]),
        ("#EXT-X-MEDIA:TYPE=AUDIO,URI=a", vec![]),
        ("#EXT-X-MEDIA:URI=\"a\"", vec![]),
        ("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a", vec![]),
        ("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1", vec![]),
        ("#EXT-X-DEFINE:NAME=\"a\"", vec![]),
    ] {
        assert_eq!(renditions(&format!("#EXTM3U\n{lines}\n")), found, "{lines}");
    }
}

#[test]
fn what_is_no_multivariant_playlist_is_refused() {
    let refused = |text: &str| Multivariant::parse(text).map_err(|malformed| (malformed.line, malformed.what));
    for text in ["", "\n", "#EXTM3U8\n", " #EXTM3U\n", "\u{feff}#EXTM3U\n", "<html>", "#EXTM3Ux", "#EXTM3U:"] {
        assert_eq!(refused(text), Err((1, "the first line is not #EXTM3U")), "{text}");
    }
    for tag in ["#EXTINF:4,", "#EXT-X-TARGETDURATION:4", "#EXT-X-ENDLIST", "#EXT-X-PART:URI=\"a\"", "#EXT-X-SKIP:"] {
        let text = format!("#EXTM3U\n\n{tag}\n");
        assert_eq!(refused(&text), Err((3, "a tag of media playlists")), "{tag}");
    }
    let many: String = (0..=RENDITIONS_MAX).map(|n| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{n}.m3u8\n")).collect();
    assert_eq!(
        refused(&format!("#EXTM3U\n{many}")),
        Err((2 * RENDITIONS_MAX + 3, "more renditions than may be named"))
    );
}

#[test]
fn a_megabyte_of_anything_is_read_once() {
    for piece in [
        "a\n",
        "\n",
        "#EXT-X-STREAM-INF:\na\n",
        "#EXT-X-STREAM-INF:A=1,B=2,",
        "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"\"\n",
        "=",
    ] {
        let text = format!("#EXTM3U\n{}", piece.repeat((1 << 20) / piece.len()));
        let found = Multivariant::parse(&text).unwrap();
        assert!(found.renditions.len() <= 1);
    }
}

proptest! {
    #[test]
    fn each_uri_is_named_once_and_stands_in_the_text(
        pieces in proptest::collection::vec(prop_oneof![
            Just("#EXT-X-STREAM-INF:BANDWIDTH=1\n"), Just("#EXT-X-STREAM-INF:BANDWIDTH=2,REQ-X=1\n"), Just("a\n"), Just("b.m3u8\r\n"),
            Just("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a\"\n"), Just("#EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"c\"\n"), Just("\n"), Just("#x\n"),
            Just("#EXT-X-I-FRAME-STREAM-INF:URI=\"d\"\n"),
        ], 0..20),
    ) {
        let text = format!("#EXTM3U\n{}", pieces.concat());
        let found = renditions(&text);
        let mut uris: Vec<_> = found.iter().map(|(_, _, uri)| uri).collect();
        prop_assert!(uris.iter().all(|uri| text.contains(uri.as_str())));
        uris.sort();
        let count = uris.len();
        uris.dedup();
        prop_assert_eq!(count, uris.len());
        // What comes later takes nothing away.
        let more = renditions(&format!("{text}#EXT-X-STREAM-INF:BANDWIDTH=9\nz\n"));
        prop_assert!(more.iter().zip(&found).all(|(one, other)| one.2 == other.2));
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,60}") {
        _ = Multivariant::parse(&text);
        _ = Multivariant::parse(&format!("#EXTM3U\n{text}"));
    }
}
