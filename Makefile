# Everything here works on a machine with Python >= 3.11 and make, and nothing else installed.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin

# The CPU build of PyTorch, which only comparisons need, and what its op database imports.
TORCH ?= torch==2.13.0
TORCH_VENV ?= .venv-torch
TORCH_PYTHON ?= $(TORCH_VENV)/bin/python
BENCH ?=

.PHONY: help demo test test-compiled compiled lint types layers format bench docs parity clean

help:
	@echo "make demo     train a convolutional network on real digits, with pictures in output/"
	@echo "make test     lint, types, layer contracts and all tests"
	@echo "make compiled the package with its hot modules compiled, in build/compiled (needs gcc)"
	@echo "make test-compiled   tests of what depends on them"
	@echo "make lint     lint, types and layer contracts only"
	@echo "make format   put the source into the project's format"
	@echo "make docs     run every code block of README.md and docs/"
	@echo "make bench    Flambeau beside PyTorch, with table and picture in benchmarks/"
	@echo "              (installs PyTorch in $(TORCH_VENV); TORCH_PYTHON=… names one that has it;"
	@echo "              BENCH='--only train,small --quick --compile' chooses what is measured)"
	@echo "make parity   the tests against PyTorch (installs PyTorch in $(TORCH_VENV))"
	@echo "make clean    remove what the above made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Flambeau needs Python >= 3.11; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
		"Name another one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(TORCH_VENV)/.torch: pyproject.toml
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet '$(TORCH)' expecttest
	$(TORCH_VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/python -m flambeau demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(BIN)/python -m pytest -n $(WORKERS)

compiled: $(VENV)/.dev
	$(BIN)/python hatch_build.py build/compiled

# What depends on the modules that are compiled: types, attributes, references.
COMPILED_TESTS ?= $(addprefix tests/,autograd capture device graph nn ops optim programs schedule \
	tensor utils test_func.py test_semantics.py test_serialization.py)
test-compiled: compiled
	PYTHONPATH=build/compiled $(BIN)/python -P -c \
		"from flambeau.graph.compiled import COMPILED; assert COMPILED"
	PYTHONPATH=build/compiled $(BIN)/python -P -m pytest -n $(WORKERS) $(COMPILED_TESTS) -o \
		"pythonpath=build/compiled . tests tests/device tests/ops tests/plans tests/deploy"

docs: $(VENV)/.dev
	$(BIN)/python -m pytest tests/test_docs.py

ifeq ($(TORCH_PYTHON),$(TORCH_VENV)/bin/python)
bench: $(TORCH_VENV)/.torch
endif
bench: $(VENV)/.dev
ifeq ($(BENCH),)
	$(BIN)/python -m benchmarks.figures
	$(BIN)/python -m benchmarks.demo_step --torch-python $(TORCH_PYTHON)
endif
	$(BIN)/python -m benchmarks.suite --torch-python $(TORCH_PYTHON) $(BENCH)

parity: $(TORCH_VENV)/.torch
	$(TORCH_VENV)/bin/python -m pytest -n $(WORKERS) -k parity

clean:
	rm -rf $(VENV) $(TORCH_VENV) build dist output *.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
