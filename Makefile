# Every target sets itself up: a virtual environment, and what .ci/setup lists from the distribution.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench soak figures sim proof servers fuzz sanitize pictures versions

PYTHON ?= python3
BIN := .venv/bin
CODE := exporter tests rules grafana hatch_build.py
export PATH := $(PATH):/usr/sbin:/sbin

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing; every other target does it too
	@PYTHON="$(PYTHON)" .ci/setup

demo: ## a bug, an alert, a proven rollback; DEMO_STORY=release: 1 to 100 %, DEMO_BUG=none, DEMO_KEEP=1
	@PYTHON="$(PYTHON)" .ci/setup demo
	@$(BIN)/mlcanary demo

# One worker per core. A worker has its own ports (tests/own_ports.py); `.venv/bin/pytest tests/x` runs in one process.
# The tests start the programs many hundred times: compiled modules are kept, or each start compiles them again.
test: setup ## all tests
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

check: setup ## what CI runs: format, lint, types, import floors, all tests
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

fix: setup ## format the code and mend what the linter can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# tests/bench/peers.sh first, where other programs are to be compared: it installs 1 GB. run.py takes names of parts.
bench: setup ## measure memory and CPU; writes tests/bench/RESULTS.md
	$(BIN)/python tests/bench/run.py

soak: setup ## half an hour at 20,000 records a second with rotation and kill -9; needs 4 GB of disk
	$(BIN)/python tests/bench/run.py soak

figures: setup ## the simulations behind the tables of docs/statistics.md, in full (an hour or more)
	for name in auc_accuracy distinct_users drift_faults interval_coverage joint_drift label_delay; do \
	  echo "== $$name"; $(BIN)/python tests/bench/$$name.py || exit 1; done

sim: setup ## the judge's promises by simulation, in full (two hours or more)
	for name in proportions means auc sticky_users features changes releases end_to_end; do \
	  echo "== $$name"; $(BIN)/python tests/sim/$$name.py || exit 1; done

proof: setup ## the handler's 14 invariants in 100,000 steps, its fault matrix, 200 kills (half an hour)
	$(BIN)/python tests/handler/invariants/run_invariants.py --steps 100000 --seed 1
	$(BIN)/python tests/handler/matrix/run_matrix.py
	$(BIN)/python tests/handler/matrix/run_matrix.py --kills 200

fuzz: setup ## hostile lines, bodies, files and checkpoints, FUZZ_MINUTES=10 for each of five targets; FUZZ=lines: one
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]' || echo "without atheris"
	@PYTHONPATH=tests:tests/bench $(BIN)/python -m fuzz.campaign --minutes $${FUZZ_MINUTES:-10} $(FUZZ)

# Exported by hand, as Python itself is not built with the sanitizers.
SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -g
sanitize: setup ## the compiled core under the address and undefined behaviour sanitizers (two minutes)
	@CFLAGS="$(SANITIZERS)" MLCANARY_REQUIRE_CORE=1 $(BIN)/python hatch_build.py
	LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONMALLOC=malloc $(BIN)/pytest tests/formats/test_compiled_*.py tests/formats/test_native_columns.py tests/joins/test_id_table.py \
	    tests/engine/test_lean.py::test_arrays_grow_shrink_and_go_wherever_their_memory_is_from; \
	  done=$$?; $(BIN)/python hatch_build.py && exit $$done

pictures: setup ## the dashboards as PNG, by Grafana's own panels (npm, 450 MB the first time); BOARD=release: one
	@$(BIN)/python tests/dashboards/draw.py $(BOARD)

servers: setup ## real model servers for tests/servers, 2.5 GB (some minutes); SERVERS=mlserver: that one alone
	@PYTHON="$(PYTHON)" .ci/servers

versions: setup ## rules, routes and bundle with Prometheus 2.53 and 3.5, Alertmanager 0.28 and 0.33 (needs apt-get)
	@.ci/versions
