PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint benchmark
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

benchmark: $(INSTALLED)  ## the speed of the hot paths, in multiples of a fixed piece of work
	mkdir -p .benchmarks
	$(BIN)/pytest tests/benchmarks -n 0 --benchmark-enable --benchmark-only --benchmark-disable-gc \
		--benchmark-timer=time.process_time --benchmark-columns=min,median,rounds \
		--benchmark-json=.benchmarks/latest.json
	$(BIN)/python tests/benchmarks/judge.py .benchmarks/latest.json

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
