//! The heads among the frames of HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::transport::http2_watch(data));
