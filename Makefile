PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint
.DELETE_ON_ERROR:

demo: $(INSTALLED)  ## the whole comparison on generated images, on the CPU
	$(BIN)/harness run demo --out .demo/run --jobs 2

test: $(INSTALLED)  ## all tests; none needs the network or a GPU
	$(BIN)/pytest

lint: $(INSTALLED)  ## style, types, the order of the rooms, the list of dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
