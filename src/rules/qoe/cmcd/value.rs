//! Values of CMCD → typed ones, strictly: what is of another type, out of range or not in its list is no value.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NotAWord, StrDeserializer};

use super::dictionary::{Bare, Members, Parameter, Value, unescaped};
use super::key::{FASTEST, Form};
use crate::rules::qoe::fault::Fault;
use crate::rules::qoe::path::{opening, path_of, plain};
use crate::rules::qoe::report::{Next, Numbers, ObjectType, Rated, State, Word};

/// A value and the members that it stands among.
#[derive(Clone, Copy, Debug)]
pub struct Source<'m, 't> {
    /// The members.
    pub members: &'m Members<'t>,
    /// The value.
    pub value: Value<'t>,
}

impl<'t> Source<'_, 't> {
    fn item(&self) -> Result<Bare<'t>, Fault> {
        self.value.item().ok_or(Fault::WrongType)
    }

    fn items(&self) -> Result<impl Iterator<Item = (Bare<'t>, &[Parameter<'t>])>, Fault> {
        let fault = if matches!(self.value, Value::TooMany) { Fault::TooLong } else { Fault::WrongType };
        self.members.inner(self.value).ok_or(fault)
    }

    /// A text without its escapes.
    pub fn text(&self) -> Result<Cow<'t, str>, Fault> {
        text(self.item()?)
    }

    fn word<'w>(&self, words: &[&'w str]) -> Result<&'w str, Fault> {
        let Bare::Token(word) = self.item()? else { return Err(Fault::WrongType) };
        words.iter().copied().find(|own| *own == word).ok_or(Fault::UnknownValue)
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
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let Form::Whole(most) = form else { return Err(Fault::WrongType) };
        whole(value.item()?, most).map(Some)
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
        let number = match value.item()? {
            Bare::Integer(whole) => whole as f64,
            Bare::Decimal(thousandths) => thousandths as f64 / 1_000.0,
            _ => return Err(Fault::WrongType),
        };
        if number.abs() > FASTEST { Err(Fault::Impossible) } else { Ok(Some(number)) }
    }
}

impl Field for Option<Box<str>> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        kept(value, form).map(|text| Some(text.into()))
    }
}

impl Field for Option<Word> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let Form::Word(words) = form else { return Err(Fault::WrongType) };
        value.word(words).map(|word| Some(Word::Borrowed(word)))
    }
}

impl Field for Option<Arc<str>> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        kept(value, form).map(|text| Some(text.into()))
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

impl Field for Numbers {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let one = |value| Ok(Rated { value, of: None }.into());
        match form {
            Form::Whole(most) => one(whole(value.item()?, most)?),
            Form::Rounded(most) => one(rounded(value.item()?, most)?),
            Form::Rated(most) => value.items()?.map(|(value, parameters)| rated(value, parameters, most)).collect(),
            _ => Err(Fault::WrongType),
        }
    }
}

impl Field for Vec<Box<str>> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let Form::Texts(most) = form else { return Err(Fault::WrongType) };
        value.items()?.map(|(value, _)| Ok(opening(plain(text(value)?), most).into())).collect()
    }
}

impl Field for Vec<Next> {
    fn of(value: &Source<'_, '_>, form: Form) -> Result<Self, Fault> {
        let mut uris = value.uris(form)?;
        uris.iter_mut().for_each(|next| next.path = path_of(&next.path));
        Ok(uris)
    }
}

fn word_of<T: Deserialize<'static>>(value: &Source<'_, '_>, form: Form) -> Result<Option<T>, Fault> {
    let Form::Word(words) = form else { return Err(Fault::WrongType) };
    word(value.word(words)?).map(Some)
}

/// A word of a closed list, by the name that it is written with.
fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Fault> {
    let text: StrDeserializer<'_, NotAWord> = text.into_deserializer();
    T::deserialize(text).map_err(|_| Fault::UnknownValue)
}

/// What of a text is kept.
fn kept<'t>(value: &Source<'_, 't>, form: Form) -> Result<Cow<'t, str>, Fault> {
    let text = value.text()?;
    match form {
        Form::Text(most) if is_longer(&text, most) => Err(Fault::TooLong),
        Form::Text(_) => Ok(plain(text)),
        Form::Opening(most) => Ok(opening(plain(text), most)),
        Form::Base64 if is_base64(&text) => Ok(text),
        Form::Range if is_range(&text) => Ok(text),
        Form::Url => Ok(Cow::Owned(path_of(&text).into())),
        _ => Err(Fault::UnknownValue),
    }
}

/// Whether a text has more characters than so many.
pub fn is_longer(text: &str, most: usize) -> bool {
    text.len() > most && text.chars().nth(most).is_some()
}

/// A whole number; to players written in JavaScript `5.0` is one, too.
pub fn whole(value: Bare<'_>, most: u64) -> Result<u64, Fault> {
    match value {
        Bare::Integer(whole) => within(whole, most),
        Bare::Decimal(thousandths) if thousandths % 1_000 == 0 => within(thousandths / 1_000, most),
        _ => Err(Fault::WrongType),
    }
}

/// A number, to the nearest whole one.
fn rounded(value: Bare<'_>, most: u64) -> Result<u64, Fault> {
    match value {
        Bare::Decimal(..0) => Err(Fault::Negative),
        Bare::Decimal(thousandths) => within((thousandths + 500) / 1_000, most),
        value => whole(value, most),
    }
}

fn within(number: i64, most: u64) -> Result<u64, Fault> {
    let number = u64::try_from(number).map_err(|_| Fault::Negative)?;
    if number > most { Err(Fault::Impossible) } else { Ok(number) }
}

fn text(value: Bare<'_>) -> Result<Cow<'_, str>, Fault> {
    let Bare::Text(text) = value else { return Err(Fault::WrongType) };
    Ok(unescaped(text))
}

/// A number that at most one parameter gives to an object type. Of a type that is not known it would be a number of all.
fn rated(value: Bare<'_>, parameters: &[Parameter<'_>], most: u64) -> Result<Rated, Fault> {
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
    Ok(Rated { value: rounded(value, most)?, of })
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
