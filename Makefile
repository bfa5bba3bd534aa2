# Everything starts here: `make run` shows the monitor at work, `make test` tests it; both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where PyTorch is built without GPU code; a machine that cannot reach it takes what its own index has.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Real measurements to check on, where they are; no model learns from them.
REAL := $(if $(wildcard ../shared/data/space),--real ../shared/data/space)

# What was compiled once is not compiled again by each of the hundreds of processes that the tests begin.
unexport PYTHONDONTWRITEBYTECODE

# Pins what is asked for, with the hashes of the Python Package Index, whatever index this machine is set to.
COMPILE := PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile \
  --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --index-url https://pypi.org/simple \
  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

FINDINGS := build/faults/findings.jsonl

.DEFAULT_GOAL := help
.PHONY: help run test lint bench models prove prove-faults prove-models lock derived clean tools

help:
	@echo "make run    set up, then show the whole path live: broker, simulated chain, labels (Ctrl-C ends)"
	@echo "make test   set up, then run all tests"
	@echo "make lint   set up, then ruff, mypy and the import contracts"
	@echo "make bench  set up, then print the figures that the documentation quotes"
	@echo "make models train the bundled models anew, with their cards and reports (under an hour on two cores)"
	@echo "make prove  what takes too long for the tests: 200 kills, a month of soak, models trained anew, 60 storms"
	@echo "            (or a part of it: make prove-faults, make prove-models)"
	@echo "make lock   pin what the daemon and its build need, with hashes, in deploy/*.lock"
	@echo "make derived  write Grafana's dashboards and rules, and the configuration of the containers, from what they follow"
	@echo "make clean  remove what was set up and built"

run: $(VENV)/run.ready
	@$(BIN)/geospace-monitor demo

# What talks to brokers and other programs mostly waits: six at a time, whatever the machine.
test: $(VENV)/test.ready tools
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --durations 15 tests/golden tests/property tests/unit tests/fuzz
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 6 --dist loadfile --no-loadscope-reorder --durations 40 \
	  tests/system tests/faults tests/integration tests/realdata

lint: $(VENV)/test.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/test.ready tools
	$(BIN)/python benchmarks/spectra.py
	$(BIN)/python benchmarks/flr.py
	$(BIN)/python benchmarks/density.py
	$(BIN)/python benchmarks/geometry.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/craft_feed.py
	$(BIN)/python benchmarks/region.py
	$(BIN)/python benchmarks/injection.py
	$(BIN)/python benchmarks/hapi.py
	$(BIN)/python benchmarks/page.py

# Everything is simulated from seeds: the same program gives the same models, but for rounding in the libraries.
models: $(VENV)/test.ready
	$(BIN)/geospace-monitor train flr -o monitor/models/bundled/flr --report build/reports/flr
	$(BIN)/geospace-monitor train region -o monitor/models/bundled/region --report build/reports/region $(REAL)

prove: prove-faults prove-models

# Everything is broken at length; what was found goes into the report of the documentation.
prove-faults: $(VENV)/test.ready tools
	rm -f $(FINDINGS)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder tests/faults tests/fuzz \
	  tests/realdata/test_soak.py tests/property \
	  --full --findings $(FINDINGS) --timeout 3600
	OMP_NUM_THREADS=1 $(BIN)/pytest --full -m at_length tests/unit tests/integration tests/realdata
	$(BIN)/python tests/faults/report.py $(FINDINGS) -o docs/reports/faults

# Also draws the reports of the documentation, with the rivals that the models are held against.
prove-models: $(VENV)/test.ready
	$(BIN)/geospace-monitor train flr -o build/models/flr --report docs/reports/flr --ablation
	$(BIN)/python benchmarks/same_model.py monitor/models/bundled/flr build/models/flr
	$(BIN)/geospace-monitor evaluate events -o docs/reports/events
	$(BIN)/geospace-monitor train region -o build/models/region --report docs/reports/region $(REAL)

# For an installation whose every file is known: pip install --require-hashes -r deploy/requirements.lock (Linux).
# Any mirror will do later.
lock: | $(VENV)/python.ready
	$(BIN)/pip install --quiet pip-tools
	$(COMPILE) --output-file deploy/requirements.lock setup.cfg
	$(COMPILE) --output-file deploy/build.lock deploy/build.in

derived: $(VENV)/test.ready
	$(BIN)/python deploy/grafana/generate.py
	$(BIN)/python deploy/compose/derive.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find monitor plugins tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Programs that the tests talk to. They are installed where that can be done without a question; else the tests
# that need them are skipped and say so.
tools:
	@deploy/install-tools.sh

# An editable installation is what is meant: no warning of it (pip passes on what the build says).
$(VENV)/run.ready: setup.cfg pyproject.toml | $(VENV)/python.ready
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/test.ready: setup.cfg pyproject.toml | $(VENV)/python.ready
	$(BIN)/pip install --quiet --retries 0 --timeout 10 --extra-index-url $(TORCH_INDEX) torch==2.13.0
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --editable '.[demo,test,dev,docs]'
	@touch $@

$(VENV)/python.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "geospace-monitor needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	@touch $@
