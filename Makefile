# Two commands for a newcomer: `make demo` and `make test`. Everything lives in .venv and .flywheel.
VENV ?= .venv
PY := $(VENV)/bin/python
export DAGSTER_HOME ?= $(CURDIR)/.flywheel/dagster
export DAGSTER_DISABLE_TELEMETRY := 1
export FIFTYONE_DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
# Some machines forbid bytecode caches; importing FiftyOne then takes a minute instead of seconds.
unexport PYTHONDONTWRITEBYTECODE
export HF_HUB_OFFLINE ?= 1
DEMO_DRIVES ?= 12
DEMO_SEED ?= 7
TEST_WORKERS ?= 2

.PHONY: setup demo test check dev review clean

setup: $(VENV)/.ready

# torch first and alone: resolved together with much else, pip may choose the CUDA build.
$(VENV)/.ready: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PY) -m pip install -q --upgrade pip uv
	$(PY) -m pip install -q -c constraints.txt torch
	$(PY) -m uv pip install -q --native-tls -p $(PY) -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(VENV)/bin/flywheel fleet --out .flywheel/fleet --drives $(DEMO_DRIVES) --seed $(DEMO_SEED)
	$(VENV)/bin/flywheel spin --logs .flywheel/fleet

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/dg check defs

test: check
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup -m "not service and not browser"
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup --durations=12 -m "service or browser"

dev: setup
	mkdir -p $(DAGSTER_HOME)
	test -f $(DAGSTER_HOME)/dagster.yaml || printf 'telemetry:\n  enabled: false\n' > $(DAGSTER_HOME)/dagster.yaml
	$(VENV)/bin/dg dev --host 127.0.0.1 --port 3000

review: setup
	$(VENV)/bin/flywheel review

clean:
	rm -rf .flywheel .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
