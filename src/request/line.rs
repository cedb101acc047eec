//! What a connection knows of its way to the viewer. The transport says so once a second while there are requests; who
//! answers one reads what was said last.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::rules::qoe::cmsd::Sending;

/// What a transport says of its way at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Windows and round trip.
    pub sending: Sending,
    /// Packets or segments that were sent again, since the connection began.
    pub retransmits: u64,
}

/// The line to a viewer; one that nobody has said anything of yet knows nothing.
#[derive(Clone, Debug, Default)]
pub struct Line(Option<Arc<Mutex<Said>>>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Sample>,
    is_news: bool,
    /// Nothing passes any more, and nobody said goodbye.
    is_dead: bool,
}

impl Line {
    /// The line of a connection, of which its transport will say something.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// How it is now.
    pub fn say(&self, sample: Sample) {
        if let Some(said) = &self.0 {
            let mut said = said.lock();
            (said.last, said.is_news) = (Some(sample), true);
        }
    }

    /// Nothing passes any more: the viewer neither takes anything nor says goodbye. To be said before answers that are on
    /// their way are given up for that.
    pub fn dies(&self) {
        if let Some(said) = &self.0 {
            said.lock().is_dead = true;
        }
    }

    /// Whether nothing passes any more.
    pub fn is_dead(&self) -> bool {
        self.0.as_ref().is_some_and(|said| said.lock().is_dead)
    }

    /// How it was last.
    pub fn last(&self) -> Option<Sample> {
        self.0.as_ref()?.lock().last
    }

    /// How it was last, to the first who asks.
    pub fn news(&self) -> Option<Sample> {
        let mut said = self.0.as_ref()?.lock();
        std::mem::take(&mut said.is_news).then_some(said.last).flatten()
    }
}

impl PartialEq for Line {
    /// Whether both are the same line.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Line {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_news_once_and_known_from_then_on() {
        let sample = Sample { retransmits: 3, ..Sample::default() };
        let line = Line::new();
        assert_eq!((line.news(), line.last()), (None, None));
        line.say(sample);
        assert_eq!((line.clone().news(), line.news(), line.last()), (Some(sample), None, Some(sample)));
        line.dies();
        assert!(line.is_dead() && line.clone().is_dead() && !Line::default().is_dead() && !Line::new().is_dead());
        let unknown = Line::default();
        unknown.say(sample);
        assert_eq!(unknown.last(), None);
        assert!(unknown == Line::default() && line != Line::new());
    }
}
