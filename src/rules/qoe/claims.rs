//! What players say in sums and counts, whichever way it comes: with requests or in batches. The two are kept apart by
//! whoever holds these.

use super::figures::{Figures, Spread};
use super::playback::{Rates, SILENT_MS};
use super::report::{Data, ObjectType, Rated};
use super::sketch::Sketch;
use super::waits::{Wait, Waits};

/// A live player that asks for no media for this long, and for three target durations, is not there any more.
const SILENT_MEDIA_MS: u64 = 30_000;
/// The longest target duration that counts for it, in milliseconds: it is the origin's word.
const LONGEST_TARGET_MS: u64 = 60_000;

/// What one request adds at most to the average of bit rates: nobody plays so long of one object before the next is asked
/// for, and who says so of many makes no sum run over.
const LONGEST_OBJECT_MS: u64 = 600_000;

/// A minute, in milliseconds.
const MINUTE_MS: f64 = 60_000.0;

/// An hour, in milliseconds.
pub const HOUR_MS: f64 = 3_600_000.0;

/// Playing for less than this is left out of ratios.
pub(super) const PLAYED_MS: u64 = 1_000;

/// Sums and counts that a player tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// `msd`
    pub startup: Option<u64>,
    /// `bsa`
    starvations: Option<u64>,
    /// `bsda`
    starved_all: Option<u64>,
    /// The sum of `bsd`.
    starved: Option<u64>,
    /// `mtp`
    pub throughput: Fresh,
    /// `dfa`, the first and the last.
    frames: Option<[((u64, u64), u64); 2]>,
}

/// A sketch, and what has come to it since somebody took that.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh {
    taken: Sketch,
    fresh: Sketch,
}

impl Fresh {
    pub(super) fn add(&mut self, value: u64) {
        self.fresh.add(value, 1);
    }

    /// What it takes beside itself, in bytes.
    pub(super) const fn room(&self) -> usize {
        self.taken.room() + self.fresh.room()
    }

    /// All of it.
    pub(super) fn whole(&self) -> Sketch {
        let mut whole = self.taken.clone();
        whole.merge(&self.fresh);
        whole
    }

    /// What has come since this was called last.
    pub(super) fn take(&mut self, into: &mut Sketch) {
        into.merge(&self.fresh);
        self.taken.merge(&self.fresh);
        self.fresh.clear();
    }
}

/// Of a list with one number for each type of media, the largest: they run side by side.
fn largest(rated: &[Rated]) -> Option<u64> {
    rated.iter().map(|rated| rated.value).max()
}

impl Claims {
    /// A report says this at a time.
    pub(super) fn note(&mut self, data: &Data, ts: u64) {
        self.startup = self.startup.or(data.msd);
        self.starvations = self.starvations.max(largest(&data.bsa));
        self.starved_all = self.starved_all.max(largest(&data.bsda));
        if let Some(ms) = largest(&data.bsd) {
            self.starved = Some(self.starved.unwrap_or_default().saturating_add(ms));
        }
        if let Some(kbps) = largest(&data.mtp) {
            self.throughput.add(kbps);
        }
        if let Some(count) = data.dfa {
            let new = ((ts, data.sn.unwrap_or_default()), count);
            let [first, last] = self.frames.unwrap_or([new; 2]);
            self.frames = Some([first.min(new), last.max(new)]);
        }
    }

    /// The time of rebuffering, as far as sums tell it: that since the session started, else the sum of what was told.
    pub(super) fn starved(&self) -> Option<u64> {
        self.starved_all.or(self.starved)
    }

    /// How often it rebuffered.
    pub(super) const fn starvations(&self) -> Option<u64> {
        self.starvations
    }

    /// Frames that were not shown.
    pub(super) fn frames(&self) -> Option<u64> {
        self.frames.map(|[first, last]| last.1.saturating_sub(first.1))
    }
}

