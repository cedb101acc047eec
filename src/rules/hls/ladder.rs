//! A multivariant playlist without its highest variants, for those who come when a node is nearly full.

use super::parse::attributes::Attributes;
use super::parse::lines::{self, Content};

/// Which variants of a stream a viewer is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ladder {
    /// All of them.
    #[default]
    Whole,
    /// The lower half.
    Lower,
}

/// What a tag says of a variant.
struct Variant {
    bandwidth: u64,
    /// Whether it has pictures, as far as it says so.
    is_video: bool,
}

impl Variant {
    fn of(list: &str) -> Option<Self> {
        let (mut bandwidth, mut is_video) = (None, false);
        for (name, value) in Attributes::of(list).map_while(Result::ok) {
            match name {
                "BANDWIDTH" => bandwidth = value.integer(),
                "RESOLUTION" => is_video = true,
                _ => {}
            }
        }
        Some(Self { bandwidth: bandwidth?, is_video })
    }
}

/// The text with the lower half of its bit rates, at least one; `None`: there is nothing to leave out. Where some
/// variants have pictures, half of those stay: sound alone is no lower ladder.
pub fn lower(text: &str) -> Option<String> {
    let most = most(text)?;
    let stays = |list| Variant::of(list).is_none_or(|variant| variant.bandwidth <= most);
    let (mut kept, mut skips_uri) = (String::with_capacity(text.len()), false);
    for line in text.split_inclusive('\n') {
        let is_left_out = match lines::content(line) {
            Content::Tag("EXT-X-STREAM-INF", list) => {
                skips_uri = !stays(list);
                skips_uri
            }
            Content::Tag("EXT-X-I-FRAME-STREAM-INF", list) => !stays(list),
            Content::Uri(_) => std::mem::take(&mut skips_uri),
            Content::Tag(..) | Content::Nothing => false,
        };
        if !is_left_out {
            kept.push_str(line);
        }
    }
    (kept.len() < text.len()).then_some(kept)
}

/// The highest bit rate that stays.
fn most(text: &str) -> Option<u64> {
    let variants = text.lines().filter_map(|line| match lines::content(line) {
        Content::Tag("EXT-X-STREAM-INF", list) => Variant::of(list),
        Content::Tag(..) | Content::Uri(_) | Content::Nothing => None,
    });
    let variants: Vec<_> = variants.collect();
    let has_video = variants.iter().any(|variant| variant.is_video);
    let counted = variants.iter().filter(|variant| variant.is_video || !has_video);
    let mut rates: Vec<_> = counted.map(|variant| variant.bandwidth).collect();
    rates.sort_unstable();
    rates.dedup();
    rates.get(rates.len().div_ceil(2).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hls::multivariant::Multivariant;

    const LADDER: &str = "#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=64000
sound.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1000000,RESOLUTION=640x360
# a comment
low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720
middle.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=6000000,RESOLUTION=1920x1080
high.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,URI=\"low-i.m3u8\"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=4000000,URI=\"high-i.m3u8\"
";

    fn names(text: &str) -> Vec<String> {
        Multivariant::parse(text).unwrap().renditions.iter().map(|rendition| rendition.uri.to_string()).collect()
    }

    #[test]
    fn the_upper_half_is_left_out_and_every_other_line_stays() {
        let lower = lower(LADDER).unwrap();
        assert_eq!(names(&lower), ["audio.m3u8", "sound.m3u8", "low.m3u8", "middle.m3u8", "low-i.m3u8"]);
        let left_out: Vec<_> = LADDER.lines().filter(|line| !lower.contains(line)).collect();
        assert_eq!(left_out.len(), 3, "{left_out:?}");
        assert!(lower.contains("# a comment"));
    }

    #[test]
    fn what_has_one_rate_has_nothing_to_leave_out() {
        for text in [
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=5\na\n#EXT-X-STREAM-INF:BANDWIDTH=5\nb\n",
            "#EXTM3U\n",
            "",
        ] {
            assert_eq!(lower(text), None, "{text}");
        }
        let sound = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb\n";
        assert_eq!(names(&lower(sound).unwrap()), ["a"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_stays_are_its_own_lines(text in "(#EXT-X-STREAM-INF:BANDWIDTH=[0-9]{1,3}\n|[a-z]{1,3}\n|#EXTM3U\n|\r\n){0,20}") {
            if let Some(lower) = lower(&text) {
                let mut lines = text.split_inclusive('\n');
                proptest::prop_assert!(lower.split_inclusive('\n').all(|line| lines.any(|own| own == line)));
            }
        }
    }
}
