# For a fresh Debian machine: `make bake` and `make test`. `make help` lists all targets.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
UV_VERSION := 0.13.9
DOCTOR := $(BIN)/notebake doctor --fix --yes

.PHONY: help setup test-packages bake test test-unit test-integration test-e2e test-long packers machines lint docs man golden \
	bench workflows build-dist dist lock clean

# The first target is the default.
help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(BIN)/notebake ## Make .venv and install the host's missing packages
	@$(DOCTOR) --for bake --for launch --for probe

# What `notebake doctor` needs itself comes first; everything else it installs.
$(BIN)/notebake: requirements.txt pyproject.toml
	python3 -m venv --clear $(VENV) 2>/dev/null || { \
		$(SUDO) apt-get update -q && $(SUDO) apt-get install -qy python3-venv && python3 -m venv --clear $(VENV); }
	$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# Prints the machine's address and token.
bake: setup notebake.toml ## Bake debian-13 and launch it
	$(BIN)/notebake doctor
	$(BIN)/notebake bake debian-13
	$(BIN)/notebake launch --image baked/debian-13.qcow2

notebake.toml: | $(BIN)/notebake
	$(BIN)/notebake init --mirrors host --no-password

test: lint test-unit test-integration test-e2e ## Run all of the tests below (60 minutes)

lint: setup docs ## Run all linters and build the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/shellcheck $$(git ls-files '*.sh') .ci/run
	$(BIN)/shfmt -d -i 2 $$(git ls-files '*.sh') .ci/run

# Strict: a broken link, an option without help or a field without description is an error.
docs: setup ## Build the documentation into build/docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs build/docs

man: setup ## Build the man pages into build/man
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b man docs build/man

test-unit: setup ## Unit tests (3 minutes)
	$(BIN)/pytest tests/unit --numprocesses 2

test-packages: $(BIN)/notebake
	@$(DOCTOR) --for test

# By file: what the fixtures of a file make is made once.
test-integration: setup test-packages ## Tests with real tools (12 minutes)
	$(BIN)/pytest tests/integration --numprocesses 2 --dist loadfile

packers: setup test-packages ## Build a Packer newer than Debian's for the tests, from source, and print its folder
	@$(BIN)/python -m tests.packers

# The tests make them too, if they are not in the cache.
machines: setup ## Make the test root file systems shaped like Ubuntu and openSUSE
	$(BIN)/python -m tests.e2e.shapes

# On two cores without KVM: one process emulates, the other one runs containers. tests/e2e/conftest.py has the groups.
test-e2e: setup test-packages ## Tests on real machines (45 minutes)
	$(BIN)/pytest tests/e2e --numprocesses 2 --dist loadgroup --durations 30 $(LONG:%=--ignore %)

# Not part of `make test`: a cluster with nine machines needs the host for itself, and TeX is a large download.
LONG := tests/e2e/test_cluster.py tests/e2e/test_life.py
test-long: setup test-packages ## Test a cluster, and all that a notebook can be given (15 minutes)
	$(BIN)/pytest $(LONG)

# Not part of `make test`: it needs npm and Go. Each workflow runs as it is written, in a Debian 13 of its own, from a
# checkout to a promoted version, and once more in a week without changes.
workflows: setup test-packages ## Run the workflows of `notebake ci` (30 minutes)
	$(BIN)/pytest tests/workflows

golden: setup ## Write the golden files again
	$(BIN)/pytest -q tests/unit/test_render.py --golden

bench: setup test-packages ## Measure speed and memory
	$(BIN)/python -m bench

# The same commit gives the same bytes: dates come from the commit, build tools from requirements.txt, by hash.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),1580601600)
DIST := dist

build-dist: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
build-dist: $(BIN)/notebake
	rm -f $(DIST)/notebake-*
	$(BIN)/uv build --quiet --build-constraints requirements.txt --require-hashes --out-dir $(DIST) .

dist: build-dist ## Build wheel and sdist into dist, check and try them
	$(BIN)/twine check --strict $(DIST)/*.whl $(DIST)/*.tar.gz
	$(BIN)/check-wheel-contents $(DIST)/*.whl
	.ci/try-wheel.sh $(BIN)/uv $(DIST)/*.whl

# Review the difference afterwards.
lock: setup ## Renew every pin
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --universal --upgrade \
		--no-header --no-annotate --quiet --output-file requirements.txt
	$(BIN)/notebake lock --shipped
	$(BIN)/notebake lock --bases --shipped

clean: ## Remove .venv and everything built
	rm -rf $(VENV) baked rendered build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
