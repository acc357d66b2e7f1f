#!/usr/bin/env bash
# Fuzzes every target of a build for SECONDS in total: fuzz.sh BUILD SECONDS
#
# A target is a program of tests/fuzz named *_fuzz; its corpus is tests/fuzz/corpus/<name>. New inputs
# go to a scratch folder, so that a run leaves the checkout as it was; a crash is kept in BUILD/crashes.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/fuzz.sh BUILD SECONDS}
seconds=${2:?usage: scripts/fuzz.sh BUILD SECONDS}
mapfile -t targets < <(find "$build/tests/fuzz" -maxdepth 1 -type f -name '*_fuzz' -perm -u+x 2>/dev/null | sort)
((${#targets[@]})) || { echo "fuzz: no target in $build/tests/fuzz (run: make fuzz)" >&2; exit 1; }
mapfile -t sources < <(find tests/fuzz -name '*_fuzz.cc' | sort)
((${#targets[@]} == ${#sources[@]})) || { echo "fuzz: ${#sources[@]} sources but ${#targets[@]} programs" >&2; exit 1; }

each=$(((seconds + ${#targets[@]} - 1) / ${#targets[@]}))
mkdir -p "$build/crashes"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
for target in "${targets[@]}"; do
  name=$(basename "$target")
  corpora=("$scratch/$name")
  mkdir -p "${corpora[0]}"
  for folder in "tests/fuzz/corpus/$name" "tests/fuzz/corpus/${name%_fuzz}"; do
    if [[ -d $folder ]]; then corpora+=("$folder"); fi
  done
  status=0
  "$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$build/crashes/$name-" \
    "${corpora[@]}" > "$scratch/log" 2>&1 || status=$?
  if ((status == 0)); then
    printf 'fuzz: %-28s %s\n' "$name" "$(grep -E '^Done|DONE' "$scratch/log" | tail -n 1 || true)"
  else
    failed=$((failed + 1))
    tail -n 60 "$scratch/log"
    printf 'fuzz: %-28s FAILED, exit %d; the input is in %s/crashes\n' "$name" "$status" "$build"
  fi
done
echo "fuzz: ${#targets[@]} targets, ${each}s each, $failed failed"
((failed == 0))
