//! Control streams of HTTP/3.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::transport::h3_control(data));
