#!/usr/bin/env bash
# Measures what docs/internals/build.md promises, without ccache, in a scratch directory:
# a clean release build, and one changed source file to a linked `gantry`. Prints the table of that page.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${JOBS:-$(nproc)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CCACHE_DISABLE=1

seconds_of() {
  local began
  began=$(date +%s%N)
  "$@" > "$scratch/log" 2>&1 || { tail -n 40 "$scratch/log" >&2; exit 1; }
  awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.1f", ns / 1e9 }'
}
row() { printf '| %s | %s s | %s |\n' "$1" "$2" "$3"; }

# A copy of one source changes, so that the checkout stays as it is; the path is part of every object.
git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$scratch" 2>/dev/null || true
cd "$scratch"
cmake --preset release > "$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
build() { cmake --build build/release --parallel "$jobs" --target "$@"; }

echo "| what | time with $jobs jobs | goal |"
echo "|---|---|---|"
row 'clean build of `gantry` and `gantry-shim`' "$(seconds_of build gantry gantry-shim)" '8 min'
for file in src/base/text.cc src/proxy/proxy.cc src/server/server.cc; do
  [[ -f $file ]] || continue
  echo "// one line more" >> "$file"
  row "one changed file (\`$file\`) to a linked \`gantry\`" "$(seconds_of build gantry)" '30 s'
done
row 'all else: tests and benchmarks' "$(seconds_of build all)" ''
