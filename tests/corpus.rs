//! Every file of `fuzz/corpus/` keeps the laws of its fuzz target: what was once found stays repaired, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets.rs"]
mod targets;

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("beacon", targets::beacon),
    ("cache_control", targets::cache_control),
    ("cache_status", targets::cache_status),
    ("carrier", targets::carrier),
    ("cmcd", targets::cmcd),
    ("cmcd_events", targets::cmcd_events),
    ("cmsd", targets::cmsd),
    ("conditions", targets::conditions),
    ("config", targets::config),
    ("date", targets::date),
    ("delta", targets::delta),
    ("directives", targets::directives),
    ("forwarded", targets::forwarded),
    ("h3_control", targets::h3_control),
    ("h3_request", targets::h3_request),
    ("http1_answers", targets::http1_answers),
    ("http1_guard", targets::http1_guard),
    ("http2_watch", targets::http2_watch),
    ("playlist", targets::playlist),
    ("proxy_protocol", targets::proxy_protocol),
    ("qpack", targets::qpack),
    ("range", targets::range),
    ("request_fields", targets::request_fields),
    ("rewrite", targets::rewrite),
    ("session_seal", targets::session_seal),
    ("structured_field", targets::structured_field),
    ("token_cat", targets::token_cat),
    ("token_cbor", targets::token_cbor),
    ("token_claims", targets::token_claims),
    ("token_hdnts", targets::token_hdnts),
    ("token_json", targets::token_json),
    ("token_jws", targets::token_jws),
    ("token_keys", targets::token_keys),
    ("token_scope", targets::token_scope),
    ("token_uri_signing", targets::token_uri_signing),
    ("uri", targets::uri),
    ("window", targets::window),
];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    let entries = fs::read_dir(folder).expect("a folder of the checkout");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of that folder").path()).collect();
    files.sort();
    files
}

fn names(folder: &str) -> Vec<String> {
    files(folder).iter().map(|file| stem(file)).collect()
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn every_seed_keeps_the_laws_of_its_target() {
    for (name, target) in TARGETS {
        let seeds = files(&format!("corpus/{name}"));
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            println!("{}", seed.display());
            target(&fs::read(seed).unwrap());
        }
    }
}

#[test]
fn every_target_is_run_by_the_fuzzer_and_by_this_test() {
    let here: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("src/bin"), here);
    assert_eq!(names("corpus"), here);
}
