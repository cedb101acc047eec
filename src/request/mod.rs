//! The life of one request, the same for every protocol.

pub mod head;
pub mod upload;

pub use head::{Head, Protocol, Scheme, Viewer};
pub use upload::{Upload, UploadError};
