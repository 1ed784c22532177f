# Everything runs in .venv, which is made once; needs Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO := demo

.PHONY: demo test test-all check bench clean help

help:
	@echo "make demo      simulate a take, ingest it, relight it, train on it: pictures in $(DEMO)/"
	@echo "make test      the fast tests; make test-all adds the slow ones"
	@echo "make check     lint, types, import contracts"
	@echo "make bench     every benchmark"
	@echo "make clean     remove $(VENV)/, $(DEMO)/, out/ and caches"

# Editable in a form that a folder of the same name, such as this clone beside a user's script, does not hide.
EDITABLE := --config-settings editable_mode=compat

# A stamp keeps a second make from installing again; it ages with the files that say what to install.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt $(EDITABLE) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --quiet -c constraints.txt $(EDITABLE) -e ".[dev]"
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(PIP) install --quiet -c constraints.txt $(EDITABLE) -e ".[bench]"
	touch $@

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" pipelines/simulated_stage/run.sh $(DEMO)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-bench
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) $(DEMO) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
