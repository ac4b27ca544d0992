# Two commands do all the set-up: `make handbone` and `make test`. Everything here can be done by hand too:
# README.md shows the plain pip lines.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: handbone test bench docs view clean

.venv/pip.stamp:
	$(PYTHON) -m venv .venv
	touch $@

.venv/train.stamp: .venv/pip.stamp pyproject.toml
	$(BIN)/pip install --quiet -e ".[weights]"
	touch $@

.venv/dev.stamp: .venv/train.stamp pyproject.toml
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $@

.venv: .venv/dev.stamp

handbone: .venv/train.stamp
	$(BIN)/python competitions/handbone/run.py

test: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

bench: .venv/dev.stamp
	$(BIN)/python -m benchmarks

docs: .venv/dev.stamp
	$(BIN)/mkdocs build --strict

view:
	$(BIN)/pip install --quiet -e ".[view]"
	$(BIN)/optuna-dashboard runs/handbone/study.journal

clean:
	rm -rf site .mypy_cache .ruff_cache .pytest_cache
