//! The claims of a Common Access Token.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::token_cat(data));
