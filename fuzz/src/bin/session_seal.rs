//! A session as a URI carries it, and what is sealed in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::session_seal(data));
