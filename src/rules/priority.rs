//! Priorities of responses (RFC 9218): the `priority` field, a dictionary (RFC 9651 §3.2) of which `u` and `i` are
//! known. Members of other types or names are passed over; a dictionary that is none says nothing at all (§4).

use super::fields::structured::{Bare, Dictionary, Member};

/// What a priority field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `u`, 0 to 7, the smallest first.
    pub urgency: Option<u8>,
    /// `i`: the response is of use in pieces, so that it may share with others.
    pub incremental: Option<bool>,
}

/// When a response is sent among others of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 7, the smallest first.
    pub urgency: u8,
    /// Whether it shares with others of its urgency.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// What a client asks for (§4), and the response's own field on top of it (§8).
    pub fn merged(client: Parameters, response: Parameters) -> Self {
        let default = Self::default();
        Self {
            urgency: response.urgency.or(client.urgency).unwrap_or(default.urgency),
            incremental: response.incremental.or(client.incremental).unwrap_or(default.incremental),
        }
    }
}

/// Reads a priority field value. Several lines are to be joined with commas before.
pub fn parse(value: &[u8]) -> Parameters {
    let members = Dictionary::parse(value).unwrap_or_default();
    let bare = |name| match members.find(name) {
        Some(Member::Item(item)) => Some(&item.value),
        Some(Member::Inner(..)) | None => None,
    };
    Parameters {
        urgency: match bare("u") {
            Some(Bare::Integer(urgency @ 0..=7)) => Some(*urgency as u8),
            _ => None,
        },
        incremental: match bare("i") {
            Some(Bare::Boolean(incremental)) => Some(*incremental),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urgency_and_incremental_are_read_and_all_else_passed_over() {
        let says = |urgency, incremental| Parameters { urgency, incremental };
        for (value, expected) in [
            ("u=5, i", says(Some(5), Some(true))),
            ("i=?0,u=0", says(Some(0), Some(false))),
            (" u=7 ", says(Some(7), None)),
            ("u=8", says(None, None)),
            ("u=-1", says(None, None)),
            ("u=3.5, i", says(None, Some(true))),
            ("u=1, u=2", says(Some(2), None)),
            ("u=1, u=x", says(None, None)),
            ("i=1, u=2", says(Some(2), None)),
            ("u=4;x=1;y=\"a,b\", z=(1 \"2\";q tok), i;p", says(Some(4), Some(true))),
            ("b=:aGk=:, d=@1659578233, t=*a/b, s=\"q\\\"\\\\\", u=6", says(Some(6), None)),
            ("", says(None, None)),
            ("u=5,", says(None, None)),
            ("u=5 i", says(None, None)),
            ("U=5", says(None, None)),
            ("u=5, z=\"open", says(None, None)),
            ("u=5, z=(1 2", says(None, None)),
            ("u=1234567890123456", says(None, None)),
            ("b=:a:, u=1", says(None, None)),
            ("z=%\"f%c3%bc\", u=1", says(Some(1), None)),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_response_overrides_what_the_client_asked_for() {
        let client = parse(b"u=5, i");
        assert_eq!(Priority::merged(client, parse(b"u=1")), Priority { urgency: 1, incremental: true });
        assert_eq!(Priority::merged(client, parse(b"")), Priority { urgency: 5, incremental: true });
        assert_eq!(Priority::merged(parse(b""), parse(b"")), Priority::default());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_passed_over(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            parse(&value);
        }
    }
}
