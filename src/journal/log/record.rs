//! A record, and how it stands in a frame: its number, when it came, its class, whose it is, its line. What is asked of
//! many records stands before the line, so that nobody parses lines to find a session's.

use bytes::Bytes;

use crate::journal::frame;
use crate::journal::open::Framed;
use crate::rules::session::SessionId;

/// Octets of number and time.
const FIXED: usize = 16;

/// Octets of an identifier.
const ID: usize = 12;

/// The bit of the class that says that there is a session.
const HAS_SESSION: u8 = 0x80;

/// Octets of the longest line.
pub(super) const LONGEST_LINE: usize = frame::LONGEST - FIXED - 1 - ID;

/// What goes first where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A report that comes again and again.
    Interval,
    /// A report of one response.
    Response,
    /// Anything else.
    Lasting,
}

impl Class {
    const fn octet(self) -> u8 {
        match self {
            Self::Interval => 0,
            Self::Response => 1,
            Self::Lasting => 2,
        }
    }

    const fn of(octet: u8) -> Self {
        match octet & !HAS_SESSION {
            0 => Self::Interval,
            1 => Self::Response,
            _ => Self::Lasting,
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is; `None`: the node's.
    pub session: Option<SessionId>,
    /// When it came, in milliseconds since the epoch.
    pub at: u64,
    /// What goes first.
    pub class: Class,
    /// What it says, as one line without its end.
    pub line: Bytes,
}

/// A record with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number: from 1, without a gap where nothing was lost.
    pub number: u64,
    /// What it is.
    pub record: Record,
}

impl Framed for Numbered {
    fn size(&self) -> usize {
        let id = self.record.session.map_or(0, |_| ID);
        frame::size(FIXED + 1 + id + self.record.line.len())
    }

    fn write(&self, into: &mut Vec<u8>, file: u64) {
        let Record { session, at, class, line } = &self.record;
        let (flag, id) = session.as_ref().map_or((0, &[][..]), |session| (HAS_SESSION, &session.0[..]));
        let parts = [&self.number.to_le_bytes()[..], &at.to_le_bytes(), &[class.octet() | flag], id, line];
        frame::write(into, file, &parts);
    }
}

/// What stands before the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View<'a> {
    pub number: u64,
    pub at: u64,
    pub class: Class,
    pub session: Option<SessionId>,
    line: &'a [u8],
}

impl<'a> View<'a> {
    /// `None`: it is no record.
    pub fn of(body: &'a [u8]) -> Option<Self> {
        let (number, rest) = body.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (class, rest) = rest.split_first()?;
        let (session, line) = match class & HAS_SESSION {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(id, line)| (Some(SessionId(*id)), line))?,
        };
        let (number, at) = (u64::from_le_bytes(*number), u64::from_le_bytes(*at));
        Some(Self { number, at, class: Class::of(*class), session, line })
    }

    pub fn record(&self) -> Numbered {
        let Self { number, at, class, session, line } = *self;
        Numbered { number, record: Record { session, at, class, line: Bytes::copy_from_slice(line) } }
    }
}
