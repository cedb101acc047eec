//! How the journal does, as `/status` says it, on a terminal.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::answers::{list, plain};
use super::summary::count;
use crate::config::value::rough_size;

/// Where what viewers experience is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JournalStatus {
    state: String,
    path: Option<String>,
    records: u64,
    bytes: u64,
    size: u64,
    waiting: u64,
    lost: BTreeMap<String, u64>,
}

impl JournalStatus {
    /// In a line.
    pub(super) fn text(&self) -> String {
        let records = count(usize::try_from(self.records).unwrap_or(usize::MAX), "record");
        let place = match &self.path {
            Some(path) => format!("{} of {} in {}", rough_size(self.bytes), rough_size(self.size), plain(path)),
            None => format!("{} in memory only: a restart forgets them", rough_size(self.bytes)),
        };
        let state = match self.state.as_str() {
            "failing" => format!(", FAILING: {} wait in memory", rough_size(self.waiting)),
            _ => String::new(),
        };
        let lost = self.lost.iter().map(|(why, count)| format!("{} {count}", plain(why)));
        let lost = if self.lost.is_empty() { String::new() } else { format!(", LOST: {}", list(lost)) };
        format!("{records}, {place}{state}{lost}")
    }
}
