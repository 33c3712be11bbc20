PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# with EXTRAS=test,ray a new .venv has Ray, and `make test` does the short tests on it as well
EXTRAS := test

.PHONY: demo test test-whole lint regression regression-power reference reports real benchmark bench-results bench-compiled bench-student bench-scale gpu bench-host faults fuzz docs test-ray test-ray-short
.DELETE_ON_ERROR:

demo: $(INSTALLED)  ## the whole comparison on generated images, on the CPU
	$(BIN)/harness run demo --out .demo/run --jobs 2

test: $(INSTALLED)  ## the tests but for those that take long; none needs the network or a GPU
	$(BIN)/pytest

test-whole: $(INSTALLED)  ## all tests, those on real images and all faults included
	$(BIN)/pytest --whole --faults=all

test-ray: $(INSTALLED)  ## the tests of the executor on Ray, with two nodes on this machine; brings the extra ray
	$(BIN)/python -m pip install --quiet --editable '.[test,ray]'
	$(BIN)/pytest tests/execution/test_ray_executor.py tests/execution/test_ray_nodes.py -n 0 --whole

test-ray-short: $(INSTALLED)  ## of these the ones that take little: two nodes predict what one machine does
	$(BIN)/python -m pip install --quiet --editable '.[test,ray]'
	$(BIN)/pytest tests/execution/test_ray_executor.py tests/execution/test_ray_nodes.py -n 0

lint: $(INSTALLED)  ## style, types, the order of the rooms, the list of dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

docs: $(INSTALLED)  ## the documentation as a site, in .docs; a warning fails it
	$(BIN)/sphinx-build -q -W --keep-going -b html -c docs . .docs

# Two seeds: with one, the noise of training is too large to find what matters (results/statistics/gate.md).
REGRESSION := $(BIN)/harness run demo --jobs 2 -o seeds=[0,1]

regression: $(INSTALLED)  ## has accuracy or convergence got worse since results/reference/demo?
	rm -rf .demo/regression
	HARNESS_CACHE=.demo/regression/cache $(REGRESSION) --out .demo/regression/run > /dev/null
	$(BIN)/harness compare results/reference/demo .demo/regression/run --fail-on-regression

regression-power: $(INSTALLED)  ## does the gate find a densenet that is taught wrongly, and one that learns slowly?
	for harm in crippled slow; do \
		rm -rf .demo/$$harm; \
		$(REGRESSION) --models densenet -o models.densenet.plugin=$$harm --plugin tests/simulations/crippled.py \
			--out .demo/$$harm > /dev/null || exit 1; \
		$(BIN)/harness compare results/reference/demo .demo/$$harm | grep -E "^- densenet: " || exit 1; \
	done

reference: $(INSTALLED)  ## accept what the models do now as the reference that regression compares with
	rm -rf .demo/reference
	HARNESS_CACHE=.demo/reference/cache $(REGRESSION) --out .demo/reference/run
	mkdir -p results/reference
	rm -rf results/reference/demo
	rm -rf .demo/reference/run/tables/*.html .demo/reference/run/tables/*.json .demo/reference/run/*/*/model.* .demo/reference/run/logs .demo/reference/run/active .demo/reference/run/checkpoints .demo/reference/run/.lock*
	mv .demo/reference/run results/reference/demo

reports: $(INSTALLED)  ## the page of the reference run, and its picture for the README
	$(BIN)/harness report results/reference/demo --out results/reports/demo.html
	$(BIN)/python results/picture.py results/reports/demo.html docs/report.png

# Every result on real images, in turn: DATA is BreakHis, LUNG is LC25000 with its groups.csv, WEIGHTS a file of DenseNet-121's.
# What is finished is kept, so it goes on where it was stopped; it tells first how long each run will take.
real: $(INSTALLED)
	$(BIN)/python results/regenerate.py --data "$(DATA)" --lung "$(LUNG)" --weights "$(WEIGHTS)"

benchmark: $(INSTALLED)  ## the speed of the hot paths, in multiples of a fixed piece of work
	mkdir -p .benchmarks
	$(BIN)/pytest tests/benchmarks -n 0 --benchmark-enable --benchmark-only --benchmark-disable-gc \
		--benchmark-timer=time.process_time --benchmark-columns=min,median,rounds \
		--benchmark-json=.benchmarks/latest.json
	$(BIN)/python tests/benchmarks/judge.py .benchmarks/latest.json

bench-results: $(INSTALLED)  ## results/benchmarks anew, on a quiet machine; a quarter of an hour on two cores
	$(BIN)/harness bench data --seconds 1 --out results/benchmarks
	$(BIN)/python tests/benchmarks/texture.py --images 48 --seconds 1 --out results/benchmarks
	$(BIN)/harness bench train --size 64 --size 112 --seconds 1 --out results/benchmarks

bench-compiled: $(INSTALLED)  ## torch.compile on the CPU beside the rest; nine minutes more, most of it compiling
	$(BIN)/harness bench train --models densenet --size 64 --seconds 1 -o schedule.execution_mode=compiled \
		--out results/benchmarks --name compiled

bench-student: $(INSTALLED)  ## a run beside a good student's script, on real images: DATA is BreakHis; nine minutes
	$(BIN)/python tests/benchmarks/compare_student.py --data "$(DATA)" --out results/benchmarks

CELLS ?= 1000
bench-scale: $(INSTALLED)  ## commands that only look at a run, on one of CELLS cells; 1,000 take a few minutes
	$(BIN)/python tests/benchmarks/scale.py --cells $(CELLS) --out results/benchmarks

bench-host: $(INSTALLED)  ## what each of CELLS cells costs the host under each executor; needs the extra ray
	$(BIN)/python tests/benchmarks/host.py --cells $(CELLS) --slots 16 \
		--executor local --executor ray --executor shard --out results/benchmarks

# Goes on where it was stopped. A machine without a network cannot make a .venv: there PYTHON is one that has torch and the
# project (pip install --no-build-isolation --no-deps -e .). DEVICE=cpu does all of it in a tiny size, which says nothing of speed.
DEVICE ?= cuda
MINUTES ?= 25
gpu:  ## all that needs a GPU, in 25 minutes: tests, losses, speeds, a run; into results/gpu/record.md
	$(or $(wildcard $(BIN)/python),$(PYTHON)) tests/gpu/record.py --device $(DEVICE) --minutes $(MINUTES) \
		$(foreach name,DATA OUT SCRATCH PARTS COMMIT,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) "$($(name))"))

faults: $(INSTALLED)  ## kill, starve and deceive real runs; what was seen goes into results/faults/record.md
	mkdir -p .faults
	$(BIN)/pytest tests/faults -n 0 --faults=all -o junit_family=xunit1 --junitxml=.faults/seen.xml
	$(BIN)/python tests/faults/record.py .faults/seen.xml --out results/faults/record.md
fuzz: $(INSTALLED)  ## 100,000 spoilt files for every parser of what somebody may send; takes about ten minutes
	$(BIN)/python tests/fuzz/record.py --examples 100000 --out results/faults/fuzz.md

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@
