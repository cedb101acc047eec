//! Claims of a signed payload.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_claims(data));
