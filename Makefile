# `make help` lists the targets. Each sets up .venv first when it is not up to date.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests that run beside each other; each may take a core and 2 GB.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-long check golden fuzz bench docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED) ## create .venv and install what everything here needs

$(INSTALLED): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): PyTorch and others, 2.3 GB; some minutes without a word"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint requirements.lock --editable '.[quickstart,dev,docs]'
	touch $@

demo: $(INSTALLED) ## compile and run the embedded study, and say where its report is
	$(BIN)/stiltscale run specs/studies/quickstart.yaml

test: $(INSTALLED) ## run the tests, but for the slow ones
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-slow: $(INSTALLED) ## run the slow tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

test-long: $(INSTALLED) ## run the tests that take many minutes, which CI leaves out
	$(BIN)/python -m pytest -m long

check: $(INSTALLED) ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(INSTALLED) ## write the golden files of the tests anew; read the diff
	STILTSCALE_GOLDEN=write $(BIN)/python -m pytest tests/golden tests/errors tests/unit/test_schema.py

fuzz: $(INSTALLED) ## check damaged study files for five minutes
	$(BIN)/python tests/fuzz.py 300

bench: $(INSTALLED) ## run the benchmarks; they print ratios measured in one run
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

docs: $(INSTALLED) ## build the site of the documentation in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove the environment and all output
	rm -rf $(VENV) build/*/ .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
