//! Claims of a signed payload.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::token_claims(data));
