//! What a player takes from a multivariant playlist: a rendition of the picture, and the sound that goes with it.

use super::playlist::attribute;

/// Which of the renditions a viewer plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// The one in the middle by bandwidth; of two, the lower.
    #[default]
    Middle,
    /// This one in the order of the playlist, from 0; the last one if there are fewer.
    Index(usize),
}

/// The media playlists to play, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Picture, or everything.
    pub main: String,
    /// Sound, where it is apart.
    pub audio: Option<String>,
}

/// Chooses from a multivariant playlist; none if it is not one.
pub fn choose(text: &str, choice: Choice) -> Option<Chosen> {
    let mut variants: Vec<(u64, &str, Option<&str>)> = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") else {
            continue;
        };
        let uri = lines.by_ref().find(|line| !line.is_empty() && !line.starts_with('#'))?;
        let bandwidth = attribute(list, "BANDWIDTH").and_then(|text| text.parse().ok());
        variants.push((bandwidth.unwrap_or(0), uri, attribute(list, "AUDIO")));
    }
    let (_, main, group) = match choice {
        Choice::Index(index) => *variants.get(index).or(variants.last())?,
        Choice::Middle => {
            variants.sort_by_key(|(bandwidth, _, _)| *bandwidth);
            *variants.get(variants.len().saturating_sub(1) / 2)?
        }
    };
    Some(Chosen { main: main.to_owned(), audio: group.and_then(|group| audio(text, group)).map(str::to_owned) })
}

/// The default sound of a group, else its first; none if it comes with the picture.
fn audio<'a>(text: &'a str, group: &str) -> Option<&'a str> {
    let mut found: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-MEDIA:"))
        .filter(|list| attribute(list, "TYPE") == Some("AUDIO") && attribute(list, "GROUP-ID") == Some(group))
        .collect();
    found.sort_by_key(|list| attribute(list, "DEFAULT") != Some("YES"));
    found.first().and_then(|list| attribute(list, "URI"))
}

/// The path and query that `reference` means on the page `base` (RFC 3986, 5.2); none if it names another server.
pub fn resolve(base: &str, reference: &str, authority: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let absolute = reference
        .split_once("://")
        .filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .map(|(_, rest)| rest)
        .or_else(|| reference.strip_prefix("//"));
    if let Some(rest) = absolute {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        return host.eq_ignore_ascii_case(authority).then(|| dots(if path.starts_with('/') { path } else { "/" }));
    }
    let page = base.split('?').next().unwrap_or_default();
    if reference.starts_with('/') {
        return Some(dots(reference));
    }
    if reference.is_empty() || reference.starts_with('?') {
        return Some(format!("{page}{reference}"));
    }
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(dots(&format!("{folder}/{reference}")))
}

/// Removes `.` and `..` from a path that may have a query.
fn dots(whole: &str) -> String {
    let (path, query) = whole.split_at(whole.find('?').unwrap_or(whole.len()));
    let mut out: Vec<&str> = Vec::new();
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    for (index, step) in steps.iter().enumerate() {
        let last = index + 1 == steps.len();
        match *step {
            "." | ".." => {
                if *step == ".." {
                    out.pop();
                }
                if last {
                    out.push("");
                }
            }
            step => out.push(step),
        }
    }
    format!("/{}{query}", out.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#EXTM3U\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"a, b\",URI=\"x/m.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"c\",DEFAULT=YES,URI=\"a0/m.m3u8\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=300,AUDIO=\"s\"\nv0/m.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=100,AUDIO=\"s\"\nv1/m.m3u8\n\
        #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1,BANDWIDTH=200,CODECS=\"a,b\"\n\nv2/m.m3u8\n";

    #[test]
    fn the_middle_or_a_numbered_rendition_is_chosen_with_its_sound() {
        let chosen = |choice| {
            let Chosen { main, audio } = choose(TEXT, choice).unwrap();
            (main, audio.unwrap_or_default())
        };
        let pair = |main: &str, audio: &str| (main.to_owned(), audio.to_owned());
        assert_eq!(chosen(Choice::Middle), pair("v2/m.m3u8", ""));
        assert_eq!(chosen(Choice::Index(0)), pair("v0/m.m3u8", "a0/m.m3u8"));
        assert_eq!(chosen(Choice::Index(9)), pair("v2/m.m3u8", ""));
        assert_eq!(choose("#EXTM3U\n#EXTINF:2,\nx.ts\n", Choice::Middle), None);
    }

    #[test]
    fn references_are_resolved_on_the_same_server_only() {
        for (reference, path) in [
            ("v0/m.m3u8", Some("/live/v0/m.m3u8")),
            ("../x?y=/../z", Some("/x?y=/../z")),
            ("../../../x", Some("/x")),
            ("/a/./b/", Some("/a/b/")),
            ("?q", Some("/live/master.m3u8?q")),
            ("http://here:1/a/../b?c", Some("/b?c")),
            ("//HERE:1", Some("/")),
            ("http://there/x", None),
            ("x#y", Some("/live/x")),
        ] {
            let found = resolve("/live/master.m3u8?t=1/2", reference, "here:1");
            assert_eq!(found.as_deref(), path, "{reference}");
        }
    }
}
