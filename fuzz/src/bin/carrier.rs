//! What a request presents.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request::carrier(data));
