#!/usr/bin/env bash
# Checks what `make install` installed: verify-install.sh DESTDIR PREFIX.
set -euo pipefail
cd "$(dirname "$0")/.."

(($# == 2)) || { echo "usage: scripts/verify-install.sh DESTDIR PREFIX" >&2; exit 2; }
destination=$1
prefix=$2
manifest=build/release/install_manifest.txt
[[ -f $manifest ]] || { echo "nothing is installed: $manifest is missing (make install)" >&2; exit 1; }

missing=0
files=0
while IFS= read -r file || [[ -n $file ]]; do
  ((++files))
  [[ -e $destination$file ]] || { echo "missing: $destination$file" >&2; missing=1; }
done <"$manifest"
((missing == 0)) || { echo "install again: make install" >&2; exit 1; }

program=$destination$prefix/bin/gantry
# An own data directory: what runs on this machine is not asked.
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
GANTRY_DATA=$data "$program" version
GANTRY_DATA=$data "$program" doctor >"$data/doctor" || { cat "$data/doctor"; exit 1; }
printf 'verify: %d files of %s are there, and gantry doctor finds what it needs\n' "$files" "$destination$prefix"
