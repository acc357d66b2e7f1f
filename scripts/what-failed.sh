#!/usr/bin/env bash
# Says again what failed, from the output of a test runner: the names, the first failed expectation and the first report
# of a sanitizer. The end of a long log is what is kept of it.
#
#   scripts/what-failed.sh LOG
set -euo pipefail

log=${1:?usage: scripts/what-failed.sh LOG}
names=40
lines=100

# GoogleTest says a name twice, and pytest and ctest each in their own way.
failing=$(grep -aoE '\[  FAILED  \] [^ ,]+[./][^ ,]+|^FAILED [^ ]+|^ERROR [^ ]+|^[[:space:]]+[0-9]+ - [^ ]+ \(.*\)$' "$log" |
  sed -E 's/^\[  FAILED  \]|^[[:space:]]+//' | awk '!seen[$0]++' | head -n "$names" || true)
# A program that ended in the middle of a test names none: that test began and no line says how it went.
running=$(grep -aE '^\[ RUN      \]|^\[(       OK |  FAILED  |  SKIPPED )\] [^ ]+ \(' "$log" |
  awk '/RUN/ { if (name != "") print name; name = $NF; next } { name = "" } END { if (name != "") print name }' |
  head -n "$names" || true)
expectation=$(awk '/: Failure$/ { open = 1 } open && (/^\[/ || n >= 10) { exit } open { print; ++n }' "$log" || true)
report=$(awk -v most="$lines" '
  !open && /(WARNING|ERROR): [A-Za-z]*Sanitizer|FATAL: [A-Za-z]*Sanitizer|: runtime error: / { open = 1 }
  open { print; ++n }
  open && (/^(.*: )?SUMMARY: / || n >= most) { exit }' "$log" || true)

[[ -n $failing ]] && printf 'failed:\n%s\n' "$failing"
[[ -n $running ]] && printf 'ended in the middle of:\n%s\n' "$running"
[[ -n $expectation ]] && printf 'first failed expectation:\n%s\n' "$expectation"
[[ -n $report ]] && printf 'first report of a sanitizer:\n%s\n' "$report"
exit 0
