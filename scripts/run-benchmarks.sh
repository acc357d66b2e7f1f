#!/usr/bin/env bash
# Runs the benchmarks of a release build and ends with where their figures are (bench/README.md).
#
#   scripts/run-benchmarks.sh build/release
#   ONLY=proxy_bench BENCH_ARGS="--only proxy" scripts/run-benchmarks.sh build/release
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/run-benchmarks.sh BUILD}
only=${ONLY:-}
mapfile -t bench_args < <(xargs -r -n1 printf '%s\n' <<< "${BENCH_ARGS:-}")

wanted() { [[ -z $only || $only == "$1" ]]; }

if wanted proxy_bench; then bench/proxy_bench/proxy_bench.py "$build" "${bench_args[@]}"; fi
if wanted net_bench; then bench/net_bench/run "$build"; fi
if wanted journal_bench; then "$build/bench/journal_bench/journal_bench"; fi
