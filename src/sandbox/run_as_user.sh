#!/bin/sh
# run_as_user.sh PROGRAM [ARGUMENT...]: runs a program as uid 1500 with a directory of its own; skipped (77) unless
# started by root, who is the only one that can become somebody else.
set -eu
[ "$(id -u)" = 0 ] || exit 77
home=$(mktemp -d /tmp/gantry-user-XXXXXX)
trap 'rm -rf "$home"' EXIT
# The build directory may be below one that only root enters.
cp "$1" "$home/program"
shift
chown -R 1500:1500 "$home"
cd "$home"
env -i HOME="$home" TMPDIR="$home" PATH=/usr/bin:/bin \
  setpriv --reuid 1500 --regid 1500 --clear-groups "$home/program" "$@"
