//! What the node tells its operators: metrics, logs, the access log.

pub mod access_log;
pub mod beacons;
pub mod counters;
pub mod folders;
pub mod log;
pub mod metrics;
pub mod streams;
pub mod traffic;
