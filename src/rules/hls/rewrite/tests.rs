use proptest::prelude::*;

use super::*;

/// What belongs to the origin `o.example` becomes rooted, below a prefix.
fn node(uri: &str) -> Option<String> {
    let path = uri.strip_prefix("https://o.example").or_else(|| uri.strip_prefix('/').map(|_| uri))?;
    (!path.starts_with("//")).then(|| format!("/n{path}"))
}

#[test]
fn every_place_of_a_uri_is_rewritten_and_nothing_else() {
    for (line, rewritten) in [
        ("https://o.example/a/1.ts", "/n/a/1.ts"),
        ("/a/1.ts?x=1", "/n/a/1.ts?x=1"),
        (" /a/1.ts\t", " /n/a/1.ts\t"),
        (
            "#EXT-X-PART:DURATION=1,URI=\"/p\",BYTERANGE=\"1@2\"",
            "#EXT-X-PART:DURATION=1,URI=\"/n/p\",BYTERANGE=\"1@2\"",
        ),
        ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"/p\"", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"/n/p\""),
        ("#EXT-X-MAP:URI=\"https://o.example/i.mp4\"", "#EXT-X-MAP:URI=\"/n/i.mp4\""),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"/k\",IV=0x1", "#EXT-X-KEY:METHOD=AES-128,URI=\"/n/k\",IV=0x1"),
        ("#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"/k\"", "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"/n/k\""),
        (
            "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a,URI=/x\",URI=\"/a\"",
            "#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a,URI=/x\",URI=\"/n/a\"",
        ),
        ("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"/i\"", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"/n/i\""),
        ("#EXT-X-RENDITION-REPORT:URI=\"/r\",LAST-MSN=1", "#EXT-X-RENDITION-REPORT:URI=\"/n/r\",LAST-MSN=1"),
        ("#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"/s\"", "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"/n/s\""),
        ("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/c\"", "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/n/c\""),
        (
            "#EXT-X-DATERANGE:ID=\"/d\",X-ASSET-URI=\"/1\",X-ASSET-LIST=\"/2\",X-URI=\"/3\",X-B=\"/4\"",
            "#EXT-X-DATERANGE:ID=\"/d\",X-ASSET-URI=\"/n/1\",X-ASSET-LIST=\"/n/2\",X-URI=\"/n/3\",X-B=\"/4\"",
        ),
        ("#EXT-X-MEDIA:TYPE=AUDIO, URI = \"/a\" ,X=1", "#EXT-X-MEDIA:TYPE=AUDIO, URI = \"/n/a\" ,X=1"),
        ("#EXT-X-MAP:URI=\"/a\",URI=\"/b\"", "#EXT-X-MAP:URI=\"/n/a\",URI=\"/n/b\""),
    ] {
        for (before, behind) in [("", ""), ("#EXTM3U\r\n", "\r\n#EXTINF:4,\r\nrel.ts\r\n"), ("\n", "\n\n")] {
            let text = format!("{before}{line}{behind}");
            assert_eq!(rewrite(&text, node), format!("{before}{rewritten}{behind}"), "{text}");
        }
    }
}

#[test]
fn what_is_relative_foreign_or_no_uri_stays() {
    for line in [
        "",
        "1.ts",
        "../a/1.ts",
        "?x=/1",
        "a://b",
        "data:text/plain,/a",
        "https://foreign.example/1.ts",
        "//foreign.example/1.ts",
        "https://o.example/{$a}/1.ts",
        "/{$a}.ts",
        "{$base}/1.ts",
        "#/a comment",
        " #EXT-X-MAP:URI=\"/a\"",
        "#EXTINF:4,/title",
        "#EXT-X-UNKNOWN:URI=\"/a\"",
        "#EXT-X-MAP",
        "#EXT-X-MAP:",
        "#EXT-X-MAP:URI=/a",
        "#EXT-X-MAP:URI=\"/a",
        "#EXT-X-MAP:=\"/a\"",
        "#EXT-X-MAP:,,,",
        "#EXT-X-MAP:URI=\"a/b\",X=\"/a\"",
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://key\"",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"data:;base64,/w==\"",
        "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"/a\"",
        "#EXT-X-STREAM-INF:BANDWIDTH=1,URI=\"/a\"",
    ] {
        let text = format!("#EXTM3U\n{line}\n");
        assert!(matches!(rewrite(&text, node), Cow::Borrowed(same) if same == text), "{line}");
    }
}

