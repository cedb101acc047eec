//! URI signing: claims, containers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tokens::token_uri_signing(data));
