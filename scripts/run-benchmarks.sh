#!/usr/bin/env bash
# Runs every benchmark against a build: run-benchmarks.sh BUILD [NAME…]
#
# A benchmark is a folder of bench/. What starts it is its script `run`, else `NAME.py`, else its program.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/run-benchmarks.sh BUILD [NAME…]}
shift
names=("$@")
if ((${#names[@]} == 0)); then
  for folder in bench/*/; do names+=("$(basename "$folder")"); done
fi

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1 /proc/loadavg)"
failed=()
for name in "${names[@]}"; do
  printf '\n===== %s\n' "$name"
  if [[ -x bench/$name/run ]]; then
    command=("bench/$name/run" "$build")
  elif [[ -f bench/$name/$name.py ]]; then
    command=(/usr/bin/python3 "bench/$name/$name.py" "$build")
  else
    command=("$build/bench/$name/$name")
  fi
  "${command[@]}" || failed+=("$name")
done
if ((${#failed[@]})); then
  echo "benchmarks that failed: ${failed[*]}" >&2
  exit 1
fi
