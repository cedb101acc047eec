//! What is at which URL. A path is a mode, a rendition and a leaf: `/live/v0/seg-12.m4s`.

use super::dvr;
use super::timeline::Position;

/// A way in which the one timeline is published, and the first step of its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `/live/`: LL-HLS, parts as files.
    Live,
    /// `/br/`: LL-HLS, parts as byte ranges of a growing segment.
    Br,
    /// `/plain/`: no parts, no blocking reload.
    Plain,
    /// `/ts/`: as `/plain/`, in MPEG transport streams that carry picture and sound together.
    Ts,
    /// `/vod/`: the clip once, with an end.
    Vod,
    /// `/ssai/`: as `/plain/`, but each multivariant request leads to playlists of its own, with ads of their own.
    Ssai,
}

impl Mode {
    /// Every mode with the name that stands in its paths.
    pub const ALL: [(&'static str, Self); 6] = [
        ("live", Self::Live),
        ("br", Self::Br),
        ("plain", Self::Plain),
        ("ts", Self::Ts),
        ("vod", Self::Vod),
        ("ssai", Self::Ssai),
    ];

    /// Has parts, blocking reload and delta updates.
    pub fn low_latency(self) -> bool {
        matches!(self, Self::Live | Self::Br)
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The multivariant playlist.
    Master(Mode),
    /// A media playlist of a rendition.
    Playlist(Mode, &'a str),
    /// A media playlist of one viewer of `/ssai/`.
    OwnPlaylist {
        /// The viewer's number.
        viewer: u64,
        /// Rendition.
        rendition: &'a str,
    },
    /// An initialisation section.
    Init(&'a str),
    /// A media segment.
    Segment(Mode, &'a str, u64),
    /// A part file of `/live/`.
    Part(&'a str, Position),
    /// A segment of an ad.
    Ad {
        /// The ad's number.
        ad: u64,
        /// Rendition.
        rendition: &'a str,
        /// Segment of the ad.
        index: u64,
    },
    /// Pseudo-random bytes under a name.
    Blob(&'a str),
    /// Something of a channel of `/dvr/`.
    Dvr(u64, dvr::Leaf),
}

/// Reads a path; `None` is a path that names nothing.
pub fn target(path: &str) -> Option<Target<'_>> {
    let (first, rest) = path.strip_prefix('/')?.split_once('/')?;
    if first == "blob" {
        return (!rest.is_empty()).then_some(Target::Blob(rest));
    }
    if first == "dvr" {
        return channel(rest);
    }
    let mode = Mode::ALL.iter().find(|(name, _)| *name == first)?.1;
    let steps: Vec<&str> = rest.splitn(4, '/').collect();
    match (mode, steps.as_slice()) {
        (_, ["master.m3u8"]) => Some(Target::Master(mode)),
        (Mode::Ssai, ["ad", ad, rest @ ..]) => {
            let [rendition, leaf] = rest else { return None };
            let ad = number(ad)?;
            if *leaf == "init.mp4" {
                return Some(Target::Init(rendition));
            }
            Some(Target::Ad { ad, rendition, index: number(leaf.strip_prefix("seg-")?.strip_suffix(".m4s")?)? })
        }
        (Mode::Ssai, [viewer, rendition, "media.m3u8"]) => {
            Some(Target::OwnPlaylist { viewer: number(viewer)?, rendition })
        }
        (Mode::Ssai, _) => None,
        (_, [rendition, "media.m3u8"]) => Some(Target::Playlist(mode, rendition)),
        (_, [rendition, "init.mp4"]) if mode != Mode::Ts => Some(Target::Init(rendition)),
        (_, [rendition, leaf]) => media(mode, rendition, leaf),
        _ => None,
    }
}

fn channel(path: &str) -> Option<Target<'_>> {
    let (channel, rest) = path.split_once('/')?;
    let channel = number(channel).filter(|channel| *channel < dvr::CHANNELS)?;
    let leaf = match rest.split_once('/') {
        None => (rest == "master.m3u8").then_some(dvr::Leaf::Master),
        Some((rendition, leaf)) => {
            let rendition = number(rendition).filter(|rendition| *rendition < dvr::RENDITIONS)?;
            match leaf {
                "media.m3u8" => Some(dvr::Leaf::Playlist(rendition)),
                _ => Some(dvr::Leaf::Segment(rendition, number(leaf.strip_prefix("seg-")?.strip_suffix(".ts")?)?)),
            }
        }
    };
    leaf.map(|leaf| Target::Dvr(channel, leaf))
}

fn media<'a>(mode: Mode, rendition: &'a str, leaf: &str) -> Option<Target<'a>> {
    if let Some(place) = leaf.strip_prefix("part-") {
        let (msn, part) = place.strip_suffix(".m4s")?.split_once('.')?;
        let at = Position { msn: number(msn)?, part: number(part)? };
        return (mode == Mode::Live).then_some(Target::Part(rendition, at));
    }
    let suffix = if mode == Mode::Ts { ".ts" } else { ".m4s" };
    Some(Target::Segment(mode, rendition, number(leaf.strip_prefix("seg-")?.strip_suffix(suffix)?)?))
}

/// A number in its one spelling, below 2^40 so that no arithmetic on it overflows.
fn number(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (value < 1 << 40 && value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_one_meaning() {
        let at = Position { msn: 12, part: 3 };
        for (path, expected) in [
            ("/live/master.m3u8", Some(Target::Master(Mode::Live))),
            ("/br/a0/media.m3u8", Some(Target::Playlist(Mode::Br, "a0"))),
            ("/live/v0/part-12.3.m4s", Some(Target::Part("v0", at))),
            ("/br/v0/part-12.3.m4s", None),
            ("/ts/v1/seg-7.ts", Some(Target::Segment(Mode::Ts, "v1", 7))),
            ("/ts/v1/seg-7.m4s", None),
            ("/plain/v1/seg-07.m4s", None),
            ("/plain/v1/seg-99999999999999.m4s", None),
            ("/vod/v2/init.mp4", Some(Target::Init("v2"))),
            ("/ssai/17/v0/media.m3u8", Some(Target::OwnPlaylist { viewer: 17, rendition: "v0" })),
            ("/ssai/ad/3/v0/seg-1.m4s", Some(Target::Ad { ad: 3, rendition: "v0", index: 1 })),
            ("/ssai/v0/media.m3u8", None),
            ("/dvr/39/5/media.m3u8", Some(Target::Dvr(39, dvr::Leaf::Playlist(5)))),
            ("/dvr/39/6/media.m3u8", None),
            ("/dvr/0/0/seg-7.ts", Some(Target::Dvr(0, dvr::Leaf::Segment(0, 7)))),
            ("/blob/a/b", Some(Target::Blob("a/b"))),
            ("/blob/", None),
            ("/", None),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
