# The habits of the house. `make test` installs what it lacks: Debian packages, npm and Python packages.

CARGO ?= cargo
FUZZ_SECONDS ?= 60
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo test test-rust test-browser test-foreign setup lint bench fuzz soak

demo:
	$(CARGO) run --release --locked -- demo

setup:
	tests/setup.sh

test: setup test-rust test-browser test-foreign

test-rust:
	$(CARGO) test --workspace --locked

test-browser: setup
	$(CARGO) build --locked
	node tests/browser/play.mjs

test-foreign: setup
	$(CARGO) build --workspace --locked
	.venv/bin/python tests/foreign/run.py

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

bench:
	$(CARGO) bench --locked

fuzz:
	fuzz/run.sh $(FUZZ_SECONDS)

# Minutes instead of seconds: browsers, viewers and memory under a long run.
soak: setup
	$(CARGO) build --release --workspace --locked
	WEIR_BINARIES=target/release PLAY_SECONDS=600 node tests/browser/play.mjs
	WEIR_BINARIES=target/release .venv/bin/python tests/foreign/run.py --long
