//! Lines out of pieces: what has come of a line waits here for the rest of it.

use super::Fault;

/// The line that is being read.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Vec<u8>);

impl Unfinished {
    /// What has come of it.
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Keeps a piece that does not end the line.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// Takes the whole line out, with the piece that ends it; the piece itself where it is the whole line.
    pub(super) fn finish(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut line = std::mem::take(&mut self.0);
        line.extend_from_slice(piece);
        Some(line)
    }

    /// Gives an allocation back for the next line.
    pub(super) fn reuse(&mut self, mut line: Vec<u8>) {
        line.clear();
        self.0 = line;
    }

    /// Gives up what has come.
    pub(super) fn forget(&mut self) {
        self.0 = Vec::new();
    }
}

/// A whole line with its end → the line without it, free of control octets but HTAB (RFC 9110 §5.5).
pub(super) fn without_end(with_end: &[u8]) -> Result<&[u8], Fault> {
    let Some(line) = with_end.strip_suffix(b"\r\n") else { return Err(Fault::LineEnd) };
    // Without an early end the loop is one of vectors.
    let control = line.iter().fold(false, |found, octet| found | is_control(*octet));
    match control {
        false => Ok(line),
        true if line.contains(&b'\r') => Err(Fault::LineEnd),
        true => Err(Fault::Control),
    }
}

const fn is_control(octet: u8) -> bool {
    (octet < 0x20 && octet != b'\t') || octet == 0x7f
}
