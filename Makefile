# make demo: see a benchmark happen.  make test: run the tests.  make check: what a commit must pass.
# make quick: the tests that start no process and do not compute for long.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
SOURCES := perfkit tests benchmarks fuzz sample_data docs/*.py action

.PHONY: demo test quick check format docs site proof fuzz soak constraints clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@$(BIN)/perfkit demo

# Three at once, as many wait for others half of the time, then one by one what measures time. All processes of
# pytest-xdist must name their tests in one order, so sets are walked in the same.
test: $(VENV)/installed
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest -m 'not alone' --numprocesses 3 --dist worksteal; first=$$?; \
	  $(BIN)/python -m pytest -m alone && exit $$first

quick: $(VENV)/installed
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest --quick --numprocesses 2

check: $(VENV)/installed
	@$(BIN)/ruff format --check --quiet $(SOURCES)
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: $(VENV)/installed
	@$(BIN)/ruff format --quiet $(SOURCES)
	@$(BIN)/ruff check --quiet --fix $(SOURCES)

# The tables of the documentation, from the code.
docs: $(VENV)/installed
	@$(BIN)/python docs/make.py

# The documentation as a site, build/site/index.html, from docs/, the notebooks (which are run) and the docstrings.
site: $(VENV)/installed
	@$(BIN)/python -c 'import mkdocstrings_handlers.python, nbclient, zensical' 2>/dev/null || \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[docs]'
	@$(BIN)/python -m docs.build_site

proof: $(VENV)/installed
	@$(BIN)/python -m benchmarks.proof

# Each harness for five minutes, one after the other.
fuzz: $(VENV)/installed
	@for harness in sse http cells journal importers; do echo "fuzz.$$harness"; \
	  nice $(BIN)/python -m fuzz.$$harness --minutes 5 || failed=1; done; test -z "$$failed"

# Half an hour of load: does anything grow?
soak: $(VENV)/installed
	@$(BIN)/python benchmarks/soak.py --streams 256 --minutes 30

# constraints.txt anew: the newest of everything, if the tests pass with it.
constraints:
	@rm -rf .venv-newest
	@$(MAKE) --no-print-directory test site VENV=.venv-newest CONSTRAINTS=/dev/null
	@{ echo "# Versions with which the tests passed; make constraints renews them."; \
	    .venv-newest/bin/python -m pip freeze --exclude perfkit; } > constraints.new
	@mv constraints.new constraints.txt

# Installed once, and again when the dependencies change.
$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $@
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --constraint $(CONSTRAINTS) \
	    --editable '.[test]' && touch $@; } | \
	  while read -r step what rest; do case "$$step $$what" in \
	    Collecting*) n=$$((n+1)); printf '\r%-79.79s' "installing into $(VENV): package $$n, $$what";; \
	    'Installing collected') printf '\r%-79.79s' "installing into $(VENV): copying $$n packages";; \
	    'Successfully installed') printf '\r%-79.79s\n' "installed into $(VENV)";; \
	  esac; done
	@test -e $@

clean:
	rm -rf .venv .venv-* outputs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
