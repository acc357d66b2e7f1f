#!/usr/bin/env bash
# Runs clang-tidy on the sources that changed since the merge base with the main branch.
#
#   scripts/clang-tidy-changed.sh build/dev          changed files; all of src where no base is known
#   scripts/clang-tidy-changed.sh build/dev --all    all of src
#
# A changed header stands for the sources of its folder. The run is bounded by TIDY_SECONDS (600) and
# TIDY_FILES (60); what did not fit is listed, never dropped in silence. Of all of src come first the files that the
# latest commits changed: in a clean clone those are what a change is made of. TIDY_FILES=400 looks at everything.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: scripts/clang-tidy-changed.sh BUILD [--all]}
seconds=${TIDY_SECONDS:-600}
most=${TIDY_FILES:-60}
jobs=${JOBS:-$(nproc)}
[[ -f $build/compile_commands.json ]] || { echo "clang-tidy: $build is not configured (run: make dev)" >&2; exit 1; }

merge_base() {
  local branch
  for branch in origin/HEAD origin/main main; do
    git merge-base HEAD "$branch" 2>/dev/null && return
  done
}

# Sources that the compiler sees, so that an unlisted file is not linted with guessed flags.
compiled() { grep -o '"file": "[^"]*"' "$build/compile_commands.json" | cut -d'"' -f4 | sed "s|^$PWD/||" | grep -v '^/' | sort -u; }

changed() {
  local base=$1 file
  { git diff --name-only --diff-filter=d "$base"; git ls-files -o --exclude-standard; } |
    while read -r file; do
      case "$file" in
        *.cc | *.c) echo "$file" ;;
        *.h) compiled | grep "^$(dirname "$file")/" || true ;;
      esac
    done | sort -u
}

newest_first() {
  { git log -n 200 --name-only --format= 2>/dev/null || true; } |
    awk '
      NR == FNR { compiled[++all] = $0; known[$0] = 1; next }
      known[$0] && !taken[$0] { taken[$0] = 1; print }
      END { for (i = 1; i <= all; ++i) if (!taken[compiled[i]]) print compiled[i] }
    ' <(compiled | grep '^src/') -
}

base=$(merge_base || true)
if [[ "${2:-}" == --all || -z "$base" || ("$base" == "$(git rev-parse HEAD)" && -z "$(changed "$base")") ]]; then
  what="all of src"
  mapfile -t files < <(newest_first)
else
  what="changed since ${base:0:10}"
  mapfile -t files < <(comm -12 <(changed "$base") <(compiled))
fi

left=("${files[@]:most}")
files=("${files[@]:0:most}")
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT

lint_one() {
  local state=$1 deadline=$2 build=$3 file=$4 rest status=0
  rest=$((deadline - $(date +%s)))
  if ((rest > 0)); then
    timeout "$rest" clang-tidy-22 --quiet -p "$build" "$file" > "$state/out.$$" 2>&1 || status=$?
  fi
  # 124 is timeout(1): such a file is late, not bad.
  if ((rest <= 0 || status == 124)); then
    echo "$file" >> "$state/late"
  elif ((status != 0)); then
    grep -v 'warnings\? generated' "$state/out.$$" || true
    echo "$file" >> "$state/bad"
  fi
}
export -f lint_one
deadline=$(($(date +%s) + seconds))
if ((${#files[@]})); then
  printf '%s\n' "${files[@]}" | xargs -P "$jobs" -I{} bash -c 'lint_one "$@"' _ "$state" "$deadline" "$build" {}
fi

count() { if [[ -f "$1" ]]; then wc -l < "$1"; else echo 0; fi; }
[[ -f $state/late ]] && mapfile -t -O "${#left[@]}" left < "$state/late"
if ((${#left[@]})); then
  echo "clang-tidy: not looked at, beyond $most files or ${seconds}s: ${left[*]}"
fi
bad=$(count "$state/bad")
echo "clang-tidy: ${#files[@]} files ($what), $bad with findings, ${#left[@]} not looked at"
((bad == 0))
