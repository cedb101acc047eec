//! What a viewer watches on, as far as its User-Agent says: a word for those who help viewers, and nothing that decides.

/// A kind of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// It does not say, or nothing that is known.
    #[default]
    Unknown,
    /// A browser of a computer.
    Browser,
    /// An Android telephone or tablet.
    Android,
    /// Apple's player: AVPlayer on a telephone, a tablet, a computer or a television.
    Apple,
    /// A television, or a box beside one.
    Television,
    /// A receiver that somebody casts to.
    Cast,
    /// A tool: ffmpeg, curl and their like.
    Tool,
}

/// What is looked for, in this order: the names of receivers and televisions also name the browsers that they are made of.
const MARKS: [(&str, Device); 22] = [
    ("crkey", Device::Cast),
    ("chromecast", Device::Cast),
    ("appletv", Device::Television),
    ("apple tv", Device::Television),
    ("smart-tv", Device::Television),
    ("smarttv", Device::Television),
    ("hbbtv", Device::Television),
    ("web0s", Device::Television),
    ("webos", Device::Television),
    ("tizen", Device::Television),
    ("roku", Device::Television),
    ("aftt", Device::Television),
    ("googletv", Device::Television),
    ("bravia", Device::Television),
    ("applecoremedia", Device::Apple),
    ("iphone", Device::Apple),
    ("ipad", Device::Apple),
    ("android", Device::Android),
    ("exoplayer", Device::Android),
    ("lavf", Device::Tool),
    ("curl", Device::Tool),
    ("mozilla", Device::Browser),
];

impl Device {
    /// Every kind, in the order of its octet.
    const ALL: [Self; 7] =
        [Self::Unknown, Self::Browser, Self::Android, Self::Apple, Self::Television, Self::Cast, Self::Tool];

    /// What a User-Agent says.
    pub fn of(user_agent: &[u8]) -> Self {
        let says = |mark: &str| {
            let mark = mark.as_bytes();
            user_agent.windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark))
        };
        MARKS.iter().find(|(mark, _)| says(mark)).map_or(Self::Unknown, |(_, device)| *device)
    }

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Browser => "browser",
            Self::Android => "android",
            Self::Apple => "apple",
            Self::Television => "television",
            Self::Cast => "cast",
            Self::Tool => "tool",
        }
    }

    /// As one octet.
    pub const fn octet(self) -> u8 {
        self as u8
    }

    /// What an octet says.
    pub fn from_octet(octet: u8) -> Self {
        Self::ALL.get(usize::from(octet)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_by_what_they_say() {
        for (user_agent, device) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Device::Browser),
            ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile", Device::Android),
            ("AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; de_de)", Device::Apple),
            ("AppleCoreMedia/1.0.0.22L572 (Apple TV; U; CPU OS 18_5 like Mac OS X)", Device::Television),
            ("Mozilla/5.0 (Linux; Android 14.0) AppleWebKit/537.36 Chrome/140.0 CrKey/1.56.500000", Device::Cast),
            ("Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0) AppleWebKit/538.1", Device::Television),
            ("Lavf/61.7.100", Device::Tool),
            ("something else", Device::Unknown),
            ("", Device::Unknown),
        ] {
            assert_eq!(Device::of(user_agent.as_bytes()), device, "{user_agent}");
        }
    }

    #[test]
    fn an_octet_comes_back_as_what_it_was() {
        assert!(Device::ALL.iter().all(|device| Device::from_octet(device.octet()) == *device));
        assert_eq!(Device::from_octet(99), Device::Unknown);
    }
}
