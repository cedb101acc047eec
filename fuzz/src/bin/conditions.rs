//! Preconditions, validators and Vary.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::caching::conditions(data));
