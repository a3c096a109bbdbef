# GNU make. Every target sets up what it needs in .venv; `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: demo test lint bench faults fuzz engines docs wheel clean help

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q
export PATH := $(CURDIR)/.venv/bin:$(PATH)

demo: ## run the first example (FHIR=path/to/bundle.json for a bundle of your own)
	@tools/bootstrap core
	@$(PYTHON) examples/quickstart.py $(if $(FHIR),"$(FHIR)")

test: ## run all tests: C, doctests, pytest (ARGS="-k name" to choose)
	@tools/bootstrap dev
	@tools/test-c
	@$(PYTEST) --doctest-modules medchain
	@$(PYTEST) -n auto --dist loadfile $(ARGS)

lint: ## check style and types
	@tools/bootstrap dev
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

bench: ## measure against baselines, print one table, write build/bench.json
	@tools/bootstrap dev
	@mkdir -p build
	@$(PYTEST) benches --benchmark-enable --benchmark-quiet --benchmark-json=build/bench.json

faults: ## run the tests of kills, faults and damaged disks in their long form
	@tools/bootstrap dev
	@MEDCHAIN_FAULTS=long $(PYTEST) -n auto tests/faults $(ARGS)

fuzz: ## fuzz every decoder, guided by coverage (TIME=seconds for all, ARGS="-k name" to choose)
	@tools/bootstrap fuzz
	@tools/fuzz-c
	@PYTHONPATH=tests $(PYTHON) -m fuzz $(if $(TIME),--time $(TIME)) $(ARGS)

engines: ## install programs of others that read published logs and cosign them, for the tests (needs Go)
	@tools/engines

docs: ## build the documentation into build/docs, warnings as errors, and run its examples
	@tools/bootstrap docs
	@$(PYTHON) -m sphinx -W --keep-going -q -b html docs build/docs/html
	@$(PYTHON) -m sphinx -W -q -b doctest docs build/docs/doctest
	@echo "build/docs/html/index.html"

wheel: ## build the wheel into dist/ and try it where there is no compiler
	@tools/bootstrap dev
	@tools/wheel

clean: ## remove everything that make has made, .venv included
	@[ ! -e demo/.made-by-quickstart ] || rm -rf demo
	@rm -rf .venv build dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find medchain tests benches examples docs -name __pycache__ -prune -exec rm -rf {} +

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
