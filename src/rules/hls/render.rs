//! `MediaPlaylist` → text.

use super::playlist::{Line, MediaPlaylist};

impl MediaPlaylist {
    /// The text that it was read from, or that it has become.
    pub fn render(&self) -> String {
        let lines = |lines: &[Line]| lines.iter().map(|line| line.text.len()).sum::<usize>();
        let segments: usize = self.segments.iter().map(|segment| segment.text.len()).sum();
        let mut text = String::with_capacity(lines(&self.head) + segments + lines(&self.tail));
        self.head.iter().for_each(|line| text.push_str(&line.text));
        self.segments.iter().for_each(|segment| text.push_str(&segment.text));
        self.tail.iter().for_each(|line| text.push_str(&line.text));
        text
    }
}
