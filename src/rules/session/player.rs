//! What a viewer's User-Agent comes to in what is kept of it: the family of its player and the major version, no more, so
//! that nobody is known by it.

/// Families in the order in which they are looked for: what names a later one too stands before it.
const FAMILIES: [(&str, &str); 18] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("CrKey/", "Chromecast"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("AppleCoreMedia/", "AppleCoreMedia"),
    ("AndroidXMedia3/", "Media3"),
    ("ExoPlayerLib/", "ExoPlayer"),
    ("ExoPlayer/", "ExoPlayer"),
    ("Lavf/", "ffmpeg"),
    ("VLC/", "VLC"),
    ("GStreamer souphttpsrc ", "GStreamer"),
    ("curl/", "curl"),
    ("Roku/", "Roku"),
];

/// The family and the major version, as `Chrome 142`; `None`: it names nothing that is known.
pub fn player(user_agent: &str) -> Option<String> {
    let found = FAMILIES.iter().find_map(|(mark, family)| Some((*family, major(user_agent, mark)?)));
    // Every browser of a WebKit says Safari; only Safari itself says so beside Version.
    let safari = || Some(("Safari", major(user_agent.contains("Safari/").then_some(user_agent)?, "Version/")?));
    let (family, major) = found.or_else(safari)?;
    Some(if major.is_empty() { family.to_owned() } else { format!("{family} {major}") })
}

/// The first number after a mark, of at most four digits.
fn major<'a>(user_agent: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = user_agent.split_once(mark)?;
    let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    Some(&rest[..digits.min(4)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_is_its_family_and_its_major_version() {
        for (user_agent, told) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.1.2 Safari/537.36",
                "Chrome 142",
            ),
            ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.1", "Edge 142"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140"),
            (
                "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari 18",
            ),
            ("AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; de_de)", "AppleCoreMedia 1"),
            ("Lavf/61.7.100", "ffmpeg 61"),
            ("Chrome/", "Chrome"),
        ] {
            assert_eq!(player(user_agent).as_deref(), Some(told), "{user_agent}");
        }
        assert_eq!(player("alice's own player of 192.0.2.1"), None);
        assert_eq!(player(""), None);
    }
}
