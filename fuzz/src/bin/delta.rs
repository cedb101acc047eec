//! Delta updates of playlists.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::hls::delta(data));
