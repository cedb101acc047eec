//! Who may read what arrives, among those who came for it.

use super::failure::FillEnd;

/// Who may read a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// All whose request it fits.
    Everyone,
    /// Those who are here when its head comes.
    Waiting,
    /// The leader alone.
    Leader,
    /// The leader, whose own request is at fault.
    AtFault,
}

impl Audience {
    /// Why a reader who joined gets nothing of it.
    pub fn turns_away(self) -> Option<FillEnd> {
        match self {
            Self::Everyone | Self::Waiting => None,
            Self::Leader => Some(FillEnd::NotShared),
            Self::AtFault => Some(FillEnd::NotMeant),
        }
    }
}
