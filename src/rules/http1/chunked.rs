//! A body in chunks (RFC 9112 §7.1): sizes in plain hexadecimal, extensions passed over within a bound, trailers
//! judged like fields.

use super::Fault;

/// Octets of one chunk line, its extensions included.
const LINE_MAX: usize = 16 + 256 + 2;
/// Octets of all extensions of one body.
const EXTENSIONS_MAX: usize = 4 << 10;

/// Where a body in chunks stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
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
    pub phase: Phase,
    extensions: usize,
}

impl Chunked {
    pub(super) const START: Self = Self { phase: Phase::Size, extensions: 0 };

    /// The longest line that may come in the present phase.
    pub(super) const fn line_max(&self) -> usize {
        match self.phase {
            Phase::Size => LINE_MAX,
            // Judged by the bound of a head elsewhere.
            Phase::Trailers | Phase::Data(_) => usize::MAX,
            Phase::DataEnd => 2,
        }
    }

    /// A chunk line without its end.
    pub(super) fn size_line(&mut self, line: &[u8]) -> Result<(), Fault> {
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
