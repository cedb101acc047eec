# The habits of the house.
CARGO ?= cargo
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
FILLS ?= 24000

.PHONY: help demo test setup build test-rust test-browser test-foreign lint bench fuzz soak kills fills
# Tests that measure time do not share the machine with each other.
.NOTPARALLEL:

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a live stream, a node and a player page, on this machine alone
	$(CARGO) run --release --locked -- demo

test: setup test-rust test-browser test-foreign ## everything there is to check; installs what it lacks

setup: ## what the tests need: Debian packages on the machine, npm and Python packages in this folder
	tests/setup.sh

build:
	$(CARGO) build --workspace --locked

test-rust: ## rules, properties, models and scenarios
	$(CARGO) test --workspace --locked

test-browser: setup build ## Chromium plays over HTTP/1.1, 2 and 3
	node tests/browser/play.mjs
	node tests/browser/gated.mjs
	node tests/browser/players.mjs
	node tests/browser/dashboard.mjs
	node tests/browser/qoe.mjs

test-foreign: setup build ## curl, aioquic, ffmpeg, HAProxy, nginx, OpenSSL and rude clients
	.venv/bin/python tests/foreign/run.py
	.venv/bin/python tests/soak/kills.py --kills 5
	.venv/bin/python tests/soak/beacons.py --kills 5

lint: ## formatting, clippy, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

bench: ## what the rules cost
	$(CARGO) bench --locked

fuzz: ## FUZZ_SECONDS (60) for each parser
	fuzz/run.sh $(FUZZ_SECONDS)

fills: ## FILLS (24,000) random fills with random faults against a model
	WEIR_FILLS=$(FILLS) $(CARGO) test --locked --test random_fills -- --nocapture

soak: setup ## herds, crowds, gigabytes; browsers and strangers for SOAK_SECONDS (600) instead of seconds; release build
	$(CARGO) build --release --workspace --locked
	.venv/bin/python tests/soak/run.py
	WEIR_BINARIES=target/release PLAY_SECONDS=$(SOAK_SECONDS) node tests/browser/play.mjs
	WEIR_BINARIES=target/release .venv/bin/python tests/foreign/run.py --long

kills: setup build ## a node is killed 200 times under load, and under 2,000 reports a second, over either engine
	.venv/bin/python tests/soak/kills.py --kills 200 --engine auto
	.venv/bin/python tests/soak/kills.py --kills 200 --engine threads
	.venv/bin/python tests/soak/beacons.py --kills 200 --engine auto
	.venv/bin/python tests/soak/beacons.py --kills 200 --engine threads
