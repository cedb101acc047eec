//! The dictionary that CMCD is written as (RFC 9651 §4.2.2), read without copying: names and values stay in the text. It is
//! strict but for keys, which may have capitals, so that one odd custom key does not void the rest (CTA-5004 §3.1 shows
//! such), and for texts, which may have letters of any language, as the open library writes them. Of members of one name
//! the last counts, unless it stands in a field where it does not belong. Costs are bounded: 64 members, 16 items that are
//! kept of a list.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::key::{KEYS, Key, Shard};
use crate::rules::fields::list::is_token_byte;

/// The most members of all dictionaries of a report.
pub const MOST_MEMBERS: usize = 64;
/// The most items of an inner list.
pub const MOST_ITEMS: usize = 16;
/// The most parameters of an item.
const MOST_PARAMETERS: usize = 16;

/// A value of one piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bare<'t> {
    /// A whole number of at most 15 digits.
    Integer(i64),
    /// A number with a fraction, in thousandths.
    Decimal(i64),
    /// What stands between quotes, with its escapes.
    Text(&'t str),
    /// A word without quotes.
    Token(&'t str),
    /// True or false.
    Boolean(bool),
    /// A type that no key has: bytes, dates, display strings.
    Other,
}

/// What qualifies an item.
pub type Parameter<'t> = (&'t str, Bare<'t>);

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Value<'t> {
    /// One item, of which nothing is kept but this.
    Item(Bare<'t>),
    /// The items between two places.
    Inner(u16, u16),
    /// A list with more items than are kept.
    TooMany,
}

impl<'t> Value<'t> {
    /// The value of one piece; `None`: it is a list.
    pub const fn item(self) -> Option<Bare<'t>> {
        match self {
            Self::Item(value) => Some(value),
            Self::Inner(..) | Self::TooMany => None,
        }
    }
}

/// A value of a list with its parameters, which stand between two places.
#[derive(Clone, Copy, Debug)]
struct Item<'t> {
    value: Bare<'t>,
    parameters: (u16, u16),
}

/// A name and what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Member<'t> {
    /// Where the name is a key of the standard: which.
    pub key: Option<Key>,
    /// The name.
    pub name: &'t str,
    /// What it stands for.
    pub value: Value<'t>,
    /// Whether parameters qualify all of it.
    pub is_qualified: bool,
}

/// The text breaks the grammar, or has more members than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The first.
    Grammar,
    /// The second.
    TooMany,
}

