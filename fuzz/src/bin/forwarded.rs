//! What proxies say of a viewer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::headers::forwarded(data));
