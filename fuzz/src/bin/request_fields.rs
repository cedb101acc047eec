//! Changes to the fields of a request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request_fields(data));
