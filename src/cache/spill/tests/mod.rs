//! Stories of the disk, over a twin that does all at once and fails as a story wants it.

mod crashes;
mod faults;
mod story;
