//! A body in chunks (RFC 9112 §7.1): sizes in plain hexadecimal, extensions passed over within a bound, trailers
//! judged like fields.

use super::{Bounds, Fault, field};

/// Octets of one chunk line, its extensions included.
const LINE_MAX: usize = 16 + 256 + 2;
/// Octets of all extensions of one body.
const EXTENSIONS_MAX: usize = 4 << 10;

/// Where a body in chunks stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before or in a chunk line.
    Size,
    /// So many octets of a chunk are to come.
    Data(u64),
    /// The line end after a chunk's octets.
    DataEnd,
    /// After the last chunk: trailers, then an empty line.
    Trailers,
}

/// A body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    phase: Phase,
    /// Octets of extensions so far.
    extensions: usize,
    /// Octets of trailers so far.
    trailers: usize,
    /// Trailers so far.
    trailer_fields: usize,
}

/// Whether a body goes on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    More,
    Ended,
}

impl Chunked {
    pub(super) const START: Self = Self { phase: Phase::Size, extensions: 0, trailers: 0, trailer_fields: 0 };

    /// Takes the octets of a chunk from the front of what is there; `None` where a line is to be read.
    pub(super) fn data(&mut self, available: usize) -> Option<usize> {
        let Phase::Data(left) = &mut self.phase else { return None };
        let taken = take(left, available);
        if *left == 0 {
            self.phase = Phase::DataEnd;
        }
        Some(taken)
    }

    /// Judges a line by its length before it is complete.
    pub(super) fn judge_size(&self, line: usize, bounds: &Bounds) -> Result<(), Fault> {
        match self.phase {
            Phase::Size if line > LINE_MAX => Err(Fault::Chunk),
            Phase::DataEnd if line > 2 => Err(Fault::Chunk),
            Phase::Trailers if self.trailers + line > bounds.head_size => Err(Fault::HeadTooLarge),
            Phase::Size | Phase::DataEnd | Phase::Trailers | Phase::Data(_) => Ok(()),
        }
    }

    /// Takes a whole line without its end.
    pub(super) fn line(&mut self, line: &[u8], bounds: &Bounds) -> Result<Rest, Fault> {
        match self.phase {
            Phase::Size => self.size_line(line)?,
            Phase::DataEnd if line.is_empty() => self.phase = Phase::Size,
            Phase::DataEnd => return Err(Fault::Chunk),
            Phase::Trailers if line.is_empty() => return Ok(Rest::Ended),
            Phase::Trailers => {
                self.trailers += line.len() + 2;
                self.trailer_fields += 1;
                if self.trailer_fields > bounds.fields {
                    return Err(Fault::HeadTooLarge);
                }
                field::field(line)?;
            }
            Phase::Data(_) => unreachable!("octets of a chunk are counted, not read as lines"),
        }
        Ok(Rest::More)
    }

    fn size_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
        if digits == 0 || digits > 16 {
            return Err(Fault::Chunk);
        }
        let rest = &line[digits..];
        let blanks = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        match rest.get(blanks) {
            None if blanks == 0 => {}
            Some(b';') => self.extensions += rest.len(),
            _ => return Err(Fault::Chunk),
        }
        if self.extensions > EXTENSIONS_MAX {
            return Err(Fault::Chunk);
        }
        let size = line[..digits].iter().fold(0u64, |sum, octet| {
            let digit = (*octet as char).to_digit(16).expect("counted as a hexadecimal digit");
            (sum << 4) | u64::from(digit)
        });
        self.phase = if size == 0 { Phase::Trailers } else { Phase::Data(size) };
        Ok(())
    }
}

/// Counts down by at most `available`; what was counted.
pub(super) fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).map_or(available, |left| left.min(available));
    *left -= taken as u64;
    taken
}
