//! Weir, an edge node for live video: it pulls playlists, parts and segments from an origin once, keeps them in
//! memory and serves them to every viewer over HTTP/1.1, HTTP/2 and HTTP/3.
//!
//! The tree is the journey of a request: `transport` turns bytes of any protocol into one `Head`, `request` decides
//! and answers, `cache` keeps what was fetched, `origin` fetches it. `rules` holds every decision as a pure function.

pub mod access;
pub mod admin;
pub mod cache;
pub mod clock;
pub mod config;
pub mod demo;
pub mod disk;
pub mod journal;
pub mod live;
pub mod node;
pub mod ops;
pub mod origin;
pub mod outbound;
pub mod region;
pub mod request;
pub mod rules;
pub mod sessions;
pub mod stories;
pub mod tasks;
pub mod telemetry;
pub mod transport;
pub mod uplink;
