//! Lines of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::stories::entry(data));
