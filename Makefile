# Needs Python 3.11 or newer with venv, and make. Everything else goes into .venv, at the versions in constraints.txt.

PYTHON := $(shell python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test docs bench

demo: .venv/.installed
	$(BIN)/python -m examples.demo

test: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

docs: .venv/.installed
	$(BIN)/python docs/make_rules.py

bench: .venv/.installed
	$(BIN)/python -m benchmarks

# torch comes first: where both are offered, the CPU build is then taken before anything else can ask for another one.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	$(PIP) torch
	$(PIP) -e . --group dev
	touch $@