#[test]
fn only_uris_that_may_be_of_an_origin_are_asked_about() {
    let text = "#EXTM3U\n#EXT-X-MAP:URI=\"/i\"\n1.ts\nHTTPS://O/2.ts\nskd://k\n//h/3.ts\n/{$v}/4.ts\nhttp://o/5.ts";
    let mut asked = Vec::new();
    let rewritten = rewrite(text, |uri| {
        asked.push(uri.to_owned());
        None
    });
    assert_eq!(rewritten, text);
    assert_eq!(asked, ["/i", "HTTPS://O/2.ts", "//h/3.ts", "http://o/5.ts"]);
}

#[test]
fn a_hint_is_rewritten_as_the_part_that_follows_it() {
    let hint = rewrite("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"https://o.example/p3.mp4\"\n", node).into_owned();
    let part = rewrite("#EXT-X-PART:DURATION=1.0,URI=\"https://o.example/p3.mp4\"\n", node).into_owned();
    let uri = |line: &str| line.split('"').nth(1).map(str::to_owned);
    assert_eq!(uri(&hint), uri(&part));
    assert_eq!(uri(&hint).as_deref(), Some("/n/p3.mp4"));
}

/// RFC 3986 §5.4, seen from `http://a/b/c/d;p?q`, as far as it stays with the authority.
#[test]
fn references_are_resolved_as_in_the_examples_of_the_standard() {
    for (uri, resolved) in [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("#s", "/b/c/d;p?q"),
        ("g#s", "/b/c/g"),
        ("g?y#s", "/b/c/g?y"),
        (";x", "/b/c/;x"),
        ("g;x", "/b/c/g;x"),
        ("g;x?y#s", "/b/c/g;x?y"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("./", "/b/c/"),
        ("..", "/b/"),
        ("../", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../", "/"),
        ("../../g", "/g"),
        ("../../../g", "/g"),
        ("../../../../g", "/g"),
        ("/./g", "/g"),
        ("/../g", "/g"),
        ("g.", "/b/c/g."),
        (".g", "/b/c/.g"),
        ("g..", "/b/c/g.."),
        ("..g", "/b/c/..g"),
        ("./../g", "/b/g"),
        ("./g/.", "/b/c/g/"),
        ("g/./h", "/b/c/g/h"),
        ("g/../h", "/b/c/h"),
        ("g;x=1/./y", "/b/c/g;x=1/y"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/./x", "/b/c/g?y/./x"),
        ("g?y/../x", "/b/c/g?y/../x"),
        ("g#s/./x", "/b/c/g"),
        ("g#s/../x", "/b/c/g"),
    ] {
        assert_eq!(resolve("/b/c/d;p?q", uri).as_deref(), Some(resolved), "{uri}");
    }
    for uri in ["g:h", "//g", "http:g", "http://a/b"] {
        assert_eq!(resolve("/b/c/d;p?q", uri), None, "{uri}");
    }
}

#[test]
fn what_is_resolved_is_what_a_player_will_ask_for() {
    for (base, uri, resolved) in [
        ("/a/v.m3u8", "s%65g%2d1.ts?t=%7e", Some("/a/seg-1.ts?t=~")),
        ("/a/v.m3u8", "é 1.ts?é=ü", Some("/a/%C3%A9%201.ts?%C3%A9=%C3%BC")),
        ("/a/v.m3u8", " 1.ts\r", Some("/a/1.ts")),
        ("/a/v.m3u8?x=1", "1.ts", Some("/a/1.ts")),
        ("/a/v.m3u8?x=/b/c", "1.ts", Some("/a/1.ts")),
        ("/a/v.m3u8?", "", Some("/a/v.m3u8?")),
        ("/a/v.m3u8", "a/b:c.ts", Some("/a/a/b:c.ts")),
        ("/a/v.m3u8", "?x=a:b", Some("/a/v.m3u8?x=a:b")),
        ("/a/v.m3u8", "1:2.ts", Some("/a/1:2.ts")),
        ("/", "1.ts", Some("/1.ts")),
        ("/v.m3u8", "%2e%2e/1.ts", Some("/1.ts")),
        ("/a/v.m3u8", "a\\b.ts", None),
        ("/a/v.m3u8", "a%zz.ts", None),
        ("/a/v.m3u8", "a\tb.ts", None),
        ("/a/v.m3u8", "skd://key", None),
        ("/a/v.m3u8", "data:text/plain,a", None),
        ("", "1.ts", None),
        ("a/v.m3u8", "1.ts", None),
        ("v.m3u8", "", None),
    ] {
        assert_eq!(resolve(base, uri).as_deref(), resolved, "{uri:?} from {base}");
    }
}

#[test]
fn a_megabyte_of_anything_is_read_once() {
    for piece in
        ["/", "\"/", "#EXT-X-MAP:", "#EXT-X-MAP:URI=", "\n/", "=\"", ",=", "//", "{$", "#EXT-X-PART:URI=\"/a\"\n", "\n"]
    {
        let text = piece.repeat((1 << 20) / piece.len());
        assert_eq!(rewrite(&text, |_| None), text);
        assert!(rewrite(&format!("#EXT-X-MAP:{text}"), node).len() < 3 << 20);
        _ = resolve("/a/b", &text);
        _ = resolve(&format!("/{text}"), &text);
    }
}

/// Playlists made of pieces that matter.
fn playlist() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("#EXT-X-PART:"),
        Just("#EXT-X-MAP:"),
        Just("#EXT-X-DATERANGE:"),
        Just("#EXTINF:4,"),
        Just("URI="),
        Just("X-URI="),
        Just("https://o.example"),
        Just("/a.ts"),
        Just("/é"),
        Just("\""),
        Just(","),
        Just("\n"),
        Just("\r\n"),
        Just(" "),
        Just("{$a}"),
        Just("//h"),
        Just("rel"),
        Just("=")
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_playlist_of_which_nothing_is_ours_stays(text in playlist()) {
        prop_assert!(matches!(rewrite(&text, |_| None), Cow::Borrowed(same) if same == text));
        prop_assert!(matches!(rewrite(&text, |uri| Some(uri.to_owned())), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn what_is_rewritten_are_the_uris_alone(text in playlist()) {
        // Marks that no text has say what was taken for a URI, and taken away they give the text back.
        let marked = rewrite(&text, |uri| Some(format!("\u{1}{uri}\u{2}"))).into_owned();
        prop_assert_eq!(marked.replace(['\u{1}', '\u{2}'], ""), &*text);
        for piece in marked.split('\u{1}').skip(1) {
            let (uri, _) = piece.split_once('\u{2}').expect("every mark has an end");
            prop_assert!(names_an_origin(uri) && !uri.contains('\n'));
        }
        // The same URI becomes the same, wherever it stands.
        let direct = rewrite(&text, node).into_owned();
        let in_two_steps: String = marked.split_inclusive(['\u{1}', '\u{2}']).map(|piece| {
            match (piece.strip_suffix('\u{2}'), piece.strip_suffix('\u{1}')) {
                (Some(uri), _) => node(uri).unwrap_or_else(|| uri.to_owned()),
                (None, Some(other)) => other.to_owned(),
                (None, None) => piece.to_owned(),
            }
        }).collect();
        prop_assert_eq!(direct, in_two_steps);
    }

    #[test]
    fn what_is_resolved_stays_when_it_is_asked_for(
        base in "/[a-c/.]{0,8}(\\?[a-z=]{0,4})?", uri in "[a-c/.?#%25eE:é &=-]{0,16}",
    ) {
        if let Some(resolved) = resolve(&base, &uri) {
            let (path, query) = parted(&resolved);
            let asked = Target::canonical(path, query, Strictness::Lenient).unwrap();
            prop_assert_eq!(asked.path_and_query(), resolved.clone());
            if !resolved.starts_with("//") {
                prop_assert_eq!(resolve(&base, &resolved), Some(resolved));
            }
        }
    }

    #[test]
    fn any_text_is_rewritten_and_resolved(text in "\\PC{0,40}", base in "\\PC{0,20}") {
        _ = rewrite(&text, node);
        _ = resolve(&base, &text);
    }
}

#[test]
fn what_was_found_elsewhere_is_read_from_there() {
    let text = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\na.ts?x=1\n../b.ts\n/c.ts\nhttp://o/d.ts\n{$v}.ts\n#EXT-X-KEY:URI=\"skd://k\"\n";
    let seen = "#EXTM3U\n#EXT-X-MAP:URI=\"http://p:8/s/live/init.mp4\"\nhttp://p:8/s/live/a.ts?x=1\nhttp://p:8/s/b.ts\n\
                http://p:8/c.ts\nhttp://o/d.ts\n{$v}.ts\n#EXT-X-KEY:URI=\"skd://k\"\n";
    assert_eq!(rebase(text, "http://p:8/s/live/v.m3u8?q"), seen);
    assert_eq!(rebase(text, "http://p"), text);
    assert_eq!(rebase("#EXTM3U\n", "http://p/"), "#EXTM3U\n");
}
