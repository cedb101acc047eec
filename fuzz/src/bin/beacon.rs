//! The generic beacon's records.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::reports::beacon(data));
