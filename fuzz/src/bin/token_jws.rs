//! A token in its compact form.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_jws(data));
