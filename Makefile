# Targets for people and for .ci/run. `make` alone lists them.

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := $(PY) -m pip --disable-pip-version-check --no-input
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ZIGLANG := from mutascope.numerics.build import ZIGLANG; print(ZIGLANG)

# pyright runs the copy of itself that its wheel brings and the `node` on the PATH; it must not look for newer ones.
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1
export PYRIGHT_PYTHON_GLOBAL_NODE := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# Puts the checkers of the atlas's modules into node_modules, unless they are there.
NPM_CI := test node_modules/.package-lock.json -nt package-lock.json || npm ci --engine-strict --no-audit --no-fund --fetch-retries=0 --fetch-timeout=20000

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Create .venv with the pinned versions; does nothing when it is up to date

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "mutascope needs Python 3.11 or newer, and '$(PYTHON)' is not: name one with 'make setup PYTHON=python3.12'." >&2; \
		exit 1; }
	@{ $(PY) -c '$(NEW_ENOUGH)' && $(PY) -m pip --version; } >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@command -v $(firstword $(CC) cc) >/dev/null || { set -x; $(PIP) install "$$($(PY) -c '$(ZIGLANG)')"; }
	@touch $@

.PHONY: demo
demo: setup ## Run a real screen of the default model; draw its maps, write its report
	$(PY) -m mutascope.cli.demo

.PHONY: test
test: setup ## Run the tests (make test ARGS="-m slow" runs the slow ones)
	$(PY) -m pytest $(ARGS)

.PHONY: lint
lint: setup ## Check style, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright
	@if $(NPM_CI) >/dev/null 2>&1; then npm run --silent lint; \
	else echo "The modules of the atlas were not checked: npm, or a registry that has the packages of package-lock.json, is missing."; fi

.PHONY: docs
docs: setup ## Build the documentation into build/docs; runs its notebook
	$(PIP) install -r requirements-docs.lock
	$(PY) -m sphinx --fail-on-warning --keep-going -b html docs build/docs

.PHONY: clean
clean: ## Remove what make created: .venv, demo output, caches, builds
	rm -rf $(VENV) node_modules demo build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
