//! How what a node keeps is brought to whoever wants it: what makes a batch, what an answer means, when a batch is tried
//! again, and what has become of every record. Shells send; what they do next is decided here.

pub mod backoff;
pub mod batch;
pub mod progress;
pub mod verdict;
