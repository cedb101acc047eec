//! HLS for an edge: what a playlist says, how it advances, who waits for what, and what a viewer is sent
//! (RFC 8216bis, draft 22).

pub mod calendar;
pub mod dates;
pub mod delta;
pub mod directives;
pub mod ladder;
pub mod media;
pub mod multivariant;
pub mod parse;
pub mod playlist;
pub mod position;
pub mod query;
pub mod reload;
pub mod render;
pub mod reports;
pub mod rewrite;
pub mod rhythm;
pub mod variables;
pub mod window;

pub use directives::{Directives, Skipping};
pub use playlist::MediaPlaylist;
pub use position::Position;
pub use window::Published;
