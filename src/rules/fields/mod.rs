//! Grammars of field values that every rule may use. Each reads bytes as they came, never panics on them, and says
//! `None` or an error where the grammar is broken.

pub mod cache_status;
pub mod cookies;
pub mod date;
pub mod encoding;
pub mod hop;
pub mod list;
pub mod loops;
pub mod set_cookie;
pub mod structured;
