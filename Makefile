# Everything starts here: `make` alone lists what there is. Needs python3 and make; the rest is fetched.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve test check bench soak package lock clean venv peers-venv

PYTHON := .venv/bin/python
PEERS := build/peers-venv
PYTEST := $(PYTHON) -m pytest
# The tests wait for servers, leases and timeouts for a third of their time: half as many workers again as cores.
SIDE_BY_SIDE := -n $(shell getconf _NPROCESSORS_ONLN | awk '{print int($$1 * 1.5 + 0.5)}') --dist loadfile
# The tests start hundreds of processes, which would each compile what no file keeps for them.
export PYTHONDONTWRITEBYTECODE :=
# make lock UPGRADE=--upgrade takes newer versions.
UPGRADE ?=

help:  ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: venv  ## Run a team of agents four ways, everything included, and print the comparison.
	$(PYTHON) -m examples.demo

serve: venv  ## Start the sidecar; it says where it listens and which token to paste.
	$(PYTHON) -m sidecar

# Three processes: the Dify SDK patches its whole process for gevent, which would hide races from all other tests, and
# tests/together starts real servers and plugins. A process that collects nothing fails as well (pytest's status 5).
# Two of them run side by side; a file stays together, for its fixtures are servers.
test: venv  ## Run every test.
	@failed=; \
	$(PYTEST) tests --ignore=tests/plugin --ignore=tests/together $(SIDE_BY_SIDE) || failed="$$failed rest"; \
	$(PYTEST) tests/plugin || failed="$$failed plugin"; \
	$(PYTEST) tests/together $(SIDE_BY_SIDE) || failed="$$failed together"; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

check: venv  ## Check format, lint, types, imports, and run the quick tests.
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	$(PYTHON) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'
	$(PYTEST) -q tests/ensemble tests/test_*.py $(SIDE_BY_SIDE)

bench: venv peers-venv  ## Measure ours beside other engines and breakers, which live in build/peers-venv.
	$(PYTHON) -m benchmarks

soak: venv  ## Run for long under faults and check that nothing is lost.
	$(PYTHON) -m tests.soak

package: venv  ## Build the plugin's package under build/.
	$(PYTHON) -m scripts.package

lock: venv  ## Compile the hashed requirement files from pyproject.toml.
	scripts/lock $(UPGRADE)

clean:  ## Remove what was built, and the tools' caches; .venv stays.
	rm -rf build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@scripts/make-venv .venv requirements/dev.txt

peers-venv:
	@scripts/make-venv $(PEERS) requirements/peers.txt