/// Members of one or several dictionaries.
#[derive(Clone, Debug)]
pub struct Members<'t> {
    members: SmallVec<[Member<'t>; 24]>,
    items: SmallVec<[Item<'t>; 40]>,
    parameters: SmallVec<[Parameter<'t>; 16]>,
    /// Where each key of the standard is among the members, from 1.
    places: [u8; KEYS],
    misplaced: u8,
    has_letters: bool,
}

impl Default for Members<'_> {
    fn default() -> Self {
        let (members, items, parameters) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { members, items, parameters, places: [0; KEYS], misplaced: 0, has_letters: false }
    }
}

impl<'t> Members<'t> {
    /// Reads one dictionary to the end, that of a request field where it stood in one; what was read before a fault must
    /// not be used.
    pub fn read(&mut self, octets: &'t [u8], shard: Option<Shard>) -> Result<(), Unreadable> {
        // Looked through once. What is no UTF-8 fits nowhere: it ends the text, and voids it.
        let text = match std::str::from_utf8(octets) {
            Ok(text) => text,
            Err(_) => octets.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
        };
        let mut reader = Reader { text, at: 0, has_letters: false };
        reader.skip(b" ");
        let mut is_more = reader.peek().is_some();
        let mut left = MOST_MEMBERS.saturating_sub(self.members.len());
        while is_more {
            left = left.checked_sub(1).ok_or(Unreadable::TooMany)?;
            let member = self.member(&mut reader).ok_or(Unreadable::Grammar)?;
            self.set(member, shard);
            is_more = reader.another().ok_or(Unreadable::Grammar)?;
        }
        if text.len() < octets.len() {
            return Err(Unreadable::Grammar);
        }
        self.has_letters |= reader.has_letters;
        Ok(())
    }

    /// How many keys stood in a request field where they do not belong.
    pub const fn misplaced(&self) -> u8 {
        self.misplaced
    }

    /// Whether a text has letters that structured fields do not know.
    pub const fn has_letters(&self) -> bool {
        self.has_letters
    }

    /// What a key of the standard stands for.
    pub fn find(&self, key: Key) -> Option<Value<'t>> {
        let place = usize::from(self.places[key as usize]);
        place.checked_sub(1).map(|at| self.members[at].value)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = &Member<'t>> {
        self.members.iter()
    }

    /// The items of a list, each with its parameters; `None`: it is no list.
    pub fn inner(&self, value: Value<'t>) -> Option<impl Iterator<Item = (Bare<'t>, &[Parameter<'t>])>> {
        let Value::Inner(from, to) = value else { return None };
        let items = &self.items[usize::from(from)..usize::from(to)];
        Some(items.iter().map(|item| {
            let (from, to) = item.parameters;
            (item.value, &self.parameters[usize::from(from)..usize::from(to)])
        }))
    }

    fn member(&mut self, reader: &mut Reader<'t>) -> Option<Member<'t>> {
        let name = reader.key()?;
        let (value, is_qualified) = match reader.eat(b'=') {
            true if reader.peek()? == b'(' => self.inner_list(reader)?,
            true => {
                let value = reader.bare()?;
                (Value::Item(value), self.qualify(reader)?)
            }
            false => (Value::Item(Bare::Boolean(true)), self.qualify(reader)?),
        };
        Some(Member { key: Key::of(name), name, value, is_qualified })
    }

    /// A later value replaces an earlier one of its name.
    fn set(&mut self, member: Member<'t>, shard: Option<Shard>) {
        let is_misplaced = member.key.zip(shard).is_some_and(|(key, shard)| {
            let own = key.rule().shard;
            own != shard && own != Shard::Nowhere
        });
        self.misplaced = self.misplaced.saturating_add(u8::from(is_misplaced));
        let place = match member.key {
            Some(key) => usize::from(self.places[key as usize]).checked_sub(1),
            None => self.members.iter().position(|own| own.key.is_none() && own.name == member.name),
        };
        match place {
            Some(_) if is_misplaced => {}
            Some(at) => self.members[at] = member,
            None => {
                self.members.push(member);
                if let Some(key) = member.key {
                    let count = u8::try_from(self.members.len()).expect("at most MOST_MEMBERS are pushed");
                    self.places[key as usize] = count;
                }
            }
        }
    }

    /// Whether parameters qualify a value that stands alone. They must be well written, and mean nothing.
    fn qualify(&mut self, reader: &mut Reader<'t>) -> Option<bool> {
        if reader.peek() != Some(b';') {
            return Some(false);
        }
        let before = self.parameters.len();
        self.push_parameters(reader)?;
        let is_qualified = self.parameters.len() > before;
        self.parameters.truncate(before);
        Some(is_qualified)
    }

    fn inner_list(&mut self, reader: &mut Reader<'t>) -> Option<(Value<'t>, bool)> {
        reader.at += 1; // the parenthesis
        let from = self.items.len();
        let mut count = 0;
        loop {
            reader.skip(b" ");
            if reader.eat(b')') {
                break;
            }
            let value = reader.bare()?;
            count += 1;
            if count <= MOST_ITEMS {
                let parameters = self.push_parameters(reader)?;
                self.items.push(Item { value, parameters });
            } else {
                reader.parameters(|_, _| Some(()))?;
            }
            if !matches!(reader.peek()?, b' ' | b')') {
                return None;
            }
        }
        let is_qualified = reader.peek() == Some(b';');
        reader.parameters(|_, _| Some(()))?; // no list of CMCD has any that mean something
        if count > MOST_ITEMS {
            return Some((Value::TooMany, is_qualified));
        }
        let value = Value::Inner(u16::try_from(from).ok()?, u16::try_from(self.items.len()).ok()?);
        Some((value, is_qualified))
    }

    /// Between which places the parameters stand that come now.
    fn push_parameters(&mut self, reader: &mut Reader<'t>) -> Option<(u16, u16)> {
        let from = self.parameters.len();
        let parameters = &mut self.parameters;
        reader.parameters(|name, value| {
            if let Some((_, old)) = parameters[from..].iter_mut().find(|(own, _)| *own == name) {
                *old = value;
                return Some(());
            }
            parameters.push((name, value));
            (parameters.len() - from <= MOST_PARAMETERS).then_some(())
        })?;
        Some((u16::try_from(from).ok()?, u16::try_from(self.parameters.len()).ok()?))
    }
}

/// Text without its escapes.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Cow::Owned(plain)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    has_letters: bool,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    fn eat(&mut self, octet: u8) -> bool {
        let is_there = self.peek() == Some(octet);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip(&mut self, blanks: &[u8]) {
        while self.peek().is_some_and(|octet| blanks.contains(&octet)) {
            self.at += 1;
        }
    }

    /// The longest run of octets that fit, all of which are ASCII.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> &'t str {
        let from = self.at;
        self.pass(fits);
        &self.text[from..self.at]
    }

    /// Goes on behind all octets that fit.
    fn pass(&mut self, fits: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|octet| !fits(*octet)).unwrap_or(rest.len());
    }

    /// After a member: whether another one must follow; `None`: something else does, or nothing after the comma.
    fn another(&mut self) -> Option<bool> {
        self.skip(b" \t");
        match self.next() {
            None => Some(false),
            Some(b',') => {
                self.skip(b" \t");
                self.peek().map(|_| true)
            }
            Some(_) => None,
        }
    }

    fn key(&mut self) -> Option<&'t str> {
        let name = self.run(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'*' | b'-'));
        (!name.is_empty()).then_some(name)
    }

    fn parameters(&mut self, mut take: impl FnMut(&'t str, Bare<'t>) -> Option<()>) -> Option<()> {
        while self.eat(b';') {
            self.skip(b" ");
            let name = self.key()?;
            let value = if self.eat(b'=') { self.bare()? } else { Bare::Boolean(true) };
            take(name, value)?;
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Bare<'t>> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text().map(Bare::Text),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                Some(Bare::Token(self.run(|octet| is_token_byte(octet) || matches!(octet, b':' | b'/'))))
            }
            b'?' => {
                self.at += 1;
                match self.next()? {
                    b'0' => Some(Bare::Boolean(false)),
                    b'1' => Some(Bare::Boolean(true)),
                    _ => None,
                }
            }
            b':' => {
                self.at += 1;
                self.run(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'='));
                self.eat(b':').then_some(Bare::Other)
            }
            b'@' => {
                self.at += 1;
                matches!(self.number()?, Bare::Integer(_)).then_some(Bare::Other)
            }
            b'%' => {
                self.at += 1;
                (self.peek()? == b'"').then(|| self.text())?.map(|_| Bare::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Bare<'t>> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let digits = self.run(|octet| octet.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        let whole = digits.bytes().fold(0, |whole, digit| whole * 10 + i64::from(digit - b'0'));
        if !self.eat(b'.') {
            return Some(Bare::Integer(sign * whole));
        }
        let fraction = self.run(|octet| octet.is_ascii_digit());
        if digits.len() > 12 || fraction.is_empty() || fraction.len() > 3 {
            return None;
        }
        let thousandths = fraction.parse::<i64>().ok()? * [100, 10, 1][fraction.len() - 1];
        Some(Bare::Decimal(sign * (whole * 1_000 + thousandths)))
    }

    fn text(&mut self) -> Option<&'t str> {
        self.at += 1; // the quote
        let from = self.at;
        loop {
            self.pass(|octet| matches!(octet, b' '..=b'~') && octet != b'"' && octet != b'\\');
            match self.next()? {
                b'"' => return Some(&self.text[from..self.at - 1]),
                b'\\' if !matches!(self.next()?, b'"' | b'\\') => return None,
                b'\\' => {}
                0x80.. => self.has_letters = true,
                _ => return None,
            }
        }
    }
}
