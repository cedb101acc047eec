//! HTTP/3 for servers (RFC 9114, 9204, 9218), over the streams of one QUIC connection and without any I/O of its own.
//!
//! `connection` is what the driver calls; `request_stream` is one request; `frame`, `qpack` and `message` judge what
//! comes; `response` and `upload` carry bodies; `abuse` says when it is enough.

mod abuse;
pub mod code;
mod connection;
mod control;
pub mod counters;
pub mod frame;
pub mod message;
mod priority;
pub mod qpack;
mod request_stream;
mod response;
#[cfg(test)]
mod tests;
mod upload;
mod wake;

pub use connection::{Connection, Maker};
