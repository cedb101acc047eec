//! One track of a viewer: a loop that follows its playlist, and one that loads what the playlist lists, side by side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::media::Continuity;
use super::next::{self, Arrival, Found, Load};
use super::playlist::{MediaPlaylist, PlaylistError, Resource};
use super::session::{Ask, Calendar, GaveUp, Keep, Kind, Session};
use super::time::{Micros, duration};
use super::{Check, Hints};

/// hls.js: `maxBufferLength`.
const MAX_AHEAD: Duration = Duration::from_secs(30);
/// Playlists that cannot be read are asked for again as often, after a second each.
const UNREADABLE: usize = 2;

/// Which of a viewer's tracks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) of: usize,
}

/// A track.
pub(super) struct Track<'a> {
    session: &'a Session<'a>,
    place: Place,
    path: String,
    news: watch::Sender<Option<Arc<MediaPlaylist>>>,
}

/// Where the loading loop stands.
#[derive(Default)]
struct Feed {
    map: Option<Resource>,
    hinted: Option<Resource>,
    continuity: Continuity,
    /// Added to the playlist's times, where tracks have no common time line.
    shift: Micros,
}

impl<'a> Track<'a> {
    pub(super) fn new(session: &'a Session<'a>, place: Place, path: String) -> Self {
        Self { session, place, path, news: watch::Sender::new(None) }
    }

    /// Plays until the stream ends.
    pub(super) async fn run(&self) -> Result<(), GaveUp> {
        tokio::try_join!(self.follow(), self.feed()).map(|_| ())
    }

    async fn follow(&self) -> Result<(), GaveUp> {
        let latency = self.session.plan.latency;
        let mut before: Option<Arc<MediaPlaylist>> = None;
        let mut query = String::new();
        loop {
            let asked = Instant::now();
            let (playlist, age) = self.playlist(&query, before.as_deref()).await?;
            let known = before.as_ref().and_then(|before| before.newest());
            let advanced = before.is_none() || playlist.newest() > known;
            if advanced && query.contains("_HLS_msn=") {
                self.session.advanced(&playlist);
            }
            self.judge(&playlist, before.as_deref(), &query);
            let playlist = Arc::new(playlist);
            self.news.send_replace(Some(playlist.clone()));
            if playlist.ended {
                return Ok(());
            }
            let arrival = Arrival { advanced, age, latency };
            let reload = next::reload(&playlist, arrival);
            query = reload.query;
            before = Some(playlist);
            tokio::time::sleep_until((asked + duration(reload.after)).into()).await;
        }
    }

