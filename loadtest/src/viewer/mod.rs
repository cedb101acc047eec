//! Virtual viewers that ask like hls.js in low-latency mode, without decoding.
//!
//! A viewer takes a rendition from the multivariant playlist, with its sound, follows both playlists by blocking reload (or by
//! the clock, where the server does not block), loads parts at the live edge and segments elsewhere, one at a time per track,
//! and plays on a simulated clock that begins `PART-HOLD-BACK` behind the edge. What it met with is an [`Outcome`].
//!
//! Where hls.js decodes, measures or adapts, a viewer does not: it never changes the rendition, and a part is in the buffer as
//! soon as its last byte came. Preload hints are not requested unless the plan says so, as hls.js does not.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use weir_loadtest::client::{Client, Trust, Way};
//! use weir_loadtest::viewer::{Plan, play};
//!
//! let client = Client::connect("http://127.0.0.1:8080", Way::H2Cleartext, &Trust::AcceptAny).await?;
//! let outcome = play(&client, &Plan::new("/live/master.m3u8").lasting(Duration::from_secs(10))).await;
//! assert!(outcome.is_good(), "{outcome:#?}");
//! # Ok(())
//! # }
//! ```

mod media;
mod multivariant;
mod next;
mod outcome;
mod playhead;
pub(crate) mod playlist;
mod session;
mod time;
mod track;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use multivariant::Choice;
pub use outcome::{Errors, Outcome, Requests, Times};
pub use playhead::Stalls;
pub use time::Micros;

use crate::client::{Client, Network, Server, Way};
use crate::token::{Shown, Ticket};
use multivariant::Chosen;
use session::{Ask, GaveUp, Keep, Kind, Session};
use track::{Place, Track};

/// How near the live edge a viewer plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// By parts, `PART-HOLD-BACK` behind, where there are parts.
    #[default]
    Low,
    /// By segments, `HOLD-BACK` or three target durations behind; parts are not looked at.
    Plain,
}

/// What a viewer does with preload hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hints {
    /// Nothing, like hls.js.
    #[default]
    Ignore,
    /// Requests the hinted part before it is listed.
    Request,
}

/// What a viewer checks of media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// That bodies are as long as announced.
    #[default]
    Lengths,
    /// Also that decode times go on from fragment to fragment.
    Timestamps,
}

/// What a viewer is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Path and query of a multivariant playlist, or of a media playlist.
    pub path: String,
    /// From arrival to leaving.
    pub duration: Duration,
    /// Rendition.
    pub choice: Choice,
    /// Low latency or not.
    pub latency: Latency,
    /// Preload hints.
    pub hints: Hints,
    /// What is checked.
    pub check: Check,
    /// Rate at which a viewer who is late catches up; 1: never, as hls.js does by default.
    pub max_rate: f64,
    /// A token that opens the stream; `None`: it is open.
    pub ticket: Option<Ticket>,
}

impl Plan {
    /// Half a minute of low latency with the rendition in the middle, catching up by 5 %.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            duration: Duration::from_secs(30),
            choice: Choice::default(),
            latency: Latency::default(),
            hints: Hints::default(),
            check: Check::default(),
            max_rate: 1.05,
            ticket: None,
        }
    }

    /// The same, of another length.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }
}

/// Plays as `plan` says over the connections of `client`.
pub async fn play(client: &Client, plan: &Plan) -> Outcome {
    watch(client, plan, Instant::now()).await
}

/// Arrives: connects and plays. A connection that fails is an error of the outcome.
pub async fn arrive(server: &Server, way: Way, network: &Network, plan: &Plan) -> Outcome {
    let arrived = Instant::now();
    match Client::connect_to(server.clone(), way, network).await {
        Ok(client) => watch(&client, plan, arrived).await,
        Err(error) => {
            let mut outcome = Outcome { gave_up: true, ..Outcome::default() };
            outcome.errors.note(error.word(), error.to_string());
            outcome
        }
    }
}

async fn watch(client: &Client, plan: &Plan, arrived: Instant) -> Outcome {
    let session = Session::new(client, plan, arrived);
    let leave = arrived + plan.duration;
    let played = tokio::time::timeout_at(leave.into(), run(&session)).await;
    if let Ok(Err(GaveUp)) = played {
        session.notes().gave_up = true;
    }
    session.outcome()
}

async fn run(session: &Session<'_>) -> Result<(), GaveUp> {
    let Plan { path, choice, ticket, .. } = session.plan;
    let shown = ticket.as_ref().map(|ticket| ticket.show(path));
    let Shown { path, field } = &shown.unwrap_or_else(|| Shown { path: path.clone(), field: None });
    let field = field.as_ref().map(|(name, value)| (*name, value.as_str()));
    let loaded = session.fetch(Ask { path, range: None, kind: Kind::Multivariant, keep: Keep::Whole, field }).await?;
    let text = String::from_utf8_lossy(&loaded.body);
    // Without variants it is a media playlist itself; the track asks for it again, which says what is wrong with it if it is none.
    let Chosen { main, audio } =
        multivariant::choose(&text, *choice).unwrap_or(Chosen { main: path.clone(), audio: None });
    let main = session.path(path, &main)?;
    let of = if audio.is_some() { 2 } else { 1 };
    let main = Track::new(session, Place { index: 0, of }, main);
    match audio {
        None => main.run().await?,
        Some(audio) => {
            let audio = session.path(path, &audio)?;
            let audio = Track::new(session, Place { index: 1, of }, audio);
            tokio::try_join!(main.run(), audio.run())?;
        }
    }
    tokio::time::sleep(session.ahead(0)).await;
    Ok(())
}
