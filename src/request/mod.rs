//! The life of one request, the same for every protocol.

pub mod head;
pub mod refusal;
pub mod upload;

pub use head::{Head, Protocol, Scheme, Viewer};
pub use refusal::Refusal;
pub use upload::{Upload, UploadError};
