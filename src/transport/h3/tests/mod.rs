//! The layer under a client in memory (`mock`), and over real sockets under foreign ones.

pub mod mock;
mod service;

mod ending;
mod faults;
mod priorities;
mod serving;
mod sockets;
mod uploads;
