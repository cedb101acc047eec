//! Structured field → text, in the one canonical form (RFC 9651 §4.1).

use std::fmt::Write;

use super::{Bare, Dictionary, Item, List, Member, Named, Parameters, base64};
use crate::rules::fields::list::is_token_byte;

/// A value that the format has no way to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritable {
    /// A name of a parameter or member.
    #[error("a key is lower-case letters, digits, `_-.*`, and begins with a letter or `*`")]
    Key,
    /// A number out of range.
    #[error("an integer has at most 15 digits, a decimal 12 before the point")]
    Number,
    /// A string with a character that is not printable ASCII.
    #[error("a string is printable ASCII")]
    String,
    /// A token with a character that no token has.
    #[error("a token begins with a letter or `*` and has no blanks or delimiters")]
    Token,
}

const LARGEST_INTEGER: u64 = 999_999_999_999_999;

impl Item {
    /// The item as text.
    pub fn write(&self) -> Result<String, NotWritable> {
        let mut out = String::new();
        item(self, &mut out)?;
        Ok(out)
    }
}

impl List {
    /// The list as text; an empty list is no field at all, and an empty text.
    pub fn write(&self) -> Result<String, NotWritable> {
        let mut out = String::new();
        for (index, one) in self.0.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { ", " });
            member(one, &mut out)?;
        }
        Ok(out)
    }
}

impl Dictionary {
    /// The dictionary as text; an empty one is no field at all, and an empty text.
    pub fn write(&self) -> Result<String, NotWritable> {
        let mut out = String::new();
        for (index, (name, one)) in self.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { ", " });
            key(name, &mut out)?;
            match one {
                Member::Item(Item { value: Bare::Boolean(true), parameters: qualities }) => {
                    parameters(qualities, &mut out)?;
                }
                other => {
                    out.push('=');
                    member(other, &mut out)?;
                }
            }
        }
        Ok(out)
    }
}

fn member(member: &Member, out: &mut String) -> Result<(), NotWritable> {
    match member {
        Member::Item(one) => item(one, out),
        Member::Inner(items, qualities) => {
            out.push('(');
            for (index, one) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { " " });
                item(one, out)?;
            }
            out.push(')');
            parameters(qualities, out)
        }
    }
}

fn item(item: &Item, out: &mut String) -> Result<(), NotWritable> {
    bare(&item.value, out)?;
    parameters(&item.parameters, out)
}

fn parameters(parameters: &Parameters, out: &mut String) -> Result<(), NotWritable> {
    for (name, value) in Named::iter(parameters) {
        out.push(';');
        key(name, out)?;
        if *value != Bare::Boolean(true) {
            out.push('=');
            bare(value, out)?;
        }
    }
    Ok(())
}

fn key(name: &str, out: &mut String) -> Result<(), NotWritable> {
    let first = name.bytes().next().ok_or(NotWritable::Key)?;
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
    if !matches!(first, b'a'..=b'z' | b'*') || !name.bytes().all(fits) {
        return Err(NotWritable::Key);
    }
    out.push_str(name);
    Ok(())
}

fn bare(value: &Bare, out: &mut String) -> Result<(), NotWritable> {
    match value {
        Bare::Integer(number) => integer(*number, out)?,
        Bare::Decimal(number) if number.thousandths.unsigned_abs() > LARGEST_INTEGER => {
            return Err(NotWritable::Number);
        }
        Bare::Decimal(number) => _ = write!(out, "{number}"),
        Bare::String(text) => string(text, out)?,
        Bare::Token(text) => {
            let first = text.bytes().next().ok_or(NotWritable::Token)?;
            let fits = |byte: u8| is_token_byte(byte) || matches!(byte, b':' | b'/');
            if !(first.is_ascii_alphabetic() || first == b'*') || !text.bytes().all(fits) {
                return Err(NotWritable::Token);
            }
            out.push_str(text);
        }
        Bare::Bytes(bytes) => {
            out.push(':');
            base64::encode(bytes, out);
            out.push(':');
        }
        Bare::Boolean(yes) => out.push_str(if *yes { "?1" } else { "?0" }),
        Bare::Date(seconds) => {
            out.push('@');
            integer(*seconds, out)?;
        }
        Bare::Display(text) => display(text, out),
    }
    Ok(())
}

fn integer(number: i64, out: &mut String) -> Result<(), NotWritable> {
    if number.unsigned_abs() > LARGEST_INTEGER {
        return Err(NotWritable::Number);
    }
    _ = write!(out, "{number}"); // a String takes all that is written to it
    Ok(())
}

fn string(text: &str, out: &mut String) -> Result<(), NotWritable> {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => return Err(NotWritable::String),
        }
    }
    out.push('"');
    Ok(())
}

fn display(text: &str, out: &mut String) {
    out.push_str("%\"");
    for byte in text.bytes() {
        match byte {
            b'%' | b'"' | 0..=0x1f | 0x7f.. => _ = write!(out, "%{byte:02x}"),
            _ => out.push(char::from(byte)),
        }
    }
    out.push('"');
}
