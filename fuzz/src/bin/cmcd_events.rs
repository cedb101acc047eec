//! Batches of CMCD events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cmcd_events(data));
