# Every target runs from a fresh checkout: it makes .venv, installs what it needs by hash, and does its work.
# Needs Python 3.11 or later, git, make and a package registry. PYTHON=... picks an interpreter.

.DEFAULT_GOAL := help
BIN = .venv/bin
# Two workers: the suite starts a PostgreSQL for each.
WORKERS ?= 2
# More for pytest: make test ARGS="-k receipt -x"
ARGS ?=
# Tests, demo and benchmarks start services by the hundred. Without byte code each compiles every module first.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: service-env ## Run the main job once on example data; artefacts in var/demo/
	$(BIN)/elicence demo

.PHONY: serve
serve: service-env ## Serve one region with example data on 127.0.0.1:8000
	$(BIN)/elicence serve --example

.PHONY: test
test: dev-env ## Run the tests on SQLite and PostgreSQL (both come along)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not long and not faults" $(ARGS)

.PHONY: test-long
test-long: dev-env ## Run the tests that take minutes: kills, large cascades, clean installs
	$(BIN)/python -m pytest -m long --timeout 3600 $(ARGS)

.PHONY: test-faults
test-faults: dev-env ## Fail every step of a commit and a publication, every system call, both databases; a row each
	$(BIN)/python -m tests.faults $(ARGS)

.PHONY: soak
soak: dev-env ## Ten times too much for a minute, then 20 minutes with a kill each (ARGS="--engine postgresql")
	$(BIN)/python -m tests.soak $(ARGS)

.PHONY: simulate
simulate: dev-env ## Run random schedules of regions that lie (ARGS="--schedules 5000", "--seed 7")
	$(BIN)/python -m tests.simulation $(ARGS)

.PHONY: interop
interop: dev-env ## Let other people's programs judge what this one makes
	$(BIN)/python -m pytest -m interop $(ARGS)

.PHONY: fuzz
fuzz: dev-env ## Fuzz every parser and request body (ARGS="--executions N --target name")
	$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: mutation
mutation: dev-env ## Put small faults into the sources; do tests notice? (ARGS="--sample 600")
	$(BIN)/python -m tests.mutation $(ARGS)

.PHONY: bench
bench: dev-env ## Measure, short profile; table and var/bench.json
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-growth
bench-growth: dev-env ## Grow a region to a million licences on both databases; table, var/growth.json, plots
	$(BIN)/python -m benchmarks.growth $(ARGS)

.PHONY: lint
lint: dev-env ## Check style, types, import contracts and house rules
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_tidy.py

.PHONY: docs
docs: dev-env ## Write docs/openapi.json again and run the documents' examples
	$(BIN)/python -m api.openapi docs/openapi.json
	$(BIN)/python -m pytest -q tests/docs

.PHONY: lock
lock: dev-env ## Write requirements/*.txt again from pyproject.toml (ARGS=--upgrade for newer versions)
	.ci/lock $(ARGS)

.PHONY: clean
clean: ## Remove what make made: .venv, var and caches
	rm -rf .venv var dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: service-env dev-env
service-env:
	@.ci/prepare service

dev-env:
	@.ci/prepare dev
