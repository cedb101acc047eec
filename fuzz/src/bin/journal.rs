//! The journal of what was revoked, damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::journal::journal(data));
