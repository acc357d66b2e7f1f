# The front door for people. CMake and Ninja do the work; `make help` lists what there is.
#
#   make demo            from a fresh clone to two isolated agents that survive SIGKILL
#   make test            every test; PYTEST_ARGS="-k kill" passes words to pytest
#   JOBS=1 make …        fewer parallel jobs than the machine has cores

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
# Seconds of fuzzing over all targets together.
FUZZ_SECONDS ?= 60
# Minutes of faults in the chaos run.
CHAOS_MINUTES ?= 3
# Groups of scripts/install-prerequisites.sh that a target needs.
PACKAGES = build run
dev asan tsan fuzz chaos: PACKAGES = build run test
bench: PACKAGES = build run test bench

# Targets of the build that are installed and packaged.
INSTALLED = gantry gantry-shim generated_documents

.DEFAULT_GOAL := help
.PHONY: help demo build dev test chaos bench fmt lint package asan tsan fuzz install verify uninstall clean prerequisites

help: ## print this list
	@echo "Gantry $$(sed -n 's/^project(gantry VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt). Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

demo: build ## install prerequisites, build, and run `gantry demo`
	build/release/src/gantry demo

build: prerequisites ## build the release binaries in build/release
	@scripts/build.sh release gantry gantry-shim

dev: prerequisites ## build everything with assertions in build/dev
	@scripts/build.sh dev all

test: dev ## run unit, golden and end-to-end tests
	@scripts/run-tests.sh build/dev

chaos: prerequisites ## kill, stop, slow down and set back a server under load for CHAOS_MINUTES, and check its promises
	@scripts/build.sh dev gantry gantry-shim
	@GANTRY_BIN=$(CURDIR)/build/dev/src/gantry tests/chaos/chaos.py --minutes $(CHAOS_MINUTES)

bench: prerequisites ## run the benchmarks and print their tables
	@scripts/build.sh release all
	@scripts/run-benchmarks.sh build/release

fmt: ## format C and C++ in place
	@scripts/format.sh --fix

lint: ## check format, structure (tools/tidy) and clang-tidy on changed files
	@scripts/format.sh --check
	@tools/tidy
	@python3 tools/docs_test.py
	@scripts/clang-tidy-changed.sh build/dev

package: prerequisites ## make the .deb in build/release
	@scripts/build.sh release $(INSTALLED)
	@cd build/release && cpack -G DEB
	@ls -l build/release/*.deb

asan: prerequisites ## run the tests under the address and undefined behaviour sanitizers
	@scripts/build.sh asan all
	@scripts/run-tests.sh build/asan

tsan: prerequisites ## run the concurrent tests under the thread sanitizer
	@scripts/run-tsan.sh

fuzz: prerequisites ## fuzz every parser of outside input for FUZZ_SECONDS in total
	@scripts/build.sh fuzz fuzz_targets
	@scripts/fuzz.sh build/fuzz $(FUZZ_SECONDS)

install: build ## install into DESTDIR and PREFIX (/usr/local)
	@cmake -S . -B build/release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@scripts/build.sh release $(INSTALLED)
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

verify: ## check what `make install` installed: each file is there, and the program starts and finds what it needs
	@scripts/verify-install.sh "$(DESTDIR)" "$(PREFIX)"

uninstall: ## remove what `make install` installed
	@test -f build/release/install_manifest.txt || { echo "nothing to remove: build/release/install_manifest.txt is missing" >&2; exit 1; }
	@xargs -d '\n' -I{} rm -fv -- "$(DESTDIR){}" < build/release/install_manifest.txt

clean: ## remove build/
	rm -rf build

# Benchmarks bring a second web server to compare with, so nobody else installs their group.
prerequisites: ## install the Debian packages that are missing; PACKAGES="build run test bench" names the groups
	@scripts/install-prerequisites.sh $(PACKAGES)

export JOBS FUZZ_SECONDS CHAOS_MINUTES
