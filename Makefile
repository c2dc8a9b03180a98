# The verbs of the project. Everything runs inside .venv, which `make setup` fills.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test check bench fix wheel clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup
	$(BIN)/cryoloom demo demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check src tests benchmarks examples training
	$(BIN)/ruff format --check src tests benchmarks examples training
	$(BIN)/lint-imports
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q tests/contracts

bench: setup
	$(BIN)/python -m benchmarks

fix: setup
	$(BIN)/ruff check --fix src tests benchmarks examples training
	$(BIN)/ruff format src tests benchmarks examples training

wheel: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist demo
