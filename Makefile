# Needs Python 3.11 and make; everything else is installed into .venv from the hashed lock.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test quick check bench up proto lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@grep -A200 '^uv==' requirements.lock | awk 'NR==1 || /^ +--hash/ {print} NR>1 && !/^ +--hash/ {exit}' > $(VENV)/uv.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## a retailer's eight simulated weeks, end to end
	$(BIN)/nba demo

up: $(STAMP)  ## everything on this machine, supervised, until Ctrl-C
	$(BIN)/nba up

test: $(STAMP)  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup

quick: $(STAMP)  ## the suite without the minutes-long tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

check: $(STAMP)  ## lint, types, import contracts, generated code in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python proto/generate.py --check

bench: $(STAMP)  ## Decide beside a no-op server with the same messages; large programs beside small ones
	$(BIN)/python -m loadtests.bench
	$(BIN)/python -m loadtests.rules_bench

proto: $(STAMP)
	$(BIN)/python proto/generate.py

lock:
	uv pip compile pyproject.toml --group dev --extra embedded --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-sources -o requirements.lock

clean:
	rm -rf $(VENV) .nba
