//! QPACK (RFC 9204) without a dynamic table: our decoder announces capacity 0, so that a field section needs nothing
//! but itself and no stream ever blocks; our encoder uses the static table and literals alone.
//!
//! Sizes are judged while decoding: a string is checked against what is left before it is taken, a section against
//! the bound with each field (RFC 9114 §4.2.2: name + value + 32).

pub mod huffman;
pub mod prefix_int;
pub mod static_table;

use std::convert::Infallible;

use prefix_int::IntError;

/// The name of a decoded field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// An index into the static table.
    Static(u8),
    /// As written.
    Literal(&'a [u8]),
}

impl<'a> Name<'a> {
    /// Its octets.
    pub fn octets(self) -> &'a [u8] {
        match self {
            Self::Static(index) => static_table::TABLE[usize::from(index)].0.as_bytes(),
            Self::Literal(name) => name,
        }
    }
}

/// The most that a field section may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of names and values, and 32 for each field.
    pub size: usize,
    /// Fields.
    pub fields: usize,
}

/// What each field counts beside its name and value.
const FIELD_OVERHEAD: usize = 32;

/// Why a field section was not decoded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError<E = Infallible> {
    /// It breaks QPACK: QPACK_DECOMPRESSION_FAILED.
    Broken(&'static str),
    /// It holds more octets than the bounds allow.
    TooLarge,
    /// It holds more fields than the bounds allow.
    TooMany,
    /// The caller does not want a field.
    Refused(E),
}

/// Decodes a field section and hands out its fields in order.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<E>(
    section: &[u8],
    bounds: Bounds,
    mut each: impl FnMut(Name<'_>, &[u8]) -> Result<(), E>,
) -> Result<(), DecodeError<E>> {
    let mut rest = section;
    prefix(&mut rest)?;
    let mut room = bounds;
    let (mut name_scratch, mut value_scratch) = (Vec::new(), Vec::new());
    while let Some(&first) = rest.first() {
        let (name, value) = match first {
            0x80.. => indexed(first, &mut rest)?,
            0x40..0x80 => {
                let name = Name::Static(static_index(first & 0x10, 4, &mut rest)?);
                (name, string(7, &mut rest, &mut value_scratch)?)
            }
            0x20..0x40 => {
                let name = Name::Literal(string(3, &mut rest, &mut name_scratch)?);
                (name, string(7, &mut rest, &mut value_scratch)?)
            }
            0..0x20 => return Err(DecodeError::Broken("a reference behind the base of an empty dynamic table")),
        };
        let size = name.octets().len() + value.len() + FIELD_OVERHEAD;
        room.size = room.size.checked_sub(size).ok_or(DecodeError::TooLarge)?;
        room.fields = room.fields.checked_sub(1).ok_or(DecodeError::TooMany)?;
        each(name, value).map_err(DecodeError::Refused)?;
    }
    Ok(())
}

/// Required Insert Count and Base (§4.5.1): without a dynamic table the first is 0 and the second not negative.
fn prefix<E>(rest: &mut &[u8]) -> Result<(), DecodeError<E>> {
    if integer(8, rest)? != 0 {
        return Err(DecodeError::Broken("inserts are required, but the dynamic table has no capacity"));
    }
    let sign = rest.first().copied().unwrap_or_default() & 0x80;
    integer(7, rest)?;
    if sign != 0 {
        return Err(DecodeError::Broken("a negative base"));
    }
    Ok(())
}

fn integer<E>(prefix: u8, rest: &mut &[u8]) -> Result<u64, DecodeError<E>> {
    prefix_int::decode(prefix, rest).map_err(|error| match error {
        IntError::Truncated => DecodeError::Broken("a field section ends inside an integer"),
        IntError::TooLarge => DecodeError::Broken("an integer of more than 62 bits"),
    })
}

/// An index of the static table; `is_static` is the T bit, 0 where the peer names the dynamic table.
fn static_index<E>(is_static: u8, prefix: u8, rest: &mut &[u8]) -> Result<u8, DecodeError<E>> {
    let index = integer(prefix, rest)?;
    if is_static == 0 {
        return Err(DecodeError::Broken("a reference to the empty dynamic table"));
    }
    match u8::try_from(index) {
        Ok(index) if usize::from(index) < static_table::TABLE.len() => Ok(index),
        _ => Err(DecodeError::Broken("an index beyond the static table")),
    }
}

fn indexed<'a, E>(first: u8, rest: &mut &[u8]) -> Result<(Name<'a>, &'a [u8]), DecodeError<E>> {
    let index = static_index(first & 0x40, 6, rest)?;
    Ok((Name::Static(index), static_table::TABLE[usize::from(index)].1.as_bytes()))
}

/// A string whose length has `prefix` bits; the bit above says whether it is Huffman coded.
fn string<'s, 'r: 's, E>(
    prefix: u8,
    rest: &mut &'r [u8],
    scratch: &'s mut Vec<u8>,
) -> Result<&'s [u8], DecodeError<E>> {
    let huffman = rest.first().copied().unwrap_or_default() & (1 << prefix) != 0;
    let length = integer(prefix, rest)?;
    let Some((octets, left)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return Err(DecodeError::Broken("a string longer than its field section"));
    };
    *rest = left;
    if !huffman {
        return Ok(octets);
    }
    scratch.clear();
    huffman::decode(octets, scratch).map_err(|_| DecodeError::Broken("the Huffman code of a string is broken"))?;
    Ok(scratch)
}

/// Whether a field may be stored in a table by anyone on the way (§7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// It is a secret: never.
    Secret,
}

/// Begins a field section that refers to no dynamic table.
pub fn begin(out: &mut Vec<u8>) {
    out.extend([0, 0]);
}

/// Appends a field with a lower-case name.
pub fn encode(name: &str, value: &[u8], secrecy: Secrecy, out: &mut Vec<u8>) {
    let entry = static_table::entry(name);
    let never_indexed = |bit| if secrecy == Secrecy::Secret { bit } else { 0 };
    match (entry, secrecy) {
        (Some(entry), Secrecy::Open) if let Some(index) = entry.with_value(value) => {
            return prefix_int::encode(6, 0xc0, u64::from(index), out);
        }
        (Some(entry), _) => prefix_int::encode(4, 0x50 | never_indexed(0x20), u64::from(entry.any), out),
        (None, _) => {
            prefix_int::encode(3, 0x20 | never_indexed(0x10), name.len() as u64, out);
            out.extend_from_slice(name.as_bytes());
        }
    }
    prefix_int::encode(7, 0, value.len() as u64, out);
    out.extend_from_slice(value);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
