# Needs make and Python 3.11 or newer, nothing else. Options: PYTHON=python3.12 (used when the environment is made),
# VENV=folder, ARGS="--out here" for `make run`, ARGS="-k nwj" for `make pytest`.
PYTHON = python3
VENV = .venv

run: $(VENV)/installed
	$(VENV)/bin/mibench run --estimator infonce --dim 20 $(ARGS)
test: doctest pytest
lint: ruff mypy imports
doctest pytest slow ruff mypy imports: $(VENV)/installed-dev
doctest:
	$(VENV)/bin/pytest --doctest-modules mibench
pytest:
	$(VENV)/bin/pytest -m "not slow" $(ARGS)
slow:
	$(VENV)/bin/pytest -m slow $(ARGS)
ruff:
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
mypy:
	$(VENV)/bin/mypy
imports:
	$(VENV)/bin/lint-imports
bench: $(VENV)/installed
	for name in throughput time_to_accuracy encoders shared_training workers; do $(VENV)/bin/python -m benchmarks.$$name || exit; done

# Without its stamp an environment is unfinished (an installation that broke off, a Python too old) and is made anew.
$(VENV)/installed: pyproject.toml constraints.txt
	[ -f $@ ] || $(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	$(VENV)/bin/pip install -c constraints.txt -e .
	touch $@
$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/pip install -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: run test lint doctest pytest slow ruff mypy imports bench
