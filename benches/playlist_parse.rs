//! Reading a media playlist: for the first time, and again with little changed; and writing it.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use weir::rules::hls::parse::parse;

fn main() {
    divan::main();
}

/// A playlist of `segments`, the last eight of them and the open one with `parts` each.
fn playlist(segments: usize, parts: usize) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.0\n\
        #EXT-X-PART-INF:PART-TARGET=0.334\n#EXT-X-MEDIA-SEQUENCE:1000\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        .to_owned();
    for segment in 0..=segments {
        for part in 0..if segment + 8 < segments { 0 } else { parts } {
            text += &format!("#EXT-X-PART:DURATION=0.333333,URI=\"video_{segment}.m4s.{part}\",INDEPENDENT=YES\n");
        }
        if segment < segments {
            let (minute, second) = (segment * 2 / 60 % 60, segment * 2 % 60);
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:{minute:02}:{second:02}.250Z\n");
            text += &format!("#EXTINF:2.002000,\nvideo_{segment}.m4s\n");
        }
    }
    text + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"next.m4s\"\n#EXT-X-RENDITION-REPORT:URI=\"../low/main.m3u8\",LAST-MSN=1000\n"
}

const SHAPES: [(usize, usize); 3] = [(10, 6), (1_000, 0), (14_400, 6)];

/// Items are lines.
#[divan::bench(args = SHAPES)]
fn for_the_first_time(bencher: Bencher, (segments, parts): (usize, usize)) {
    let text = playlist(segments, parts);
    let lines = ItemsCount::new(text.lines().count());
    bencher.counter(lines).counter(BytesCount::of_str(&text)).bench(|| parse(black_box(&text), None));
}

#[divan::bench(args = SHAPES)]
fn again_unchanged(bencher: Bencher, (segments, parts): (usize, usize)) {
    let text = playlist(segments, parts);
    let before = parse(&text, None).expect("a media playlist");
    let lines = ItemsCount::new(text.lines().count());
    bencher.counter(lines).counter(BytesCount::of_str(&text)).bench(|| parse(black_box(&text), Some(&before)));
}

#[divan::bench(args = SHAPES)]
fn written(bencher: Bencher, (segments, parts): (usize, usize)) {
    let text = playlist(segments, parts);
    let playlist = parse(&text, None).expect("a media playlist");
    bencher.counter(BytesCount::of_str(&text)).bench(|| black_box(&playlist).render());
}

/// A megabyte of what nobody means well with. Most of it is refused.
#[divan::bench(args = HOSTILE.map(|(name, _)| name))]
fn hostile(bencher: Bencher, name: &str) {
    let (_, unit) = HOSTILE.iter().find(|(other, _)| *other == name).expect("one of the list");
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na\n";
    let text = format!("{head}{}\n#EXTINF:2,\nb\n", unit.repeat((1 << 20) / unit.len()));
    bencher.counter(BytesCount::of_str(&text)).bench(|| parse(black_box(&text), None));
}

const HOSTILE: [(&str, &str); 9] = [
    ("blank lines", "\n"),
    ("segments", "#EXTINF:1,\na\n"),
    ("parts", "#EXT-X-PART:DURATION=1,URI=\"a\"\n"),
    ("hints", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\"\n"),
    ("date ranges", "#EXT-X-DATERANGE:ID=\"a\"\n"),
    ("attributes on one line", "A=1,"),
    ("lists of many attributes", MANY),
    ("open quotes", "#EXT-X-KEY:URI=\"\n"),
    ("digits", "#EXT-X-BITRATE:99999999999999999999999999999999999999999999999999999999\n"),
];

/// As many as a list may have, each of a name of its own.
const MANY: &str = "#EXT-X-MAP:A=1,B=1,C=1,D=1,E=1,F=1,G=1,H=1,I=1,J=1,K=1,L=1,M=1,N=1,O=1,P=1,Q=1,R=1,S=1,T=1,U=1,V=1,W=1,\
    X=1,Y=1,Z=1,AA=1,AB=1,AC=1,AD=1,AE=1,AF=1,AG=1,AH=1,AI=1,AJ=1,AK=1,AL=1,AM=1,AN=1,AO=1,AP=1,AQ=1,AR=1,AS=1,AT=1,\
    AU=1,AV=1,AW=1,AX=1,AY=1,AZ=1,BA=1,BB=1,BC=1,BD=1,BE=1,BF=1,BG=1,BH=1,BI=1,BJ=1,BK=1,BL=1,BM=1,BN=1,BO=1,BP=1\n";
