//! What was typed: tables and values of a TOML file with their places.
//!
//! A key is known because somebody asks for it: `Section::finish` refuses whatever nobody asked for, so the list of
//! keys exists once, in the code that gives them meaning. A value of the wrong kind is reported where it stands and
//! counts as absent; reading goes on, and one run reports everything.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::finding::{Complaint, Place, Report};
use super::suggest::nearest;
use super::value::{self, ValueError};

/// A table, with the memory of what was asked of it.
/// A table, with the memory of what was asked of it.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Where it stands.
    pub(super) place: Place<'a>,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn whole(table: &'a DeTable<'a>, report: &'a Report) -> Self {
        Self { place: report.file(), table, asked: Vec::new() }
    }

    /// The value of a key, which is known from now on.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let (_, node) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Value::at(&self.place, key, node))
    }

    /// The value of a key that has no default.
    pub(super) fn required(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            let complaint = Complaint::new(format!("`{key}` is missing")).remedy(format!("add `{key} = {example}`"));
            self.place.refuse_absence(complaint);
        }
        value
    }

    /// The table of that name.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Section<'a>> {
        self.value(key)?.table()
    }

    /// Every value of this table by name, in the order of the file: its names are the writer's own.
    pub(super) fn named_values(self) -> Vec<(String, Value<'a>)> {
        let mut values: Vec<_> = self.table.iter().collect();
        values.sort_by_key(|(name, _)| name.span().start);
        let value = |(name, node): (&Spanned<_>, _)| {
            let name: &DeString<'a> = name.get_ref();
            (name.to_string(), Value::at(&self.place, name, node))
        };
        values.into_iter().map(value).collect()
    }

    /// Refuses every key that was never asked for.
    pub(super) fn finish(self) {
        for (name, _) in self.table {
            let key = name.get_ref().as_ref();
            if !self.asked.contains(&key) {
                let complaint = Complaint::new(format!("unknown key `{key}`")).accepted(self.asked.join(", ")).remedy(
                    match nearest(key, self.asked.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "remove it".to_owned(),
                    },
                );
                self.place.inside(key, name.span()).refuse(complaint);
            }
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    /// Where it stands.
    pub(super) place: Place<'a>,
    node: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    fn at(outer: &Place<'a>, key: &str, node: &'a Spanned<DeValue<'a>>) -> Self {
        Self { place: outer.inside(key, node.span()), node: node.get_ref() }
    }

    fn item(&self, index: usize, node: &'a Spanned<DeValue<'a>>) -> Self {
        Self { place: self.place.item(index, node.span()), node: node.get_ref() }
    }

    /// Reports that the value is not of the kind that the key takes.
    fn wrong_kind(&self, accepted: &str, remedy: Option<String>) {
        let kind = match self.node {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let found = match self.node {
            DeValue::Array(_) | DeValue::Table(_) => kind.to_owned(),
            _ => format!("{kind}, {}", self.place.typed()),
        };
        self.place.refuse(Complaint::new("wrong kind of value").found(found).accepted(accepted).perhaps(remedy));
    }

    /// Reports what is wrong with the text of this value.
    pub(super) fn bad(&self, message: &str, error: ValueError) {
        let complaint = Complaint::new(message).found(self.place.typed()).accepted(error.accepted);
        self.place.refuse(complaint.perhaps(error.meant.map(|meant| format!("did you mean \"{meant}\"?"))));
    }

    /// A non-empty string.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.node {
            DeValue::String(text) if text.trim().is_empty() => {
                self.place.refuse(Complaint::new("an empty text says nothing").remedy("leave the key out, or fill it"));
                None
            }
            DeValue::String(text) => Some(text),
            _ => {
                let quoted = match self.node {
                    DeValue::Integer(_) | DeValue::Float(_) => Some(format!("write \"{}\"", self.place.typed())),
                    _ => None,
                };
                self.wrong_kind("a string in double quotes", quoted);
                None
            }
        }
    }

    /// The string, where this is one; any other kind is not reported.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.node.as_str()
    }

    /// What was typed, where this is a whole number; any other kind is not reported.
    pub(super) fn as_digits(&self) -> Option<&'a str> {
        self.node.is_integer().then(|| self.place.typed())
    }

    /// Whether this is a table; nothing is reported.
    pub(super) fn is_table(&self) -> bool {
        self.node.is_table()
    }

    /// Whether this is the word `false`; nothing is reported.
    pub(super) fn is_false(&self) -> bool {
        self.node.as_bool() == Some(false)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.node.as_bool();
        if flag.is_none() {
            let meant = match self.as_text() {
                Some(text @ ("true" | "false")) => Some(format!("write {text} without quotes")),
                Some("yes" | "on") => Some("write true".to_owned()),
                Some("no" | "off") => Some("write false".to_owned()),
                _ => None,
            };
            self.wrong_kind("true or false", meant);
        }
        flag
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let accepted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = self.node else {
            let meant = self.as_text().filter(|text| text.parse::<u64>().is_ok());
            self.wrong_kind(&accepted, meant.map(|text| format!("write {text} without quotes")));
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        self.within(number, &bounds, accepted)
    }

    /// A size in bytes within bounds: a text with a unit, or a whole number of bytes.
    pub(super) fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.node {
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) => match value::size(text) {
                Ok(size) => Some(size),
                Err(error) => {
                    self.bad("not a size", error);
                    return None;
                }
            },
            _ => {
                self.wrong_kind(value::SIZES, None);
                return None;
            }
        };
        let (least, most) = (value::write_size(*bounds.start()), value::write_size(*bounds.end()));
        self.within(number, &bounds, format!("a size from \"{least}\" to \"{most}\""))
    }

    /// A time within bounds.
    pub(super) fn time(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let DeValue::String(text) = self.node else {
            let quoted = match self.node {
                DeValue::Integer(_) => {
                    Some(format!("write \"{0}s\" for seconds, \"{0}ms\" for milliseconds", self.place.typed()))
                }
                _ => None,
            };
            self.wrong_kind(value::TIMES, quoted);
            return None;
        };
        let time = value::time(text).map_err(|error| self.bad("not a time", error)).ok()?;
        let (least, most) = (value::write_time(*bounds.start()), value::write_time(*bounds.end()));
        self.within(Some(time), &bounds, format!("a time from \"{least}\" to \"{most}\""))
    }

    /// A text that `read` understands, within bounds.
    pub(super) fn measured<T: PartialOrd>(
        &self,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
        (bounds, accepted): (RangeInclusive<T>, &str),
    ) -> Option<T> {
        let value = read(self.text()?).map_err(|error| self.bad(what, error)).ok()?;
        self.within(Some(value), &bounds, accepted.to_owned())
    }

    fn within<T: PartialOrd>(&self, value: Option<T>, bounds: &RangeInclusive<T>, accepted: String) -> Option<T> {
        let value = value.filter(|value| bounds.contains(value));
        if value.is_none() {
            self.place.refuse(Complaint::new("out of bounds").found(self.place.typed()).accepted(accepted));
        }
        value
    }

    /// One word of a closed list.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let known = words.iter().find(|(word, _)| *word == text);
        if known.is_none() {
            let accepted: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let complaint = Complaint::new("unknown word").found(self.place.typed()).accepted(accepted.join(", "));
            let meant = nearest(text, words.iter().map(|(word, _)| *word));
            self.place.refuse(complaint.perhaps(meant.map(|meant| format!("did you mean \"{meant}\"?"))));
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        match self.node {
            DeValue::Array(items) => {
                Some(items.iter().enumerate().map(|(index, item)| self.item(index, item)).collect())
            }
            _ => {
                let remedy = match self.node {
                    DeValue::Table(_) => None,
                    _ => Some(format!("write [{}]", self.place.typed())),
                };
                self.wrong_kind("a list", remedy);
                None
            }
        }
    }

    /// The items of a list, or this value alone where it is a string.
    pub(super) fn one_or_many(&self) -> Option<Vec<Value<'a>>> {
        match self.node {
            DeValue::String(_) => Some(vec![self.clone()]),
            _ => self.list(),
        }
    }

    /// The tables of a `[[list]]`.
    pub(super) fn tables(&self) -> Vec<Section<'a>> {
        match self.node {
            DeValue::Array(_) => self.list().unwrap_or_default().iter().filter_map(Value::table).collect(),
            _ => {
                let key = &self.place.key;
                self.wrong_kind(&format!("a list of tables, each under [[{key}]]"), Some(format!("write [[{key}]]")));
                Vec::new()
            }
        }
    }

    /// The table that this value is.
    pub(super) fn table(&self) -> Option<Section<'a>> {
        match self.node {
            DeValue::Table(table) => Some(Section { place: self.place.clone(), table, asked: Vec::new() }),
            _ => {
                let key = &self.place.key;
                let accepted = if key.ends_with(']') {
                    "a table, `{ … }`".to_owned()
                } else {
                    format!("a table, under [{key}]")
                };
                self.wrong_kind(&accepted, None);
                None
            }
        }
    }
}

/// A range of times, in milliseconds.
pub(super) fn ms(range: Range<u64>) -> RangeInclusive<Duration> {
    Duration::from_millis(range.start)..=Duration::from_millis(range.end)
}
