//! The log of stories, damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::journal::log(data));
