//! The claims of a Common Access Token.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_cat(data));
