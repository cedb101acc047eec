//! Cache-Control and the lifetime that follows from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cache_control(data));
