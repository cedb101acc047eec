//! Every file of `fuzz/corpus/` keeps the laws of its fuzz target: what was once found stays repaired, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use targets::TARGETS;

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
