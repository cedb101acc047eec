//! Structured fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::structured_field(data));
