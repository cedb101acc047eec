//! Decisions: pure, synchronous functions of (state, input, now). No socket, lock, task or clock is known here.

pub mod admission;
pub mod caching;
pub mod cors;
pub mod delivery;
pub mod fields;
pub mod flood;
pub mod forwarded;
pub mod hls;
pub mod http1;
pub mod http2;
pub mod priority;
pub mod proxy_protocol;
pub mod qoe;
pub mod resets;
pub mod session;
pub mod timeline;
pub mod token;
pub mod upstream;
pub mod uri;
