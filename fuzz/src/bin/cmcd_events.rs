//! Batches of CMCD events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::reports::cmcd_events(data));