    /// Notes what no server may do: go back, or answer a blocking reload before its time.
    fn judge(&self, playlist: &MediaPlaylist, before: Option<&MediaPlaylist>, query: &str) {
        let first = |playlist: &MediaPlaylist| playlist.segments.first().map(|segment| segment.msn);
        if before.is_some_and(|before| playlist.newest() < before.newest() || first(playlist) < first(before)) {
            let fault = format!("from {:?} to {:?}", before.and_then(MediaPlaylist::newest), playlist.newest());
            self.session.fault("went-back", &self.path, fault);
        }
        let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<u64>().ok());
        if let (Some(msn), false) = (asked("_HLS_msn="), playlist.ended) {
            let part = asked("_HLS_part=").and_then(|part| usize::try_from(part).ok());
            let has = match part {
                Some(part) => playlist.newest() > Some((msn, part)),
                None => playlist.segments.iter().any(|each| each.msn >= msn && each.resource.is_some()),
            };
            if !has {
                self.session.fault("early", &self.path, format!("{query}: {:?}", playlist.newest()));
            }
        }
    }

    async fn playlist(&self, query: &str, before: Option<&MediaPlaylist>) -> Result<(MediaPlaylist, Micros), GaveUp> {
        let mut query = query.to_owned();
        for left in (0..=UNREADABLE).rev() {
            let mark = match (query.is_empty(), self.path.contains('?')) {
                (true, _) => "",
                (false, true) => "&",
                (false, false) => "?",
            };
            let path = &format!("{}{mark}{query}", self.path);
            let loaded = self
                .session
                .fetch(Ask { path, range: None, kind: Kind::Playlist, keep: Keep::Whole, field: None })
                .await?;
            let text = String::from_utf8_lossy(&loaded.body);
            match MediaPlaylist::read(&text, before) {
                Ok(playlist) => return Ok((playlist, loaded.age)),
                // hls.js: the same again, in full.
                Err(error @ PlaylistError::Skipped) => {
                    self.session.fault("delta", path, error);
                    query = query.replace("_HLS_skip=YES", "");
                    query.truncate(query.trim_end_matches('&').len());
                }
                Err(error) => {
                    self.session.fault("playlist", path, error);
                    if left > 0 {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
        Err(GaveUp)
    }

    /// The newest playlist that has something in it.
    async fn first(&self, news: &mut watch::Receiver<Option<Arc<MediaPlaylist>>>) -> Arc<MediaPlaylist> {
        let filled = |each: &Option<Arc<MediaPlaylist>>| each.as_ref().is_some_and(|each| !each.segments.is_empty());
        let first = news.wait_for(filled).await;
        first.ok().and_then(|first| first.clone()).expect("the sender lives in self and sends playlists")
    }

    async fn feed(&self) -> Result<(), GaveUp> {
        let latency = self.session.plan.latency;
        let mut news = self.news.subscribe();
        let first = self.first(&mut news).await;
        if self.place.index == 0 {
            self.session.set_start(self.place.of, &first);
        }
        let start = self.session.start().await;
        let mut feed = Feed::default();
        if !first.dated {
            feed.shift = start - self.session.own_start(&first);
        }
        let mut cursor = next::begin(&first, start - feed.shift, latency);
        loop {
            let playlist = news.borrow_and_update().clone().unwrap_or(first.clone());
            match next::load(&playlist, cursor, latency) {
                Found::Load(load) => {
                    self.take(&mut feed, &load, &playlist).await?;
                    cursor = load.then;
                }
                Found::NotYet => match self.hint(&feed, &playlist) {
                    Some(hint) => {
                        self.media(&mut feed, &hint).await?;
                        feed.hinted = Some(hint);
                    }
                    // The sender lives in self: it cannot end before a newer playlist comes.
                    None => drop(news.changed().await),
                },
                Found::Gone => {
                    feed.continuity.forget();
                    cursor = match self.covered(&playlist) {
                        // As hls.js does: it goes on by time where the playlist has what follows its buffer.
                        Some(end) => next::begin(&playlist, end - feed.shift, latency),
                        None => {
                            let target = self.session.own_start(&playlist);
                            self.session.jump(self.place.index, target + feed.shift);
                            next::begin(&playlist, target, latency)
                        }
                    };
                }
                Found::End => {
                    self.session.end(self.place.index);
                    return Ok(());
                }
            }
        }
    }

    /// The end of what is buffered, if a playlist with dates goes on there.
    fn covered(&self, playlist: &MediaPlaylist) -> Option<Micros> {
        let first = playlist.segments.first().filter(|_| playlist.dated && !playlist.ended)?;
        // Another origin may be a little behind the one before.
        let latest = playlist.edge() + playlist.target_duration;
        self.session.buffered(self.place.index).filter(|end| (first.start..=latest).contains(end))
    }

    /// Loads a piece, its initialization section first where it is another than before.
    async fn take(&self, feed: &mut Feed, load: &Load, playlist: &MediaPlaylist) -> Result<(), GaveUp> {
        if let Some(long) = self.session.ahead(self.place.index).checked_sub(MAX_AHEAD) {
            tokio::time::sleep(long).await;
        }
        if let Some(map) = load.map.as_ref().filter(|map| feed.map.as_ref() != Some(map)) {
            let what = (Kind::Init, Keep::Nothing);
            self.session.resource(&self.path, map, what).await?;
            feed.map = Some(map.clone());
            feed.continuity.forget();
        }
        if feed.hinted.take().as_ref() != Some(&load.resource) {
            self.media(feed, &load.resource).await?;
        }
        let calendar = match playlist.dated && !playlist.ended {
            true => Calendar::Live,
            false => Calendar::None,
        };
        let span = (load.span.0 + feed.shift, load.span.1 + feed.shift);
        self.session.append(self.place.index, span, calendar);
        Ok(())
    }

    async fn media(&self, feed: &mut Feed, resource: &Resource) -> Result<(), GaveUp> {
        let keep = match self.session.plan.check {
            Check::Timestamps => Keep::Whole,
            Check::Lengths => Keep::Nothing,
        };
        let what = (Kind::Media, keep);
        let loaded = self.session.resource(&self.path, resource, what).await?;
        if keep == Keep::Whole
            && let Err(error) = feed.continuity.check(&loaded.body)
        {
            self.session.fault("media", &resource.uri, error);
        }
        Ok(())
    }

    /// The part that is announced, if this viewer asks for such and has not yet. Its bytes are appended when the playlist
    /// lists it, because its length in time is not known before. A range of a growing segment is not asked for: its answer
    /// does not end with the part.
    fn hint(&self, feed: &Feed, playlist: &MediaPlaylist) -> Option<Resource> {
        let hint = playlist.hint.as_ref().filter(|hint| hint.range.is_none())?;
        let known = feed.hinted.as_ref() == Some(hint);
        (self.session.plan.hints == Hints::Request && !known).then(|| hint.clone())
    }
}
