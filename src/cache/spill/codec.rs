//! Numbers and texts as octets and back. What is read may be anything: a value that is not there is `None`, and no
//! length is believed beyond what is left.

/// Writes values one behind the other, numbers in little-endian order.
#[derive(Default)]
pub(super) struct Encoder(pub Vec<u8>);

impl Encoder {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn octets(&mut self, octets: &[u8]) {
        self.u32(u32::try_from(octets.len()).expect("shorter than a head may be"));
        self.0.extend_from_slice(octets);
    }
}

/// Reads them back.
pub(super) struct Decoder<'o>(pub &'o [u8]);

impl<'o> Decoder<'o> {
    pub fn take(&mut self, octets: usize) -> Option<&'o [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn octets(&mut self) -> Option<&'o [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    pub fn text(&mut self) -> Option<&'o str> {
        std::str::from_utf8(self.octets()?).ok()
    }
}
