//! Files of configuration.

use std::path::Path;

use weir::config::{Config, Machine};

/// A file of configuration gives a configuration or findings, each with a place inside the text.
pub fn config(data: &[u8]) {
    // Files that it names are opened, and some of the system's never end.
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| !text.contains("/dev") && !text.contains("/proc"))
    else {
        return;
    };
    let machine = Machine { name: "edge".to_owned(), cores: 2, memory: 1 << 30 };
    if let Err(problems) = Config::parse_on(&machine, text, Path::new("/nonexistent")) {
        assert!(!problems.problems.is_empty());
    }
}
