# The environment lives in .venv; PYTHON chooses the interpreter that makes it (3.11 or newer) and TORCH_INDEX, where
# given, the package index that has the torch build you want (CPU or a CUDA version).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: env demo test lint types docs clean

env: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("foretrain needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: env
	$(BIN)/python train.py experiment=nap2

test: lint types
	$(BIN)/pytest -n auto

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

docs: env
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
