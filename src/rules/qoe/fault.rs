//! What was wrong with a player's report, in a closed list of words, and how often. A key that is wrong is dropped alone, a
//! field or record that cannot be read as a whole; what was right beside it stays.

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A field, parameter, record or body breaks its grammar: the whole of it.
    Malformed,
    /// It is larger than its bound, or has too many keys: the whole of it.
    TooLarge,
    /// A record beyond the most that a body may have.
    TooMany,
    /// It is of a version that is not understood, or of none where one must be said: the whole of it.
    Version,
    /// A record lacks a key without which it says nothing: the whole of it.
    MissingKey,
    /// A record of an event that is not in the list: the whole of it.
    UnknownEvent,
    /// A record without `sid`, of a sender whom no token names: the whole of it.
    NoSession,
    /// A key that is not in the list of its version.
    UnknownKey,
    /// What does not belong where it stands: keys of events in a request, of responses in another event, the parameter
    /// beside fields; and a key in another field than its own, which is kept.
    Misplaced,
    /// A value of another type than its key's.
    WrongType,
    /// A token that is not in its key's list, or a text that breaks its key's grammar.
    UnknownValue,
    /// A negative length, duration or count.
    Negative,
    /// A text or list longer than its key allows.
    TooLong,
    /// A value that contradicts another of the same report, or that nothing real has.
    Impossible,
    /// A custom key that is not in the list of those that are kept.
    NotAllowed,
    /// What is not written as the standard wants it, and is understood and kept all the same.
    Irregular,
}

/// All of them, in order.
pub const FAULTS: [Fault; 16] = [
    Fault::Malformed,
    Fault::TooLarge,
    Fault::TooMany,
    Fault::Version,
    Fault::MissingKey,
    Fault::UnknownEvent,
    Fault::NoSession,
    Fault::UnknownKey,
    Fault::Misplaced,
    Fault::WrongType,
    Fault::UnknownValue,
    Fault::Negative,
    Fault::TooLong,
    Fault::Impossible,
    Fault::NotAllowed,
    Fault::Irregular,
];

impl Fault {
    /// The stable word, for metrics and the timeline.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::Version => "version",
            Self::MissingKey => "missing-key",
            Self::UnknownEvent => "unknown-event",
            Self::NoSession => "no-session",
            Self::UnknownKey => "unknown-key",
            Self::Misplaced => "misplaced",
            Self::WrongType => "wrong-type",
            Self::UnknownValue => "unknown-value",
            Self::Negative => "negative",
            Self::TooLong => "too-long",
            Self::Impossible => "impossible",
            Self::NotAllowed => "not-allowed",
            Self::Irregular => "irregular",
        }
    }
}

/// How often something was wrong, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults([u8; FAULTS.len()]);

impl Faults {
    /// One more.
    pub const fn add(&mut self, fault: Fault) {
        self.add_all(fault, 1);
    }

    /// So many more.
    pub const fn add_all(&mut self, fault: Fault, more: u8) {
        let count = &mut self.0[fault as usize];
        *count = count.saturating_add(more);
    }

    /// How many of this reason; a report has far fewer than 255 keys.
    pub fn of(&self, fault: Fault) -> u8 {
        self.0[fault as usize]
    }

    /// Those that there are, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u8)> {
        FAULTS.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        let mut faults = Self::default();
        faults.add(fault);
        faults
    }
}
