//! CMSD of others, and this hop's member behind it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::reports::cmsd(data));
