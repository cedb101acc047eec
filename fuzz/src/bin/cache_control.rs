//! Cache-Control and the lifetime that follows from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::caching::cache_control(data));
