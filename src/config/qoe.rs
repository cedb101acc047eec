//! `[qoe]` and `[journal]`: what is kept of viewers' experience, where, for how long, and whom it is told.

use std::path::Path;
use std::time::Duration;

use super::DiskEngine;
use super::file::{Section, Value, ms};
use super::reports::{self, Intake};
use super::sinks::{self, Sink};
use super::tables::DISK_ENGINES;

const DAY_MS: u64 = 86_400_000;

/// `[qoe]`
#[derive(Clone, Debug, PartialEq)]
pub struct Qoe {
    /// Whether sessions are told as stories.
    pub enabled: bool,
    /// How addresses are kept.
    pub addresses: Addresses,
    /// A session of an open route ends when nothing was asked for this long.
    pub session_idle: Duration,
    /// Whether players are told of each transmission (CMSD).
    pub cmsd: bool,
    /// How many sessions are found without their identifier: the last ones.
    pub sessions: usize,
    /// What is taken of players' reports.
    pub intake: Intake,
    /// Whom it is told.
    pub sinks: Vec<Sink>,
}

/// How addresses are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The /24 or /48.
    Truncated,
    /// A keyed hash that changes daily.
    Hashed,
    /// Not at all.
    None,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// What its files may take, in bytes; without `node.state`, what it may take in memory is a sixteenth of it.
    pub size: u64,
    /// For how long entries are kept.
    pub keep: Duration,
    /// What is written reaches the disk within this.
    pub sync: Duration,
    /// What reads and writes its files, and those of revocations.
    pub engine: DiskEngine,
}

impl Default for Qoe {
    fn default() -> Self {
        Self {
            enabled: true,
            addresses: Addresses::Truncated,
            session_idle: Duration::from_secs(60),
            cmsd: true,
            sessions: 100_000,
            intake: Intake::default(),
            sinks: Vec::new(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            size: 1 << 30,
            keep: Duration::from_millis(7 * DAY_MS),
            sync: Duration::from_millis(50),
            engine: DiskEngine::Auto,
        }
    }
}

impl Journal {
    /// What it may take without a disk: a sixteenth of what its files may.
    pub const fn in_memory(&self) -> u64 {
        self.size / 16
    }
}

pub(super) fn qoe(section: Option<Section<'_>>, base: &Path) -> Qoe {
    const ADDRESSES: [(&str, Addresses); 3] =
        [("truncated", Addresses::Truncated), ("hashed", Addresses::Hashed), ("none", Addresses::None)];
    let default = Qoe::default();
    let Some(mut section) = section else { return default };
    let enabled = section.value("enabled").and_then(|value| value.flag()).unwrap_or(default.enabled);
    let addresses = section.value("addresses").and_then(|value| value.choice(&ADDRESSES));
    let idle = section.value("session_idle").and_then(|value| value.time(ms(1_000..3_600_000)));
    let cmsd = section.value("cmsd").and_then(|value| value.flag()).unwrap_or(default.cmsd);
    let sessions = section.value("sessions").and_then(|value| value.count(1_000..=10_000_000));
    let intake = reports::intake(&mut section);
    let sinks = sinks::sinks(section.table("sinks"), base);
    section.finish();
    Qoe {
        enabled,
        cmsd,
        intake,
        addresses: addresses.unwrap_or(default.addresses),
        session_idle: idle.unwrap_or(default.session_idle),
        sessions: sessions.map_or(default.sessions, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        sinks,
    }
}

pub(super) fn journal(section: Option<Section<'_>>) -> Journal {
    let default = Journal::default();
    let Some(mut section) = section else { return default };
    let time = |value: Option<Value<'_>>, (least, most), default| {
        value.and_then(|value| value.time(ms(least..most))).unwrap_or(default)
    };
    let size = section.value("size").and_then(|value| value.size(16 << 20..=1 << 44)).unwrap_or(default.size);
    let keep = time(section.value("keep"), (60_000, 400 * DAY_MS), default.keep);
    let sync = time(section.value("sync"), (0, 1_000), default.sync);
    let engine = section.value("engine").and_then(|value| value.choice(&DISK_ENGINES)).unwrap_or(default.engine);
    section.finish();
    Journal { size, keep, sync, engine }
}
