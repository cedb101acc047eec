//! JSON that others sign.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_json(data));
