//! What the origin counted while a crowd was there: how often each part and playlist version was fetched at most.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ClientError, Trust, Way};

/// Why the origin's counts could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The request failed.
    #[error("cannot ask the origin: {0}")]
    Client(#[from] ClientError),
    /// The answer is not what an origin's control port says.
    #[error("not the counts of an origin: {0}")]
    Answer(#[from] serde_json::Error),
}

/// One request as the origin logged it.
#[derive(Clone, Debug, Deserialize)]
pub struct Logged {
    /// Number of the request.
    pub seq: u64,
    /// Unix milliseconds of its arrival.
    pub time_ms: u64,
    /// Path.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
}

/// The counts of an origin at one moment.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Snapshot {
    /// Requests per path and query.
    pub requests: HashMap<String, u64>,
    /// The newest requests.
    pub log: Vec<Logged>,
}

impl Snapshot {
    /// Asks the control port at `url`, such as `http://127.0.0.1:8091/__stats`.
    ///
    /// # Errors
    /// [`StatsError`].
    pub async fn take(url: &str) -> Result<Self, StatsError> {
        let client = Client::connect(url, Way::H1, &Trust::AcceptAny).await?;
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = rest.find('/').map_or("/__stats", |at| &rest[at..]);
        let mut answer = client.get(path, &[]).await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

/// The URL of a kind that was fetched most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Most {
    /// Different URLs.
    pub urls: u64,
    /// Requests for all of them.
    pub requests: u64,
    /// Requests for the one fetched most.
    pub max: u64,
    /// Which one that is.
    pub url: String,
}

impl Most {
    fn count(&mut self, url: &str, count: u64) {
        self.urls += 1;
        self.requests += count;
        if count > self.max {
            self.max = count;
            url.clone_into(&mut self.url);
        }
    }
}

/// What the origin was asked during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OriginCounts {
    /// Segments, parts and initialization sections.
    pub media: Most,
    /// Playlist versions: those asked for by `_HLS_msn`.
    pub versions: Most,
    /// Other playlists, which may be fetched anew as they age.
    pub playlists: Most,
}

impl OriginCounts {
    /// The difference of two moments.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let mut counts = Self::default();
        for (url, total) in &after.requests {
            let count = total.saturating_sub(before.requests.get(url).copied().unwrap_or(0));
            if count == 0 {
                continue;
            }
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            match (path.ends_with(".m3u8"), query.contains("_HLS_msn=")) {
                (true, true) => counts.versions.count(url, count),
                (true, false) => counts.playlists.count(url, count),
                (false, _) => counts.media.count(url, count),
            }
        }
        counts
    }

    /// What was fetched more than once and should not have been.
    pub fn findings(&self) -> Vec<String> {
        [("media", &self.media), ("playlist version", &self.versions)]
            .into_iter()
            .filter(|(_, most)| most.max > 1)
            .map(|(what, most)| format!("{what} fetched {} times: {}", most.max, most.url))
            .collect()
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, most) in
            [("media", &self.media), ("playlist versions", &self.versions), ("other playlists", &self.playlists)]
        {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "origin            {name}: {} requests for {} URLs, max fetches per URL {} {}",
                most.requests, most.urls, most.max, most.url
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_run_and_told_by_kind() {
        let snapshot = |text: &str| serde_json::from_str::<Snapshot>(text).unwrap();
        let before = snapshot(r#"{"requests":{"/v/part-1.0.m4s":1,"/v/media.m3u8":3},"log":[]}"#);
        let after = snapshot(
            r#"{"total":1,"requests":{"/v/part-1.0.m4s":1,"/v/part-1.1.m4s":1,"/v/media.m3u8":5,
            "/v/media.m3u8?_HLS_msn=2&_HLS_part=1":2},"log":[{"time_ms":5,"path":"/x","query":"","seq":1}]}"#,
        );
        let counts = OriginCounts::between(&before, &after);
        assert_eq!((counts.media.urls, counts.media.max, counts.playlists.max), (1, 1, 2));
        assert_eq!(counts.findings(), ["playlist version fetched 2 times: /v/media.m3u8?_HLS_msn=2&_HLS_part=1"]);
    }
}
