//! Where a viewer is, and whether what they ask for is served there. A country is a code of ISO 3166-1 alpha-2.

use std::fmt;

/// Every code that is assigned, and XK, which is Kosovo's in practice.
const CODES: &[u8] = b"ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCR\
CUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJO\
JPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPG\
PHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVG\
VIVNVUWFWSXKYEYTZAZMZW";

/// Codes that people write for others.
const MEANT: [(&str, &str); 4] = [("UK", "GB"), ("EL", "GR"), ("EN", "GB"), ("SU", "RU")];

/// A country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a code, in either case; `None`: there is none (databases and proxies write `XX`, `T1` and the like
    /// for what they do not know).
    pub fn of(code: &[u8]) -> Option<Self> {
        let [first, second] = code else { return None };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        CODES.chunks_exact(2).any(|known| known == code).then_some(Self(code))
    }

    /// Its code, in upper case.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("codes are ASCII")
    }

    /// The code that was probably meant by one that is none.
    pub fn meant(code: &str) -> Option<&'static str> {
        MEANT.iter().find(|(typed, _)| code.eq_ignore_ascii_case(typed)).map(|(_, meant)| *meant)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Where a route is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countries {
    /// Here and nowhere else; empty: everywhere.
    pub allow: Vec<Country>,
    /// Not here.
    pub deny: Vec<Country>,
    /// What becomes of viewers of whom it is not known.
    pub unknown: Unknown,
}

/// What becomes of viewers of whom it is not known where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They are refused where only some countries are served, and not where some are not.
    #[default]
    ByRule,
    /// They are served.
    Allow,
    /// They are refused.
    Refuse,
}

/// Why a viewer is not served where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It is not served in their country.
    Refused,
    /// It is not known where they are.
    Unknown,
}

impl Countries {
    /// Whether everybody is served, wherever they are.
    pub fn are_all(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a viewer is served.
    ///
    /// # Errors
    /// [`Elsewhere`].
    pub fn judge(&self, country: Option<Country>) -> Result<(), Elsewhere> {
        if self.are_all() {
            return Ok(());
        }
        let Some(country) = country else {
            return match self.unknown {
                Unknown::Allow => Ok(()),
                Unknown::ByRule if self.allow.is_empty() => Ok(()),
                Unknown::ByRule | Unknown::Refuse => Err(Elsewhere::Unknown),
            };
        };
        let is_allowed = self.allow.is_empty() || self.allow.contains(&country);
        if is_allowed && !self.deny.contains(&country) { Ok(()) } else { Err(Elsewhere::Refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn countries(codes: &[&str]) -> Vec<Country> {
        codes.iter().map(|code| Country::of(code.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn every_assigned_code_is_known_once_and_nothing_else_is() {
        let codes: std::collections::BTreeSet<&[u8]> = CODES.chunks_exact(2).collect();
        assert_eq!((codes.len(), CODES.len()), (250, 500));
        assert!(codes.iter().all(|code| code.iter().all(u8::is_ascii_uppercase)));
        assert!(CODES.chunks_exact(2).is_sorted());
        assert_eq!(Country::of(b"de").unwrap().code(), "DE");
        for unknown in [&b"XX"[..], b"T1", b"UK", b"DEU", b"D", b"", b"\xff\xff"] {
            assert_eq!(Country::of(unknown), None);
        }
        assert_eq!(Country::meant("uk"), Some("GB"));
    }

    #[test]
    fn a_viewer_is_served_where_the_route_is() {
        let rule = |allow: &[&str], deny: &[&str], unknown| Countries {
            allow: countries(allow),
            deny: countries(deny),
            unknown,
        };
        let de = Country::of(b"DE");
        let table = [
            (rule(&[], &[], Unknown::Refuse), None, Ok(())),
            (rule(&["DE", "AT"], &[], Unknown::ByRule), de, Ok(())),
            (rule(&["AT"], &[], Unknown::ByRule), de, Err(Elsewhere::Refused)),
            (rule(&["AT"], &[], Unknown::ByRule), None, Err(Elsewhere::Unknown)),
            (rule(&["AT"], &[], Unknown::Allow), None, Ok(())),
            (rule(&[], &["DE"], Unknown::ByRule), de, Err(Elsewhere::Refused)),
            (rule(&[], &["DE"], Unknown::ByRule), None, Ok(())),
            (rule(&[], &["DE"], Unknown::Refuse), None, Err(Elsewhere::Unknown)),
            (rule(&["DE"], &["DE"], Unknown::ByRule), de, Err(Elsewhere::Refused)),
        ];
        for (rule, country, verdict) in table {
            assert_eq!(rule.judge(country), verdict, "{rule:?} {country:?}");
        }
    }
}
