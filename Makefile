# Needs Python 3.11 or newer and make (GNU make 3.81, as macOS ships it, will do). Everything goes into .venv.
#
#   make demo    train two models, start a broker and the inspector, replay images, write demo-out/
#   make install the commands trainer and inspector, in .venv/bin
#   make test    the tests; those that need Apache Kafka skip visibly where there is none
#   make check   ruff, mypy, import-linter: what pre-commit and CI run
#   make bench   throughput as JSON
#   make bench-accuracy   detectors and backbones on the sets of ../shared/data; goes on where it was cut off
#   make chaos   faults, attacks and overload on Apache Kafka (hours); chaos-smoke: the same with small counts (docs/chaos.md)
#   make e2e     a day of a factory on Apache Kafka, from training to alerts, judged: out/e2e/report.html (docs/factory.md)
#   make docs    the pages of docs/ as a site in site/, strictly: a broken link ends it
#   make fuzz    every reader of bytes from outside, FUZZ_SECONDS (60) each, with atheris; FUZZ="manifest picture": these alone
#   make mutants small changes of the code, one at a time, that a unit test should notice; MUTANTS="verdict schemas": these rooms (docs/mutants.md)
#   make clean   remove .venv, caches and outputs
#
# PYTHON       the interpreter that .venv is made from
# VENV         where the environment goes
# TEST_PROCESSES  in how many processes the tests run, each with brokers of its own (default: 2; 0: in one, for a debugger)
# TORCH_INDEX  one more package index, e.g. https://download.pytorch.org/whl/cpu for a build of torch without CUDA

# The first that is new enough; macOS's own python3 is not.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
TORCH_INDEX ?=
TEST_PROCESSES ?= 2
FUZZ ?=
FUZZ_SECONDS ?= 60
MUTANTS ?=

BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# The stamps make an environment follow its description: a change of either file installs again.
DEV := $(VENV)/.installed-dev
DEMO := $(VENV)/.installed-demo
DOCS := $(VENV)/.installed-docs

.PHONY: help install demo test check docs bench bench-accuracy chaos chaos-smoke e2e fuzz mutants clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(DEMO)

demo: $(DEMO)
	$(BIN)/python -m deploy.demo

test: $(DEV)
	@# In the order of the folders: sorted by their number of tests, modules of one test that takes a minute would come last, and one process be idle.
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS)
	$(BIN)/python -m deploy.site

bench: $(DEV)
	$(BIN)/python -m tests.benchmarks

bench-accuracy: $(DEV)
	$(BIN)/python -m tests.benchmarks.accuracy run

chaos: $(DEV)
	$(BIN)/python -m tests.chaos

chaos-smoke: $(DEV)
	$(BIN)/python -m tests.chaos --smoke

e2e: $(DEV)
	$(BIN)/python -m tests.e2e.factory

fuzz: $(DEV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[fuzz]'
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m tests.fuzz $(FUZZ)

mutants: $(DEV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[mutants]'
	$(BIN)/python -m tests.mutants $(MUTANTS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-out out build dist site

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and not on the PATH: make PYTHON=/path/to/python3.12"; exit 1; }
	@# A venv that failed halfway (Debian without python3-venv) would look finished the next time.
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[dev]'
	@touch $(DEV) $(DEMO)

$(DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV): a few minutes, once"
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[demo]'
	@touch $(DEMO)

$(DOCS): pyproject.toml constraints.txt | $(DEV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[docs]'
	@touch $(DOCS)
