# make demo   a tour of the whole product on loopback
# make test   all tests, against the built wheel, with all set-up
# make fuzz   rubbish for every door (mail, SMTP, HTTP, config, CSV, tokens, returns), for BUDGET seconds
# make soak   mixed load with faults for SECONDS, then the long versions of the tests' tables
# make lint   ruff, mypy --strict, import-linter; pip-audit where its service is in reach
# make bench  mail beside Postfix, Haraka and others, latency, gateways, clicks; eight minutes
# make bench-growth   mail with 10 million people, 50 million events and 1 million queued; half an hour
# make docs   the pages that are made from the code
# make screenshots   the pictures of README and guides

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test fuzz soak soak-load soak-tables lint bench bench-growth docs screenshots check constraints clean

VENV := .venv
BUDGET := 300
SECONDS := 600
PYTHON := $(VENV)/bin/python
SOURCES := $(shell find src templates -type f -not -name '*.pyc' 2>/dev/null) pyproject.toml README.md

demo: $(VENV)/.wheel
	$(VENV)/bin/gatepost demo

test: $(VENV)/.wheel
	.ci/test $(TESTS)

fuzz: $(VENV)/.wheel
	$(PYTHON) tests/fuzz.py $(BUDGET)

soak: soak-load soak-tables

# SOAK=--write puts the figures into docs/reliability.md.
soak-load: $(VENV)/.wheel
	.ci/packages test
	$(PYTHON) tests/soak.py $(SECONDS) $(SOAK)

# The tables of make test at their full length: whatever asks support.scale how much it is to do.
soak-tables: $(VENV)/.wheel
	.ci/packages test
	GATEPOST_SOAK=1 $(PYTHON) -m pytest -q --timeout 3600 \
	  $$(grep -rl --include='test_*.py' 'support.scale' tests)

lint: $(VENV)/.wheel
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=src $(VENV)/bin/lint-imports
	.ci/audit $(VENV)

bench: $(VENV)/.wheel
	.ci/packages bench
	$(PYTHON) bench/run.py

bench-growth: $(VENV)/.wheel
	.ci/packages bench
	$(PYTHON) bench/growth.py

docs: $(VENV)/.wheel
	$(PYTHON) docs/generate.py

screenshots: $(VENV)/.wheel
	.ci/packages test
	$(PYTHON) docs/screenshots.py

# The environment holds exactly what constraints.txt names, checked by hash.
$(VENV)/.packages: constraints.txt .ci/environment
	.ci/environment $(VENV)
	touch $@

# Tests, demo and bench use what a user would get: the wheel, not the source tree.
$(VENV)/.wheel: $(VENV)/.packages $(SOURCES)
	rm -rf build/wheel && mkdir -p build/wheel
	$(PYTHON) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m pip install --quiet --no-deps --force-reinstall build/wheel/*.whl
	touch $@

# Renew constraints.txt after a change of dependencies (needs pip-tools).
constraints:
	pip-compile --quiet --strip-extras --extra test --extra lint --extra build \
	  --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --no-header --no-annotate --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) build
