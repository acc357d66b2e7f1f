#!/usr/bin/env bash
# Configures a preset where that is needed and builds targets of it: build.sh PRESET TARGET…
set -euo pipefail
cd "$(dirname "$0")/.."

(($# >= 2)) || { echo "usage: scripts/build.sh PRESET TARGET…" >&2; exit 2; }
preset=$1
shift
jobs=${JOBS:-$(nproc)}

# Configuring talks a lot and says nothing new, unless it fails.
if ! output=$(cmake --preset "$preset" 2>&1); then
  printf '%s\n' "$output" >&2
  exit 1
fi
# A package that was installed since may have brought headers that are other ones and yet older than what was made of
# them: their dates are those of the package.
if [[ -f /var/lib/dpkg/status ]]; then
  find "build/$preset/CMakeFiles" -name '*.pch' ! -newer /var/lib/dpkg/status -delete
fi
started=$SECONDS
cmake --build "build/$preset" --parallel "$jobs" --target "$@"
printf 'build: %s %s in %ds with %s jobs\n' "$preset" "$*" $((SECONDS - started)) "$jobs"
