//! Client connections with deadlines: TCP, TLS, HTTP/1.1 and HTTP/2. Origins use them, and whatever else a node asks of
//! other machines. Nothing here knows what an origin is: who calls brings names, files and durations.
//!
//! `addresses` resolves names, `dial` makes a `Wire` (a byte stream whose protocol is settled), `guard` judges what comes
//! over HTTP/1.1, `endpoint` is a URL that is asked now and then, `link` speaks HTTP over it, `exchange` is one request and its whole answer, `payload` is what a
//! request carries up, `tls` holds what a peer must prove, `rt` lends time and tasks to hyper.

pub mod addresses;
pub mod dial;
pub mod endpoint;
pub mod exchange;
mod guard;
pub mod interim;
pub mod link;
pub mod payload;
pub mod rt;
pub mod tls;
