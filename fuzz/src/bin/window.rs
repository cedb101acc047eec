//! Histories of what an origin publishes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::hls::window(data));