/// What the node sees of a view: requests, and what comes with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub claims: Claims,
    first_playlist: Option<u64>,
    first_media: Option<u64>,
    /// The last sign that media is being played.
    pub last_media: Option<u64>,
    /// The stream's target duration, where a playlist told it.
    target_ms: u64,
    pub playlists: u64,
    pub media: u64,
    pub playing_ms: u64,
    pub bytes: u64,
    pub sending_ms: u64,
    /// Requests that say that the buffer ran dry before them.
    starved: u64,
    has_claims: bool,
    /// Bit rate times duration of pictures and of sound, and the durations.
    rated: [(u64, u64); 2],
    rates: Rates,
    waits: Waits,
    pub switches: (u64, u64),
    behind: Behind,
    latency: Sketch,
}

/// How far behind live it is, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    /// `ltc`
    told: Option<u64>,
    /// What was asked for last, at the moment of the request.
    asked: Option<i64>,
    /// `bl`: what it had by then, and plays before.
    left: i64,
}

impl Behind {
    /// As the player says, else what it asks for, and what it has to play before that.
    fn ms(self) -> Option<u64> {
        let by_date = || u64::try_from(self.asked?.saturating_add(self.left).max(0)).ok();
        self.told.or_else(by_date)
    }
}

/// Requests that were answered well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// Requests.
    pub requests: u64,
    /// Of these, for playlists.
    pub playlists: u64,
    /// Of these, for parts and segments.
    pub media: u64,
    /// Octets of bodies.
    pub bytes: u64,
    /// Time in which they were sent, in milliseconds.
    pub sending_ms: u64,
    /// The target duration of the playlists, in milliseconds.
    pub target_ms: Option<u64>,
    /// When the first of the playlists was asked for; where that is not known, it counts as of the end.
    pub playlist_at: Option<u64>,
    /// When the first of the media was sent whole, likewise.
    pub media_at: Option<u64>,
    /// How long before its request the last of the media began on its stream's calendar, in milliseconds.
    pub behind_ms: Option<i64>,
}

impl Asked {
    /// What it takes beside itself, in bytes.
    pub(super) const fn room(&self) -> usize {
        self.claims.throughput.room() + self.latency.room()
    }

    /// Requests were answered by this time.
    pub(super) fn pass(&mut self, at: u64, passed: &Passed) {
        self.bytes = self.bytes.saturating_add(passed.bytes);
        self.sending_ms = self.sending_ms.saturating_add(passed.sending_ms);
        self.playlists += passed.playlists;
        self.target_ms = passed.target_ms.map_or(self.target_ms, |target| target.min(LONGEST_TARGET_MS));
        if passed.playlists > 0 {
            self.first_playlist = self.first_playlist.into_iter().chain([passed.playlist_at.unwrap_or(at)]).min();
        }
        self.behind.asked = passed.behind_ms.or(self.behind.asked);
        if passed.media > 0 {
            self.media += passed.media;
            self.first_media = self.first_media.into_iter().chain([passed.media_at.unwrap_or(at)]).min();
            self.play_on(at);
        }
    }

    /// After so long without a request for media nobody plays, in milliseconds.
    pub(super) const fn silent_after(&self) -> u64 {
        let of_stream = 3 * self.target_ms;
        if of_stream > SILENT_MEDIA_MS { of_stream } else { SILENT_MEDIA_MS }
    }

    /// Media is being played at this time.
    fn play_on(&mut self, at: u64) {
        let since = self.last_media.map_or(0, |last| at.saturating_sub(last));
        if since <= self.silent_after() {
            self.playing_ms += since;
            if let Some(latency) = self.latency_now() {
                self.latency.add(latency, since);
            }
        }
        self.last_media = self.last_media.max(Some(at));
    }

    /// A request says this of its player.
    pub(super) fn note(&mut self, data: &Data, at: u64) {
        self.has_claims = true;
        self.claims.note(data, at);
        _ = self.waits.note(data, at);
        self.starved += u64::from(data.bs == Some(true));
        self.behind.told = data.ltc.or(self.behind.told);
        let kind = match data.ot {
            Some(ObjectType::Video | ObjectType::Muxed) => 0,
            Some(ObjectType::Audio) => 1,
            _ => return,
        };
        if let Some(left) = data.bl.iter().map(|left| left.value).min() {
            self.behind.left = i64::try_from(left.min(LONGEST_OBJECT_MS)).unwrap_or_default();
        }
        let rates = Rates::of(&data.br);
        let Some(rate) = rates.seen() else { return };
        let (up, down) = self.rates.change(Rates::of(&[Rated { value: rate.into(), of: data.ot }]));
        self.switches = (self.switches.0 + up, self.switches.1 + down);
        if let Some(duration) = data.d.map(|duration| duration.min(LONGEST_OBJECT_MS)) {
            let rated = &mut self.rated[kind];
            rated.0 = rated.0.saturating_add(u64::from(rate).saturating_mul(duration));
            rated.1 = rated.1.saturating_add(duration);
        }
    }

