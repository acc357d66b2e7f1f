#!/usr/bin/env bash
# Builds and runs the tests of the folders with concurrency under the thread sanitizer.
#
#   scripts/run-tsan.sh               all of them
#   scripts/run-tsan.sh async net     only these
set -euo pipefail
cd "$(dirname "$0")/.."

# Folders that share state between threads.
folders=(async telemetry net store journal vault sandbox requests proxy webhooks agents server)
if (($#)); then folders=("$@"); fi

targets=()
for folder in "${folders[@]}"; do
  if [[ -n "$(find "src/$folder" -name '*_test.cc' 2>/dev/null)" ]]; then
    targets+=("${folder}_test")
  else
    echo "tsan: $folder has no test program"
  fi
done
# The tests of the sandbox start a real one.
scripts/build.sh tsan "${targets[@]}" gantry-shim

names=$(IFS='|'; echo "${targets[*]%_test}")
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
ctest --test-dir build/tsan --output-on-failure --no-tests=error -R "^($names)\$" 2>&1 | tee "$log" || status=$?
if ((status != 0)); then scripts/what-failed.sh "$log"; fi
exit "$status"
