# Everything a person or CI runs. `make` lists the targets.

SHELL := /bin/bash
export PYTHON
# As pip does: the certificates that the machine trusts, which may include a company proxy.
export UV_SYSTEM_CERTS ?= 1
# Where a machine forbids compiled modules, each process of a test would compile all of them again.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
# Tests wait for servers as much as they compute, so twice the cores of a small machine.
WORKERS ?= 4
BIN := $(VENV)/bin
STAMP := $(VENV)/.leverframe-setup
REQUIREMENTS := requirements/dev.txt requirements/build.txt
# One universal resolution serves every Python we support.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(if $(UPGRADE),--upgrade)

.PHONY: help setup test check static format docs golden demo lock test-postgres test-prometheus test-kills test-browser test-recipes mutation clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(STAMP) ## Make .venv with everything in it, from pinned and hashed requirements

$(STAMP): requirements/uv.txt $(REQUIREMENTS) pyproject.toml requirements/make-venv.sh
	@requirements/make-venv.sh $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python $(REQUIREMENTS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready: $(BIN)/leverframe --help"

test: setup ## Run the tests (ARGS="-k name" narrows them)
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-postgres: setup ## Run the store's tests on the PostgreSQL of LEVERFRAME_TEST_POSTGRES_URL (its tables are dropped)
	@test -n "$$LEVERFRAME_TEST_POSTGRES_URL" || { echo "Set LEVERFRAME_TEST_POSTGRES_URL to an empty database, postgresql+psycopg://user@host/name" >&2; exit 2; }
	@$(BIN)/pytest -m postgres $(ARGS)

test-prometheus: setup ## Judge by the machine's Prometheus (PROMETHEUS=/path; Debian's package is prometheus)
	@LEVERFRAME_TEST_PROMETHEUS="$(or $(PROMETHEUS),/usr/bin/prometheus)" $(BIN)/pytest -m prometheus tests/backends/test_real_prometheus.py $(ARGS)

test-kills: setup ## Kill workers at every boundary of a release and at random points of the story (SEEDS="1 2 3"), and the engine in a storm
	@LEVERFRAME_TEST_KILL_SEEDS="$(or $(SEEDS),1 2 3 4 5)" $(BIN)/pytest tests/e2e/test_release_kills.py tests/e2e/test_worker_kills.py tests/e2e/test_engine_restart.py $(ARGS)

test-browser: setup ## Open the gateway's pages in the machine's Chromium (CHROMIUM=/path; Debian's package is chromium)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/browser.txt
	@LEVERFRAME_TEST_BROWSER="$(or $(CHROMIUM),/usr/bin/chromium)" LEVERFRAME_TEST_PICTURES="$(PICTURES)" $(BIN)/pytest -m browser tests/browser $(ARGS)

test-recipes: setup ## Run the quarantine recipes with the machine's Go, Maven and RSpec, and with jest from npm (JEST=/path has it)
	@test -n "$(JEST)" || ! command -v npm > /dev/null || npm install --silent --no-audit --no-fund --prefix var/jest jest@30
	@LEVERFRAME_TEST_RECIPES=1 LEVERFRAME_TEST_JEST="$(or $(JEST),$(CURDIR)/var/jest)" $(BIN)/pytest -m recipes tests/recipes $(ARGS)

mutation: setup ## Change policies/ in thousands of small ways and see that tests notice (WRITE=1 renews the figures)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/mutation.txt
	@rm -rf mutants
	@LEVERFRAME_TEST_MUTATION=1 $(BIN)/python -m mutmut run --max-children 2
	@$(BIN)/python -m tests.mutation.check $(if $(WRITE),--write)

static: setup ## Check format, lint, types and import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: static test ## Everything that CI checks

format: setup ## Format the code and sort the imports
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup ## Write the generated reference pages again
	@$(BIN)/python -m typer leverframe.cli.main utils docs --name leverframe --title "The command line" > docs/reference/cli.md
	@$(BIN)/python -c 'from pathlib import Path; from policies.schema import pages; [Path("docs/reference", name).write_text(text) for name, text in pages().items()]'

golden: setup ## Record the golden histories again (ARGS="name …" narrows them); read tests/replay/record.py first
	@$(BIN)/python -m tests.replay.record $(ARGS)

demo: setup ## Tell the whole story with real parts (KEEP=1 leaves it running)
	@$(BIN)/leverframe demo $(if $(KEEP),--keep)

lock: setup ## Compile the requirement files again (UPGRADE=1 takes newer versions)
	@$(COMPILE) requirements/runtime.in --output-file requirements/runtime.txt
	@$(COMPILE) requirements/dev.in --constraints requirements/runtime.txt --output-file requirements/dev.txt
	@$(COMPILE) requirements/build.in --constraints requirements/dev.txt --output-file requirements/build.txt
	@$(COMPILE) requirements/uv.in --output-file requirements/uv.txt
	@$(COMPILE) requirements/mutation.in --constraints requirements/dev.txt --output-file requirements/mutation.txt
	@$(COMPILE) requirements/browser.in --constraints requirements/dev.txt --output-file requirements/browser.txt

clean: ## Remove the environment, the caches and the embedded parts' files
	rm -rf $(VENV) var dist mutants .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
