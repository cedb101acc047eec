//! Cache-Status behind that of others.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::headers::cache_status(data));
