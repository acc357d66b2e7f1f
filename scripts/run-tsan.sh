#!/usr/bin/env bash
# Builds and runs the tests of the folders with concurrency under the thread sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

# Folders that share state between threads; the rest is values and pure functions.
folders=(async telemetry net journal store requests proxy agents sandbox server)

targets=()
for folder in "${folders[@]}"; do
  if compgen -G "src/$folder/*_test.cc" > /dev/null || compgen -G "src/$folder/**/*_test.cc" > /dev/null; then
    targets+=("${folder}_test")
  else
    echo "tsan: $folder has no test program"
  fi
done
scripts/build.sh tsan "${targets[@]}" $(compgen -G 'shim/*.c*' > /dev/null && echo gantry-shim)

names=$(IFS='|'; echo "${targets[*]%_test}")
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
ctest --test-dir build/tsan --output-on-failure --no-tests=error -R "^($names)\$"
