#!/bin/sh
# Fuzzes every target for so many seconds each: ./run.sh SECONDS [TARGET ...]
# A stable toolchain is enough: rustc's own coverage pass and libFuzzer from crates.io. Nothing is installed. Inputs
# that reach something new are kept under target/found/, those that break a law under artifacts/; copy the second into
# corpus/TARGET/ together with the repair, and tests/corpus.rs holds it from then on.
set -eu
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET ...]}
shift
[ $# -gt 0 ] || set -- $(ls src/bin | sed 's/\.rs$//')

# A named target keeps the instrumentation out of build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
for kind in inline-8bit-counters pc-table trace-compares; do
    coverage="$coverage -Cllvm-args=-sanitizer-coverage-$kind"
done
RUSTFLAGS="$coverage -Ccodegen-units=1" cargo build --release --target "$host" --bins

# Journals are damaged a few hundred times a second: in memory, where there is such a folder.
[ -n "${TMPDIR:-}" ] || [ ! -d /dev/shm ] || export TMPDIR=/dev/shm

failed=""
for target; do
    mkdir -p "target/found/$target" "artifacts/$target"
    echo "== $target"
    "target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" "target/found/$target" "corpus/$target" \
        2>"target/found/$target.log" || failed="$failed $target"
    grep -E '^(#[0-9]+.*DONE|stat::number_of_executed_units|SUMMARY|thread .* panicked)' "target/found/$target.log" || true
done
[ -z "$failed" ] || { echo "broken:$failed (see artifacts/ and target/found/*.log)" >&2; exit 1; }
