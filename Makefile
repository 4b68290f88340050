# Thin on purpose: each target is one command that you could type yourself.
# Build output goes to $(TARGET), outside the checkout, so that fresh clones build fast.

CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
TARGET := $(or $(CARGO_TARGET_DIR),$(CACHE)/gureum/target)
VENV   ?= $(TARGET)/venv
export CARGO_TARGET_DIR := $(TARGET)
export CARGO_TERM_COLOR ?= auto

PYTEST = GUREUM_BIN=$(TARGET)/debug/gureum GUREUM_CODEC_ECHO=$(TARGET)/debug/examples/codec_echo $(VENV)/bin/python -m pytest -q

.PHONY: up setup test unit acceptance lint bench fuzz models coverage path clean

up: setup            ## build and start the cloud
	cargo run --release --quiet --bin gureum -- up

setup:               ## install what this host lacks, saying what and why
	@./scripts/setup.sh

test: lint unit acceptance   ## everything

unit: $(VENV)/ready
	PATH=$(VENV)/bin:$$PATH cargo test --workspace --quiet

acceptance: $(VENV)/ready
	cargo build --quiet --bin gureum
	cargo build --quiet --package gureum-wire --example codec_echo
	PATH=$(VENV)/bin:$$PATH $(PYTEST) -n 4 tests

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo xtask tidy
	@if command -v cargo-deny >/dev/null; \
	then cargo deny --log-level error check licenses bans sources; \
	else echo "Licences and sources are not checked: cargo-deny is missing (cargo install cargo-deny --locked)."; fi

bench: setup         ## measured comparisons, in one run; ARGS=--help tells what can be chosen
	cargo build --release --quiet --package gureum --package gureum-bench --bins
	GUREUM_BIN=$(TARGET)/release/gureum $(TARGET)/release/gureum-bench $(ARGS)

fuzz: setup          ## noise for every decoder; SECONDS=30 each
	./scripts/fuzz.sh $(TARGET) $(SECONDS)

models: $(VENV)/ready ## regenerate models/ from the pinned botocore
	PATH=$(VENV)/bin:$$PATH cargo xtask models

coverage:            ## rewrite docs/coverage.md from the program itself
	cargo build --quiet --bin gureum
	./scripts/coverage.sh $(TARGET)/debug/gureum

$(VENV)/ready: tests/requirements.txt | setup
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r tests/requirements.txt
	touch $@

clean:
	cargo clean

path:                ## where the built program is
	@echo $(TARGET)/release
