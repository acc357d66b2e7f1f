#!/usr/bin/env bash
# Installs the Debian packages that Gantry needs. Idempotent; does nothing when all are there.
#
#   scripts/install-prerequisites.sh                  all groups: build run test bench
#   scripts/install-prerequisites.sh build run        only these groups
#   scripts/install-prerequisites.sh --check          install nothing; exit 1 and list what is missing
#   scripts/install-prerequisites.sh --list           print the packages, one a line
set -euo pipefail

# Compilers, libraries and tools that `make` needs.
build=(
  clang-22 clang-tidy-22 clang-format-22 lld-22 libclang-rt-22-dev llvm-22
  ccache cmake ninja-build make pkg-config git file dpkg-dev
  musl-tools musl-dev
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev
  libssl-dev libseccomp-dev libsodium-dev libzstd-dev libarchive-dev libsqlite3-dev
  libcli11-dev libfmt-dev libspdlog-dev libyaml-cpp-dev
  libre2-dev
  libmimalloc-dev
  libgtest-dev libgmock-dev
)
# What a running server needs besides its shared libraries.
run=(bubblewrap python3)
# What the tests call.
test=(python3-pytest python3-pytest-xdist python3-yaml python3-aiohttp iproute2 procps curl openssl)
# What the benchmarks compare with.
bench=(wrk nginx-light redis-server)

# A `node` of another origin serves as well as Debian's.
[[ -x /usr/bin/node ]] || run+=(nodejs)

say() { printf 'prerequisites: %s\n' "$*"; }
die() { printf 'prerequisites: %s\n' "$@" >&2; exit 1; }

is_installed() {
  # dpkg-query fails for a name that it never heard of.
  [[ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null || true)" == "install ok installed" ]]
}

missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || printf '%s\n' "$package"
  done
}

apt() {
  local sudo=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "not root and no sudo: run this script as root"
    sudo=(sudo)
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -qq "$@"
}

# apt_has NAME: some configured repository offers a candidate of that name.
# Not `… | grep -q`: grep leaves at the first match, and under pipefail the broken pipe of apt-cache would count as "no".
apt_has() { [[ "$(apt-cache policy "$1" 2>/dev/null)" == *'Candidate: '[^'(']* ]]; }

install_all() {
  local package unknown=()
  for package in "$@"; do apt_has "$package" || unknown+=("$package"); done
  if ((${#unknown[@]})); then
    say "apt-get update (not known yet: ${unknown[*]})"
    apt update
    for package in "${unknown[@]}"; do
      apt_has "$package" || no_candidate "$package"
    done
  fi
  say "apt-get install --no-install-recommends $*"
  apt install --no-install-recommends "$@"
}

no_candidate() {
  case "$1" in
    *-22 | libclang-rt-22-dev)
      die "no configured repository offers $1." \
        "Debian 12 carries clang 22 in its security suite. Check that the apt sources name it:" \
        "  grep -rs bookworm-security /etc/apt/sources.list /etc/apt/sources.list.d" \
        "(add the suite 'bookworm-security', component 'main', of your Debian mirror), then run this script again"
      ;;
    *) die "no configured repository offers $1; Gantry is built on Debian 12 (bookworm), see docs/internals/build.md" ;;
  esac
}

main() {
  local mode=install groups=() word group
  for word in "$@"; do
    case "$word" in
      --check) mode=check ;;
      --list) mode=list ;;
      build | run | test | bench) groups+=("$word") ;;
      -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; return ;;
      *) die "unknown word '$word'; groups are build, run, test and bench; options are --check and --list" ;;
    esac
  done
  ((${#groups[@]})) || groups=(build run test bench)

  local packages=()
  for group in "${groups[@]}"; do
    local -n of_group=$group
    packages+=("${of_group[@]}")
  done
  if [[ $mode == list ]]; then
    printf '%s\n' "${packages[@]}" | sort -u
    return
  fi

  command -v dpkg-query >/dev/null || die "this is not a Debian system; install the packages of --list by hand"
  local missing
  mapfile -t missing < <(missing_of "${packages[@]}")
  if ((${#missing[@]} == 0)); then
    say "all ${#packages[@]} packages of ${groups[*]} are installed"
  elif [[ $mode == check ]]; then
    die "missing: ${missing[*]}" "run: scripts/install-prerequisites.sh ${groups[*]}"
  else
    install_all "${missing[@]}"
    say "installed ${#missing[@]} packages"
  fi
}

main "$@"
