# Short names for the README's commands and for what .ci/run does besides.
PYTHON ?= python3
# `--group` needs pip 25.1; the one that a new environment has may be older.
PIP = .venv/bin/python -m pip install -q 'pip>=25.1' && .venv/bin/python -m pip install -q -c constraints.txt

.venv/bin/pip:
	$(PYTHON) -m venv .venv

demo: .venv/bin/pip  ## both example sites beside the handsets
	$(PIP) -e '.[demo]'
	.venv/bin/phone-verify demo

test: .venv/bin/pip  ## the tests
	$(PIP) -e '.[all]' --group test
	.venv/bin/pytest -q -n auto

test-all: .venv/bin/pip  ## also races, fuzz and Chromium
	$(PIP) -e '.[all]' --group test
	.venv/bin/pytest -q -n auto -m ''

lint: .venv/bin/pip  ## formatting and types
	$(PIP) -e '.[all]' --group lint
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: .venv/bin/pip  ## the documentation site, strictly, in build/docs/site
	$(PIP) -e '.[all]' --group docs
	.venv/bin/python -m docsite

ci:  ## everything, from nothing
	.ci/run

migrations: .venv/bin/pip  ## new initial migrations, only before the first release
	$(PIP) -e '.[all]' --group lint
	.venv/bin/python .ci/write_migrations.py

matrix:  ## the Django tests on every Django, Python and database
	.ci/matrix

.PHONY: demo test test-all lint docs ci migrations matrix
