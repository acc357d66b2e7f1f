#!/usr/bin/env bash
# Runs the tests of a build directory and ends with the closing line of every runner.
#
#   scripts/run-tests.sh build/dev                    ctest, then each pytest folder under tests/
#   ONLY=ctest scripts/run-tests.sh build/asan        one runner: ctest or pytest
#   PYTEST_ARGS="-k replay -x" scripts/run-tests.sh … words for pytest
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/run-tests.sh BUILD}
only=${ONLY:-}
jobs=${JOBS:-$(nproc)}
# xargs reads quotes as a shell does, and nothing else of its language.
mapfile -t pytest_args < <(xargs -r -n1 printf '%s\n' <<< "${PYTEST_ARGS:-}")

# Tests find what they test here, whatever preset was built.
export GANTRY_BUILD="$PWD/$build"
export GANTRY_BIN="$GANTRY_BUILD/src/gantry"
export PYTHONDONTWRITEBYTECODE=1

closing=()
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run NAME PATTERN COMMAND…: shows the output, keeps the last line that matches, notes failure.
run() {
  local name=$1 pattern=$2 status=0
  shift 2
  "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
  closing+=("$(printf '%-14s %s' "$name" "$(grep -E "$pattern" "$log" | tail -n 1 || true)")")
  if ((status != 0)); then
    failed=1
    closing+=("$(printf '%-14s exit %d' "$name" "$status")")
    mapfile -t -O "${#closing[@]}" closing < <(scripts/what-failed.sh "$log" | cut -c1-200)
  fi
}

# End to end first, since it says most; then whatever other folder of tests/ has Python tests.
pytest_folders() {
  local folder
  for folder in tests/e2e tests/golden tests/cli tests/*; do
    [[ -d $folder ]] && compgen -G "$folder/test_*.py" > /dev/null && echo "$folder"
  done | awk '!seen[$0]++'
}

if [[ -z $only || $only == ctest ]]; then
  run ctest 'tests passed|tests failed|No tests' \
    ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "$jobs"
fi
if [[ -z $only || $only == pytest ]]; then
  for folder in $(pytest_folders); do
    run "$folder" '(passed|failed|error|no tests ran).* in [0-9.]+s' \
      /usr/bin/python3 -m pytest -q -p no:cacheprovider "$folder" "${pytest_args[@]}"
  done
fi

echo
echo "tests of $build:"
printf '  %s\n' "${closing[@]}"
exit "$failed"
