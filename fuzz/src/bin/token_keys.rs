//! Sets of keys, files of keys, and secrets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_keys(data));
