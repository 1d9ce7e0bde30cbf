# Every target makes what it needs: on a fresh clone, Python 3.11 or newer and make are enough.
# Another interpreter: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
BENCH := .venv-bench
DATA_PATH := tests/house/test_build.py tests/test_engine.py tests/http tests/cache tests/batching tests/replicas tests/e2e
CLI_REFERENCE := COLUMNS=100 $(BIN)/python -m typer skysail.cli.main utils docs --name skysail

.PHONY: help demo test test-compiled check fix bench bench-all bench-peers bench-instructions paper paper-quick docs cover clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

demo: $(VENV)/.demo ## five models behind one endpoint; one breaks, and the system notices
	$(BIN)/skysail demo

test: $(VENV)/.dev ## every test
	$(BIN)/python -m pytest -q

test-compiled: $(VENV)/.compiled ## the tests of the data path, run on the compiled package
	PYTHONPATH=$(abspath $(VENV)/compiled) $(BIN)/python -m pytest -q $(DATA_PATH)

check: $(VENV)/.dev ## lint, format, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

fix: $(VENV)/.dev ## what can be put right by itself: lint, format, the CLI reference
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(CLI_REFERENCE) --output docs/reference/cli.md

bench: $(BENCH)/.ready ## the benchmarks, with the machine and the method they print: five minutes
	$(BENCH)/bin/python -m benchmarks.run

bench-all: $(BENCH)/.ready ## the long ones too: memory over a million queries, contexts, frontends and replicas
	$(BENCH)/bin/python -m benchmarks.run --all

bench-peers: $(BENCH)/.ready ## beside other servers, each installed into an environment of its own: 45 minutes
	$(BENCH)/bin/python -m benchmarks.peers

bench-instructions: $(BENCH)/.ready ## what a query costs the frontend, in instructions, counted by Valgrind
	$(BENCH)/bin/python -m benchmarks.instructions

paper: $(BENCH)/.ready ## the published experiments, through the server, beside the published numbers: twenty minutes
	$(BENCH)/bin/python -m benchmarks.paper

paper-quick: $(BENCH)/.ready ## less of each of them, in under three
	$(BENCH)/bin/python -m benchmarks.paper --quick

docs: $(VENV)/.dev ## docs are run and complete: examples, settings, commands, metrics, links
	$(BIN)/python -m pytest -q tests/house/test_docs.py

cover: $(VENV)/.dev ## which lines and branches no test runs
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage report

clean: ## the environment and every cache
	rm -rf $(VENV) $(BENCH) .venv-peers benchmarks/.build build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Stamps: made when the last step has succeeded, and again when what they were made from has changed.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Skysail needs Python 3.11 \
	or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there). Name another: make PYTHON=python3.13" \
	>&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.python
	$(PIP) -e '.[demo]'
	@$(BIN)/python -c 'import lightgbm' || { echo "LightGBM needs the OpenMP library of the system; install libgomp1 \
	(Debian, Ubuntu), libgomp (Fedora) or libomp (Homebrew)" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.compiled: hatch_build.py $(shell find src -name '*.py') $(VENV)/.dev
	rm -rf $(VENV)/compiled $(VENV)/wheel
	$(BIN)/python -m hatchling build -t wheel -d $(VENV)/wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/compiled $(VENV)/wheel/*.whl
	@touch $@

# What is measured is installed as a user's would be, compiled, with the quickest Python there is.
$(BENCH)/.ready: benchmarks/python.py pyproject.toml constraints.txt hatch_build.py $(shell find src -name '*.py') $(VENV)/.python
	rm -rf $(BENCH)
	$$($(PYTHON) benchmarks/python.py) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '.[test]'
	@touch $@
