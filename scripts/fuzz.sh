#!/usr/bin/env bash
# Feeds noise to every decoder, guided by coverage, for so many seconds each.
# usage: fuzz.sh TARGET_DIR [SECONDS]; what it learns is kept in TARGET_DIR/fuzz/corpus.
set -euo pipefail
target=$1/fuzz seconds=${2:-30} triple=x86_64-unknown-linux-gnu
cd "$(dirname "$0")/../fuzz"
# The instrumentation that cargo-fuzz asks a nightly toolchain for, said to the stable one.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --target "$triple" --target-dir "$target"
for decoder in json query xml cbor uri; do
    mkdir -p "$target/corpus/$decoder"
    echo "fuzzing $decoder for $seconds s"
    "$target/$triple/debug/$decoder" -max_total_time="$seconds" -max_len=4096 -verbosity=0 \
        -artifact_prefix="$target/$decoder-" "$target/corpus/$decoder"
done
