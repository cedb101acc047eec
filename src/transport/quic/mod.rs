//! QUIC for one worker: a driver loop on quinn-proto and quinn-udp, behind a narrow trait towards `h3`.

pub mod layer;
pub mod streams;
