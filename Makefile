# Two commands matter: `make demo` and `make test`. Flags go through ARGS: make demo ARGS="--boards 3 --exit"

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	$$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# never a compiler, never a prompt, never anything that the lock does not name
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
CODE := gateway keys policies audit
ARGS ?=
ONLY ?=

.PHONY: help demo test check bench lint format types rules unit coverage lock tools wheel clean

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Sluis needs Python 3.11 or newer with the venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps hold when the locks and pyproject.toml are unchanged. The development set contains the runtime set.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements-dev.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime ## play one whole campaign on this machine
	$(BIN)/sluis demo $(ARGS)

tools: ## the programs outside Python that the tests use
	@sh .ci/prerequisites

# The floor is silent when it holds, so that pytest's closing line is the last. It is about what all of `unit` and `property` run
# (tests/support/untraced.py), and not asked of a part.
test: tools $(VENV)/.dev rules ## the whole test suite, with the coverage floor
	@rm -f .coverage
	$(BIN)/python -m coverage run -m pytest $(ARGS)
	@test -n "$(ARGS)" || $(BIN)/python -m tests.support.coverage_floor

check: $(VENV)/.dev lint types rules unit ## the quick one: format, lint, types, import rules, unit tests

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.dev ## put the code in its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev
	$(BIN)/mypy

rules: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not postgres" tests/unit $(ARGS)

coverage: $(VENV)/.dev ## where the last `make test` did not come
	$(BIN)/python -m coverage report

bench: $(VENV)/.dev ## each benchmark beside its peer (ONLY=name for one, or for all that begin so)
	@sh .ci/prerequisites bench
	$(BIN)/python -m tests.bench $(ONLY)

lock: $(VENV)/.dev ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra server --extra build --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-emit-index-url --no-annotate --quiet -o requirements.lock
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-emit-index-url --no-annotate --quiet -c requirements.lock -o requirements-dev.lock
	uv pip compile pyproject.toml --extra vendor --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-emit-index-url --no-annotate --quiet -c requirements.lock -o requirements-vendor.lock

wheel: $(VENV)/.runtime ## what vendors install (docs/vendor/README.md), in dist/
	@rm -rf build
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@cp requirements-vendor.lock dist/

clean: ## throw away what was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage bench/results.json
