# The only two commands a fresh machine needs: make demo, make test (Python 3.10+ and make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Simulated cases that benchmarks run on; one is made if there are none.
CASES ?= build/cases

.PHONY: demo test test-slow lint bench pictures clean

demo: $(STAMP)
	$(BIN)/qsmsep demo demo --overwrite --open

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell .

bench: $(STAMP)
	test -d $(CASES) || $(BIN)/qsmsep simulate $(CASES)/seed801 --seed 801 --spin-echo
	$(BIN)/python Testing/benchmarks/bench_dipole.py
	$(BIN)/python Testing/benchmarks/bench_methods.py
	$(BIN)/python Testing/benchmarks/bench_chain.py $(CASES)
	$(BIN)/python Testing/benchmarks/bench_implicit.py $(CASES)
	$(BIN)/python Testing/benchmarks/bench_lesions.py

pictures: $(STAMP)
	$(BIN)/python Testing/module/make_pictures.py docs

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build dist *.egg-info
