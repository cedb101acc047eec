//! URIs of playlists, and what multivariant playlists name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::hls::rewrite(data));
