//! CMCD of a request, in the query and in fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::reports::cmcd(data));
