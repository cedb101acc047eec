//! Changes to the fields of a request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::headers::request_fields(data));
