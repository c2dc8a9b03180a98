# The verbs of the project. Everything runs inside .venv, which `make setup` fills.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := hatch_build.py src tests benchmarks examples training
NODE := $(BIN)/node
MODULES := web/node_modules
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test check lint bench fix wheel clean web web-packages web-check web-test api-types

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt hatch_build.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/cryoloom demo demo

# Python-only work needs no browser's part: CRYOLOOM_SKIP_WEB=1 leaves out all of it.
test: web $(if $(CRYOLOOM_SKIP_WEB),,web-test)
	$(BIN)/python -m pytest

check: lint
	$(BIN)/python -m pytest -q tests/contracts

lint: setup $(if $(CRYOLOOM_SKIP_WEB),,web-check)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports
	$(BIN)/basedpyright --pythonpath $(BIN)/python

bench: setup
	$(BIN)/python -m benchmarks

fix: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

web: setup
	$(BIN)/python hatch_build.py build

web-packages: setup
	$(BIN)/python hatch_build.py packages

web-check: web-packages
	$(NODE) $(MODULES)/typescript/bin/tsc --noEmit --project web

web-test: web-packages
	$(NODE) $(MODULES)/vitest/vitest.mjs run --root web

api-types: web-packages
	$(BIN)/python hatch_build.py types

wheel: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(MODULES) dist demo src/cryoloom/server/static
