//! Stories that are told from lines of several nodes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::stories::lines(data));
