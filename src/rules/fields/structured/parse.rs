//! Text → structured field (RFC 9651 §4.2).

use super::{Bare, Decimal, Dictionary, Item, List, Malformed, Member, Named, Parameters, base64};
use crate::rules::fields::list::is_token_byte;

/// The most members of a list, dictionary, inner list or set of parameters (RFC 9651 §3.1, §3.2 ask for 1,024, 256 for
/// the inner ones).
const MOST_MEMBERS: usize = 1_024;

/// Reads the whole of `text` by `rule`, blanks around it aside.
pub(super) fn whole<T>(text: &[u8], rule: fn(&mut Reader) -> Option<T>) -> Result<T, Malformed> {
    let mut reader = Reader { text, at: 0 };
    reader.skip(b" ");
    let value = rule(&mut reader);
    reader.skip(b" ");
    match value {
        Some(value) if reader.at == text.len() => Ok(value),
        _ => Err(Malformed { at: reader.at.min(text.len()) }),
    }
}

pub(super) struct Reader<'v> {
    text: &'v [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip(&mut self, blanks: &[u8]) {
        while self.peek().is_some_and(|byte| blanks.contains(&byte)) {
            self.at += 1;
        }
    }

    /// The longest run of bytes that `fits`.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> &[u8] {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// After a member of a list or dictionary: `Some(true)` where another one must follow.
    fn another(&mut self) -> Option<bool> {
        self.skip(b" \t");
        let Some(byte) = self.peek() else { return Some(false) };
        if byte != b',' {
            return None;
        }
        self.at += 1;
        self.skip(b" \t");
        self.peek().map(|_| true)
    }
}

pub(super) fn list(reader: &mut Reader) -> Option<List> {
    let mut members = Vec::new();
    let mut more = reader.peek().is_some();
    while more {
        members.push(member(reader)?);
        more = reader.another()? && members.len() < MOST_MEMBERS;
    }
    Some(List(members))
}

pub(super) fn dictionary(reader: &mut Reader) -> Option<Dictionary> {
    let mut members = Dictionary::default();
    let mut more = reader.peek().is_some();
    while more {
        let name = key(reader)?;
        let value = if reader.eat(b'=') {
            member(reader)?
        } else {
            Member::Item(Item { value: Bare::Boolean(true), parameters: parameters(reader)? })
        };
        members.set(&name, value);
        more = reader.another()? && members.len() < MOST_MEMBERS;
    }
    Some(members)
}

fn member(reader: &mut Reader) -> Option<Member> {
    if reader.peek()? == b'(' { inner_list(reader) } else { item(reader).map(Member::Item) }
}

fn inner_list(reader: &mut Reader) -> Option<Member> {
    reader.at += 1; // the parenthesis
    let mut items = Vec::new();
    while items.len() < MOST_MEMBERS {
        reader.skip(b" ");
        if reader.eat(b')') {
            return Some(Member::Inner(items, parameters(reader)?));
        }
        items.push(item(reader)?);
        if !matches!(reader.peek()?, b' ' | b')') {
            return None;
        }
    }
    None
}

pub(super) fn item(reader: &mut Reader) -> Option<Item> {
    Some(Item { value: bare(reader)?, parameters: parameters(reader)? })
}

fn parameters(reader: &mut Reader) -> Option<Parameters> {
    let mut parameters = Named::default();
    while reader.eat(b';') {
        reader.skip(b" ");
        let name = key(reader)?;
        let value = if reader.eat(b'=') { bare(reader)? } else { Bare::Boolean(true) };
        parameters.set(&name, value);
        if parameters.len() > MOST_MEMBERS {
            return None;
        }
    }
    Some(parameters)
}

fn key(reader: &mut Reader) -> Option<String> {
    if !matches!(reader.peek()?, b'a'..=b'z' | b'*') {
        return None;
    }
    let name = reader.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
    ascii(name)
}

fn bare(reader: &mut Reader) -> Option<Bare> {
    match reader.peek()? {
        b'-' | b'0'..=b'9' => number(reader),
        b'"' => string(reader),
        b'*' | b'a'..=b'z' | b'A'..=b'Z' => token(reader),
        b':' => bytes(reader),
        b'?' => boolean(reader),
        b'@' => date(reader),
        b'%' => display(reader),
        _ => None,
    }
}

fn number(reader: &mut Reader) -> Option<Bare> {
    let sign = if reader.eat(b'-') { -1 } else { 1 };
    let whole = reader.run(|byte| byte.is_ascii_digit());
    let (digits, whole) = (whole.len(), digits_value(whole));
    if digits == 0 || digits > 15 {
        return None;
    }
    if !reader.eat(b'.') {
        return Some(Bare::Integer(sign * whole));
    }
    let fraction = reader.run(|byte| byte.is_ascii_digit());
    let places = fraction.len();
    if digits > 12 || places == 0 || places > 3 {
        return None;
    }
    let thousandths = digits_value(fraction) * [100, 10, 1][places - 1];
    Some(Bare::Decimal(Decimal { thousandths: sign * (whole * 1_000 + thousandths) }))
}

/// Saturates: longer runs than 15 digits are refused by their length.
fn digits_value(digits: &[u8]) -> i64 {
    digits.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')))
}

fn string(reader: &mut Reader) -> Option<Bare> {
    reader.at += 1; // the quote
    let mut text = String::new();
    loop {
        match reader.next()? {
            b'"' => return Some(Bare::String(text)),
            b'\\' => match reader.next()? {
                escaped @ (b'"' | b'\\') => text.push(char::from(escaped)),
                _ => return None,
            },
            byte @ 0x20..=0x7e => text.push(char::from(byte)),
            _ => return None,
        }
    }
}

fn token(reader: &mut Reader) -> Option<Bare> {
    ascii(reader.run(|byte| is_token_byte(byte) || matches!(byte, b':' | b'/'))).map(Bare::Token)
}

fn bytes(reader: &mut Reader) -> Option<Bare> {
    reader.at += 1; // the colon
    let coded = base64::decode(reader.run(|byte| byte != b':'))?;
    reader.eat(b':').then_some(Bare::Bytes(coded))
}

fn boolean(reader: &mut Reader) -> Option<Bare> {
    reader.at += 1; // the question mark
    match reader.next()? {
        b'0' => Some(Bare::Boolean(false)),
        b'1' => Some(Bare::Boolean(true)),
        _ => None,
    }
}

fn date(reader: &mut Reader) -> Option<Bare> {
    reader.at += 1; // the at sign
    match number(reader)? {
        Bare::Integer(seconds) => Some(Bare::Date(seconds)),
        _ => None,
    }
}

fn display(reader: &mut Reader) -> Option<Bare> {
    reader.at += 1; // the percent sign
    if !reader.eat(b'"') {
        return None;
    }
    let mut text = Vec::new();
    loop {
        match reader.next()? {
            b'"' => return String::from_utf8(text).ok().map(Bare::Display),
            b'%' => text.push(lower_hex(reader.next()?)? << 4 | lower_hex(reader.next()?)?),
            byte @ 0x20..=0x7e => text.push(byte),
            _ => return None,
        }
    }
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn ascii(text: &[u8]) -> Option<String> {
    std::str::from_utf8(text).ok().map(str::to_owned)
}
