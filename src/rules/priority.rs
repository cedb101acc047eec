//! Priorities of responses (RFC 9218): the `priority` field, a dictionary (RFC 9651 §3.2) of which `u` and `i` are
//! known. Members of other types or names are passed over; a dictionary that is none says nothing at all (§4).

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
    dictionary(value).unwrap_or_default()
}

/// A member's value, as far as it matters.
#[derive(Clone, Copy)]
enum Item {
    Integer(i64),
    Boolean(bool),
    Other,
}

fn dictionary(value: &[u8]) -> Option<Parameters> {
    let mut found = Parameters::default();
    let mut rest = value.trim_ascii();
    while !rest.is_empty() {
        let key = key(&mut rest)?;
        let item = match take(&mut rest, b'=') {
            true => member(&mut rest)?,
            false => Item::Boolean(true),
        };
        parameters(&mut rest)?;
        match (key, item) {
            (b"u", Item::Integer(urgency)) => {
                found.urgency = u8::try_from(urgency).ok().filter(|urgency| *urgency <= 7)
            }
            (b"u", _) => found.urgency = None,
            (b"i", Item::Boolean(incremental)) => found.incremental = Some(incremental),
            (b"i", _) => found.incremental = None,
            _ => {}
        }
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        if !take(&mut rest, b',') {
            return None;
        }
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
    }
    Some(found)
}

fn take(rest: &mut &[u8], octet: u8) -> bool {
    let taken = rest.strip_prefix(&[octet]);
    *rest = taken.unwrap_or(rest);
    taken.is_some()
}

/// Takes the octets from the front that are `wanted`.
fn run<'a>(rest: &mut &'a [u8], wanted: impl Fn(u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|octet| !wanted(*octet)).unwrap_or(rest.len());
    let (run, left) = rest.split_at(end);
    *rest = left;
    run
}

fn key<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let first = *rest.first()?;
    if !first.is_ascii_lowercase() && first != b'*' {
        return None;
    }
    Some(run(rest, |octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"_-.*".contains(&octet)))
}

/// An item or an inner list.
fn member(rest: &mut &[u8]) -> Option<Item> {
    if !take(rest, b'(') {
        return bare_item(rest);
    }
    loop {
        run(rest, |octet| octet == b' ');
        if take(rest, b')') {
            return Some(Item::Other);
        }
        bare_item(rest)?;
        parameters(rest)?;
        if !matches!(rest.first(), Some(b' ' | b')')) {
            return None;
        }
    }
}

fn parameters(rest: &mut &[u8]) -> Option<()> {
    while take(rest, b';') {
        run(rest, |octet| octet == b' ');
        key(rest)?;
        if take(rest, b'=') {
            bare_item(rest)?;
        }
    }
    Some(())
}

fn bare_item(rest: &mut &[u8]) -> Option<Item> {
    match *rest.first()? {
        b'-' | b'0'..=b'9' => number(rest),
        b'"' => quoted(rest),
        b'?' => {
            *rest = &rest[1..];
            let is_true = take(rest, b'1');
            (is_true || take(rest, b'0')).then_some(Item::Boolean(is_true))
        }
        b':' => {
            *rest = &rest[1..];
            run(rest, |octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet));
            take(rest, b':').then_some(Item::Other)
        }
        b'@' => {
            *rest = &rest[1..];
            match number(rest)? {
                Item::Integer(_) => Some(Item::Other),
                Item::Boolean(_) | Item::Other => None,
            }
        }
        first if first.is_ascii_alphabetic() || first == b'*' => {
            run(rest, |octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&octet));
            Some(Item::Other)
        }
        _ => None,
    }
}

fn number(rest: &mut &[u8]) -> Option<Item> {
    let sign = if take(rest, b'-') { -1 } else { 1 };
    let whole = run(rest, |octet| octet.is_ascii_digit());
    if whole.is_empty() || whole.len() > 15 {
        return None;
    }
    if take(rest, b'.') {
        let fraction = run(rest, |octet| octet.is_ascii_digit());
        return (whole.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Item::Other);
    }
    Some(Item::Integer(whole.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')) * sign))
}

fn quoted(rest: &mut &[u8]) -> Option<Item> {
    *rest = &rest[1..];
    loop {
        run(rest, |octet| (0x20..0x7f).contains(&octet) && octet != b'"' && octet != b'\\');
        if take(rest, b'"') {
            return Some(Item::Other);
        }
        if !take(rest, b'\\') || !(take(rest, b'"') || take(rest, b'\\')) {
            return None;
        }
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
