//! Values of CMCD → typed ones, strictly: what is of another type, out of range or not in its list is no value.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NotAWord, StrDeserializer};

use super::dictionary::{Bare, Members, Parameter, Value, unescaped};
use super::key::Form;
use crate::rules::qoe::fault::Fault;
use crate::rules::qoe::path::path_of;
use crate::rules::qoe::report::{Next, ObjectType, Rated, State};

/// A value and the members that it stands among.
#[derive(Clone, Copy, Debug)]
pub struct Source<'m, 't> {
    /// The members.
    pub members: &'m Members<'t>,
    /// The value.
    pub value: Value,
}

impl<'t> Source<'_, 't> {
    fn item(&self) -> Result<Bare<'t>, Fault> {
        self.members.item(self.value).ok_or(Fault::WrongType)
    }

    fn items(&self) -> Result<impl Iterator<Item = (Bare<'t>, &[Parameter<'t>])>, Fault> {
        let fault = if matches!(self.value, Value::TooMany) { Fault::TooLong } else { Fault::WrongType };
        self.members.inner(self.value).ok_or(fault)
    }

    /// A text without its escapes.
    pub fn text(&self) -> Result<Cow<'t, str>, Fault> {
        text(self.item()?)
    }

    fn word(&self, words: &[&str]) -> Result<&'t str, Fault> {
        let Bare::Token(word) = self.item()? else { return Err(Fault::WrongType) };
        if words.contains(&word) { Ok(word) } else { Err(Fault::UnknownValue) }
    }

    /// The URIs of `nor` as they are sent, with their ranges.
    pub fn uris(&self, form: Form) -> Result<Vec<Next>, Fault> {
        match form {
            Form::Encoded => {
                let text = self.text()?;
                let uri = percent_decode_str(&text).decode_utf8().map_err(|_| Fault::UnknownValue)?;
                Ok(vec![Next { path: uri.into(), range: None }])
            }
            Form::Uris => self.items()?.map(|(value, parameters)| next(value, parameters)).collect(),
            _ => Err(Fault::WrongType),
        }
    }
}

/// A type of a value of [`Data`](crate::rules::qoe::report::Data).
pub trait Field: Sized {
    /// The value, where it is of the form.
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault>;
}

impl Field for Option<u64> {
    fn of(value: &Source<'_, '_>, _: Form) -> Result<Self, Fault> {
        whole(value.item()?).map(Some)
    }
}

impl Field for Option<bool> {
    fn of(value: &Source<'_, '_>, _: Form) -> Result<Self, Fault> {
        match value.item()? {
            Bare::Boolean(is_true) => Ok(Some(is_true)),
            _ => Err(Fault::WrongType),
        }
    }
}

impl Field for Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits fit")]
    fn of(value: &Source<'_, '_>, _: Form) -> Result<Self, Fault> {
        match value.item()? {
            Bare::Integer(whole) => Ok(Some(whole as f64)),
            Bare::Decimal(thousandths) => Ok(Some(thousandths as f64 / 1_000.0)),
            _ => Err(Fault::WrongType),
        }
    }
}

impl Field for Option<Box<str>> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let text = match form {
            Form::Word(words) => return Ok(Some(value.word(words)?.into())),
            _ => value.text()?,
        };
        match form {
            Form::Text(most) if text.len() > most => Err(Fault::TooLong),
            Form::Base64 if !is_base64(&text) => Err(Fault::UnknownValue),
            Form::Range if !is_range(&text) => Err(Fault::UnknownValue),
            Form::Url => Ok(Some(path_of(&text))),
            _ => Ok(Some(text.into())),
        }
    }
}

impl Field for Option<Arc<str>> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let text: Option<Box<str>> = Field::of(value, form)?;
        Ok(text.map(Arc::from))
    }
}

impl Field for Option<ObjectType> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        word_of(value, form)
    }
}

impl Field for Option<State> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        word_of(value, form)
    }
}

impl Field for Vec<Rated> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        match form {
            Form::Whole => Ok(vec![Rated { value: whole(value.item()?)?, of: None }]),
            _ => value.items()?.map(|(value, parameters)| rated(value, parameters)).collect(),
        }
    }
}

impl Field for Vec<Box<str>> {
    fn of(value: &Source<'_, '_>, _: Form) -> Result<Self, Fault> {
        value.items()?.map(|(value, _)| text(value).map(Into::into)).collect()
    }
}

impl Field for Vec<Next> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let mut uris = value.uris(form)?;
        uris.iter_mut().for_each(|next| next.path = path_of(&next.path));
        Ok(uris)
    }
}

fn word_of<'de, T: Deserialize<'de>>(value: &Source<'_, 'de>, form: Form) -> Result<Option<T>, Fault> {
    let Form::Word(words) = form else { return Err(Fault::WrongType) };
    word(value.word(words)?).map(Some)
}

/// A word of a closed list, by the name that it is written with.
fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Fault> {
    let text: StrDeserializer<'_, NotAWord> = text.into_deserializer();
    T::deserialize(text).map_err(|_| Fault::UnknownValue)
}

fn whole(value: Bare<'_>) -> Result<u64, Fault> {
    let Bare::Integer(whole) = value else { return Err(Fault::WrongType) };
    u64::try_from(whole).map_err(|_| Fault::Negative)
}

fn text(value: Bare<'_>) -> Result<Cow<'_, str>, Fault> {
    let Bare::Text(text) = value else { return Err(Fault::WrongType) };
    Ok(unescaped(text))
}

/// A number that at most one parameter gives to an object type. Of a type that is not known it would be a number of all.
fn rated(value: Bare<'_>, parameters: &[Parameter<'_>]) -> Result<Rated, Fault> {
    let mut of = None;
    for (name, value) in parameters {
        let object: ObjectType = word(name)?;
        match value {
            Bare::Boolean(true) if of.is_some() => return Err(Fault::Impossible),
            Bare::Boolean(true) => of = Some(object),
            Bare::Boolean(false) => {}
            _ => return Err(Fault::WrongType),
        }
    }
    Ok(Rated { value: whole(value)?, of })
}

fn next(value: Bare<'_>, parameters: &[Parameter<'_>]) -> Result<Next, Fault> {
    let range = match parameters.iter().find(|(name, _)| *name == "r") {
        None => None,
        Some((_, range)) => Some(text(*range)?),
    };
    if range.as_deref().is_some_and(|range| !is_range(range)) {
        return Err(Fault::UnknownValue);
    }
    Ok(Next { path: text(value)?.into(), range: range.map(Into::into) })
}

/// `first-`, `first-last` or `-length`.
fn is_range(text: &str) -> bool {
    let Some((first, last)) = text.split_once('-') else { return false };
    let number = |digits: &str| digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<u64>().ok());
    match (number(first), number(last)) {
        (Some(None), Some(Some(_))) => first.is_empty(),
        (Some(Some(_)), Some(None)) => last.is_empty(),
        (Some(Some(first)), Some(Some(last))) => first <= last,
        _ => false,
    }
}

/// Of either alphabet, with or without its padding.
fn is_base64(text: &str) -> bool {
    let octets = text.trim_end_matches('=');
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'-' | b'_');
    text.len() - octets.len() <= 2 && octets.len() % 4 != 1 && octets.bytes().all(fits)
}
