//! What sessions are looked for by.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::stories::search(data));
