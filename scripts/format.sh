#!/usr/bin/env bash
# Formats C and C++ (--fix), or fails with the list of files that are not formatted (--check).
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(git ls-files -co --exclude-standard -- '*.cc' '*.h' '*.c' | sort -u)
case "${1:-}" in
  --fix)
    clang-format-22 -i -- "${files[@]}"
    echo "format: ${#files[@]} files formatted"
    ;;
  --check)
    bad=()
    for file in "${files[@]}"; do
      clang-format-22 --dry-run --Werror -- "$file" >/dev/null 2>&1 || bad+=("$file")
    done
    if ((${#bad[@]})); then
      printf '%s: format: is not formatted (run make fmt)\n' "${bad[@]}"
    fi
    echo "format: ${#files[@]} files, ${#bad[@]} to format"
    ((${#bad[@]} == 0))
    ;;
  *)
    echo "usage: scripts/format.sh --fix | --check" >&2
    exit 2
    ;;
esac
