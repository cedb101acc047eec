//! Queries of reloads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::hls::directives(data));
