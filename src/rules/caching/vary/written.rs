//! A variant as octets and back: what is kept on disk is selected by the same fields after a restart.

use http::HeaderName;

use super::{MOST_FIELDS, Selector, Variant};
use crate::rules::fields::encoding::Accepted;

const FORMS: [Accepted; 4] = [Accepted::Identity, Accepted::Gzip, Accepted::Brotli, Accepted::Both];

const ABSENT: u8 = 0;
const MEMBERS: u8 = 1;
const CASELESS: u8 = 2;
const ENCODING: u8 = 3;
const LANGUAGE: u8 = 4;

impl Variant {
    /// As octets, behind what `out` has.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        for (name, selector) in &self.0 {
            text(name.as_str().as_bytes(), out);
            match selector {
                Selector::Absent => out.push(ABSENT),
                Selector::Members(members) => list(MEMBERS, members, out),
                Selector::Caseless(members) => list(CASELESS, members, out),
                Selector::Language(members, language) => {
                    list(LANGUAGE, members, out);
                    text(language, out);
                }
                Selector::Encoding(accepted) => {
                    let form = FORMS.iter().position(|form| form == accepted).expect("one of four");
                    out.extend([ENCODING, form as u8]);
                }
            }
        }
    }

    /// What `octets` begin with; `None` where that is no variant.
    pub fn read(octets: &mut &[u8]) -> Option<Self> {
        let count = octet(octets)?;
        if usize::from(count) > MOST_FIELDS {
            return None;
        }
        let field = |_| {
            let name = HeaderName::from_bytes(read_text(octets)?).ok()?;
            let selector = match octet(octets)? {
                ABSENT => Selector::Absent,
                MEMBERS => Selector::Members(read_list(octets)?),
                CASELESS => Selector::Caseless(read_list(octets)?),
                LANGUAGE => Selector::Language(read_list(octets)?, read_text(octets)?.into()),
                ENCODING => Selector::Encoding(*FORMS.get(usize::from(octet(octets)?))?),
                _ => return None,
            };
            Some((name, selector))
        };
        (0..count).map(field).collect::<Option<_>>().map(Self)
    }
}

fn text(octets: &[u8], out: &mut Vec<u8>) {
    out.extend((octets.len() as u32).to_le_bytes());
    out.extend(octets);
}

fn list(kind: u8, members: &[Box<[u8]>], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend((members.len() as u32).to_le_bytes());
    members.iter().for_each(|member| text(member, out));
}

fn octet(octets: &mut &[u8]) -> Option<u8> {
    let (first, rest) = octets.split_first()?;
    *octets = rest;
    Some(*first)
}

fn number(octets: &mut &[u8]) -> Option<usize> {
    let (first, rest) = octets.split_first_chunk()?;
    *octets = rest;
    usize::try_from(u32::from_le_bytes(*first)).ok()
}

fn read_text<'o>(octets: &mut &'o [u8]) -> Option<&'o [u8]> {
    let length = number(octets)?;
    let (text, rest) = octets.split_at_checked(length)?;
    *octets = rest;
    Some(text)
}

fn read_list(octets: &mut &[u8]) -> Option<Box<[Box<[u8]>]>> {
    let count = number(octets)?;
    // Each member takes four octets at least: a count beyond that is no count.
    (count <= octets.len() / 4).then(|| (0..count).map(|_| read_text(octets).map(Box::from)).collect())?
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_variant_survives_being_written() {
        let mut response = HeaderMap::new();
        response.insert(VARY, HeaderValue::from_static("accept-encoding, accept-language, x-a, x-absent"));
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static("br;q=1, gzip"));
        request.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de, EN"));
        request.insert("x-a", HeaderValue::from_static("1, 2"));
        for variant in [Variant::default(), Variant::of(&response, &request).unwrap()] {
            let mut octets = Vec::new();
            variant.write(&mut octets);
            octets.push(7);
            let mut rest = &octets[..];
            assert_eq!(Variant::read(&mut rest), Some(variant));
            assert_eq!(rest, [7]);
        }
    }

    proptest! {
        #[test]
        fn any_octets_can_be_read(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            _ = Variant::read(&mut &octets[..]);
        }
    }
}
