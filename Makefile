# Every target sets up its environment: Python >= 3.11 and make are enough. `make PYTHON=python3.12 test` uses another Python.
PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.core
READY := .venv/.ready
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: demo test check nightly bench clean

demo: $(CORE)  ## a whole study on built-in pictures, in minutes: runs/demo/report.html
	$(BIN)/foveate demo --out runs/demo

test: $(READY)  ## the tests except the slow ones: about four minutes
	$(PYTEST) -m "not slow and not nightly"

check: $(READY)  ## the gate that CI runs: format, lint, types, every test except the nightly ones, and the slowest of them
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(PYTEST) -m "not nightly" --durations=40 --durations-min=1

nightly: $(READY)  ## what takes too long for the gate: every family of models, every mechanism compiled and exported
	$(PYTEST) -m nightly

bench: $(READY)  ## the figures in README and docs; benchmarks/README.md lists each one
	@for name in $$(grep -l __main__ benchmarks/*.py); do \
	  name=$$(basename $$name .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:  ## delete the environment and caches; studies in runs/ stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(CORE): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"foveate needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Do: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

$(READY): $(CORE)
	$(PIP) -e ".[dev]"
	touch $@
