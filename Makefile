# The environment lives in .venv; PYTHON chooses the interpreter that makes it (3.11 or newer) and TORCH_INDEX, where
# given, the package index that has the torch build you want (CPU or a CUDA version).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: env demo test lint types docs stress oldest newest wheel hashes coverage clean

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

# Longer than the tests: kills at random moments, changed files of strangers, the load of thousands of jobs. The results
# are kept in docs/stress.md.
stress: env
	FORETRAIN_STRESS_KILLS=17 $(BIN)/pytest -q tests/integration/test_faults.py -k kills
	PYTHONPATH=tests/benchmarks:tests/predictors:tests/runtime:tests/search \
	  $(BIN)/python -W ignore tests/integration/fuzzing --seconds 18600
	$(BIN)/python bench/scale.py

# Environments of their own with the oldest version of every dependency that pyproject.toml allows, and with the newest.
oldest:
	$(PYTHON) -m venv .venv-oldest
	$(PYTHON) -m venv .venv-oldest/tools && .venv-oldest/tools/bin/pip install --quiet packaging
	.venv-oldest/tools/bin/python .ci/oldest.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/pip install --quiet --constraint .venv-oldest/constraints.txt --editable . pytest pytest-xdist hypothesis
	.venv-oldest/bin/python -m pytest -q $(VERSION_TESTS)

newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	.venv-newest/bin/pip install --quiet --upgrade --upgrade-strategy eager --editable '.[baselines]' pytest pytest-xdist hypothesis
	.venv-newest/bin/pip list --format=freeze | grep -iE '^(torch|lightning|numpy|scipy|pandas|torchmetrics|scikit-learn)=='
	.venv-newest/bin/python -m pytest -q $(VERSION_TESTS)

VERSION_TESTS := tests/runtime/test_fitting.py tests/runtime/test_checkpoints.py tests/runtime/test_parallel.py \
	tests/metrics/test_rank.py tests/snapshots/test_modules.py tests/training/test_candidate_training.py

# Builds the wheel and runs the installed command in an environment that has nothing else.
wheel: env
	rm -rf dist .venv-wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	.venv-wheel/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist && ../.venv-wheel/bin/foretrain doctor && ../.venv-wheel/bin/foretrain --help

hashes:
	uv pip compile pyproject.toml --extra dev --constraint constraints.txt --generate-hashes --universal --no-strip-extras \
		--python-version 3.11.8 --no-annotate --custom-compile-command 'make hashes' --output-file constraints-hashed.txt

coverage: env
	$(BIN)/pytest -n auto --cov=foretrain --cov-report=term-missing:skip-covered

clean:
	rm -rf .venv .venv-oldest .venv-newest .venv-wheel build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
