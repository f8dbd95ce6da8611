# The two commands of the README are `make demo` and `make test`; both set up whatever is missing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The tests wait for sockets and processes about a third of their time.
WORKERS ?= $(shell expr 3 '*' `nproc` / 2)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable

.PHONY: demo test check format docs bench torture clean pictures

demo: $(VENV)/.sandbox
	$(BIN)/sslctl sandbox demo

test: $(VENV)/.test
	SSLCTL_REQUIRE_PEBBLE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info

$(VENV)/.sandbox: pyproject.toml Makefile .ci/debian .ci/constraints.txt
	sh .ci/debian $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[sandbox,web,metrics]'
	mkdir -p $(VENV)/share/man/man1
	ln -sf '$(CURDIR)'/docs/man/*.1 $(VENV)/share/man/man1/
	touch $@

$(VENV)/.test: $(VENV)/.sandbox
	sh .ci/debian $(PYTHON) strace systemd nginx haproxy faketime zsh fish man-db chromium postgresql pgbouncer
	sh .ci/program prometheus promtool $(BIN)/promtool
	sh .ci/program caddy caddy $(BIN)/caddy
	$(PIP) '.[test]'
	touch $@

$(VENV)/.bench: $(VENV)/.sandbox
	sh .ci/debian $(PYTHON) postgresql
	$(PIP) '.[bench]'
	touch $@

# About half an hour, on a machine that does nothing else. ARGS="issuance" for one part, ARGS="--publish" for docs/scale.md.
bench: $(VENV)/.bench
	$(BIN)/python -m tests.bench $(ARGS)

# About an hour. ARGS="kill disk" for some classes of faults, ARGS="--publish" for docs/reliability.md.
torture: $(VENV)/.test
	$(BIN)/python -m tests.torture $(ARGS)

docs: $(VENV)/.test
	$(BIN)/python docs/generate.py

# The pictures of the page in docs/. Look at them before they are committed.
pictures: $(VENV)/.test
	$(BIN)/python docs/pictures.py
