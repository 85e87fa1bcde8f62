# make test    everything, with the Debian packages that the tests need installed where that is possible
# make check   format, lint, types, architecture and unit tests: under a minute
# make survive the tests of what must be survived (kills, races, full disks, lost power), TIMES=20 times in a row
# make demo    an image out of this system's own packages, run with limits; no registry, no network
# make bench   against docker, podman, runc and crun where installed; writes bench/results and the README's table
# make format  let ruff rewrite what it can
# make index   the table in docs/decisions/README.md
.POSIX:
.PHONY: test check lint survive demo bench format packages index clean help

ENV = .venv
RUN = $(ENV)/bin/python -m
CODE = src tests tools bench
WORKERS = auto
TIMES = 20
PYTEST = $(RUN) pytest -q -n $(WORKERS) --maxprocesses 8 --dist loadgroup

help:
	@sed -n 's/^# //p' Makefile

$(ENV)/ready: pyproject.toml
	@sh tools/environment . $(ENV) env test dev >/dev/null

# What the tests need of Debian, where we may install it; what stays missing is skipped and listed by name.
packages: $(ENV)/ready
	@sh tools/packages $(ENV)/bin/python

lint: $(ENV)/ready
	@$(RUN) ruff format --check -q $(CODE)
	@$(RUN) ruff check -q $(CODE)
	@$(RUN) mypy

check: lint
	@$(PYTEST) tests/architecture tests/unit tests/golden

test: lint packages
	@$(PYTEST) --leaks tests

survive: $(ENV)/ready packages
	@for time in $$(seq $(TIMES)); do echo "$$time of $(TIMES)"; $(PYTEST) --leaks -m survival tests || exit 1; done

demo:
	@sh demo/run

bench: $(ENV)/ready packages
	@$(ENV)/bin/python bench/run.py

format: $(ENV)/ready
	@$(RUN) ruff format -q $(CODE)
	@$(RUN) ruff check -q --fix $(CODE)

index:
	@python3 tools/index_decisions.py

clean:
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache src/*.egg-info