    /// How far behind live it is, in milliseconds.
    pub(super) fn latency_now(&self) -> Option<u64> {
        self.behind.ms()
    }

    /// Bit rate times duration, and the duration: of pictures, else of sound.
    pub(super) const fn rated(&self) -> (u64, u64) {
        if self.rated[0].1 > 0 { self.rated[0] } else { self.rated[1] }
    }

    /// Time of rebuffering: what was told of it, else what requests show.
    pub(super) fn rebuffer_ms(&self) -> Option<u64> {
        self.claims.starved().or_else(|| self.waits.dry().map(|dry| dry.ms))
    }

    /// Times of rebuffering.
    pub(super) fn rebuffers(&self) -> Option<u64> {
        let seen = || self.starved.max(self.waits.dry().unwrap_or_default().count);
        self.claims.starvations().or_else(|| self.has_claims.then(seen))
    }

    /// An estimate of the startup: from the first playlist to the end of the first media, or to where requests are not
    /// urgent any more, whichever is later.
    fn startup(&self) -> Option<u64> {
        if self.waits.is_starting() {
            return None;
        }
        let (asked, picture) = self.waits.start().map(|Wait { from, to }| (from, to)).unzip();
        let first = self.first_playlist.into_iter().chain(asked).min()?;
        self.first_media.max(picture)?.checked_sub(first)
    }

    /// The time of playing: that of asking, without that of rebuffering.
    pub(super) fn playing(&self) -> u64 {
        self.playing_ms.saturating_sub(self.rebuffer_ms().unwrap_or_default())
    }

    /// The throughput of all bodies together, in kilobits per second.
    fn throughput(&self) -> Option<u64> {
        self.bytes.saturating_mul(8).checked_div(self.sending_ms)
    }

    /// All of it as figures; how it began and ended is the caller's.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures {
            startup_ms: self.claims.startup.or_else(|| self.startup()),
            startup_estimated: self.claims.startup.is_none() && self.startup().is_some(),
            rebuffer_ms: self.rebuffer_ms(),
            rebuffer_estimated: self.claims.starved().is_none() && self.waits.dry().is_some(),
            rebuffers: self.rebuffers(),
            switches_up: self.switches.0,
            switches_down: self.switches.1,
            latency_ms: Spread::of(&self.latency),
            dropped_frames: self.claims.frames(),
            // What the node measured itself; what players measure is in what they report.
            throughput_kbps: self.throughput(),
            ..Figures::default()
        };
        figures.states.playing = self.playing();
        figures.relate(self.rated());
        figures
    }
}

impl Figures {
    /// What follows from the others: ratios and rates. `rated`: bit rate times time, and the time.
    pub(super) fn relate(&mut self, (bits, rated_ms): (u64, u64)) {
        self.bit_rate_kbps = (rated_ms > 0).then(|| bits as f64 / rated_ms as f64);
        let playing = self.states.playing;
        if playing < PLAYED_MS {
            return;
        }
        let each = |count: u64, unit: f64| count as f64 * unit / playing as f64;
        self.rebuffer_ratio = self.rebuffer_ms.map(|ms| ms as f64 / (ms + playing) as f64);
        self.rebuffers_per_hour = self.rebuffers.map(|count| each(count, HOUR_MS));
        self.switches_per_hour = Some(each(self.switches_up + self.switches_down, HOUR_MS));
        self.dropped_frames_per_minute = self.dropped_frames.map(|count| each(count, MINUTE_MS));
    }
}

const _: () = assert!(SILENT_MEDIA_MS < SILENT_MS);
