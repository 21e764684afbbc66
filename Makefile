# make demo: see a benchmark happen.  make test: run the tests.  make check: what a commit must pass.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := perfkit tests benchmarks sample_data docs/make.py

.PHONY: demo test check format docs proof clean
.DELETE_ON_ERROR:

demo: .venv/installed
	@$(BIN)/perfkit demo

test: .venv/installed
	@$(BIN)/python -m pytest

check: .venv/installed
	@$(BIN)/ruff format --check --quiet $(SOURCES)
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: .venv/installed
	@$(BIN)/ruff format --quiet $(SOURCES)
	@$(BIN)/ruff check --quiet --fix $(SOURCES)

# The tables of the documentation, from the code.
docs: .venv/installed
	@$(BIN)/python docs/make.py

proof: .venv/installed
	@$(BIN)/python -m benchmarks.proof

# Installed once, and again when the dependencies change.
.venv/installed: pyproject.toml
	@echo "installing into .venv (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv outputs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
