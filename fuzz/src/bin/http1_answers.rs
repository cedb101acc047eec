//! The framing of HTTP/1.x answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::transport::http1_answers(data));
