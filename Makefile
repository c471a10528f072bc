# What people, pre-commit and CI run. `make help` says what there is.
.DEFAULT_GOAL := help
.PHONY: help venv demo guide test check chaos matrix bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
UV_VERSION := 0.13.9
# Most tests wait for processes and servers. More than two at once would make them wait for the machine.
TWO_AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Variables given on make's command line (DATABASE_URL=… and the like) reach every command by themselves.
demo: export DEBUG := $(or $(DEBUG),1)
check: export DEBUG := 1
check: export DATABASE_URL := sqlite://:memory:

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/dev.stamp ## Make .venv with everything for tests and checks

demo: $(VENV)/app.stamp ## Run the shop with a dozen orders (PORT=… EXIT=1 DATABASE_URL=… BROKER_URL=…)
	@exec $(BIN)/python manage.py demo $(if $(PORT),--port $(PORT)) $(if $(filter-out 0,$(EXIT)),--exit)

guide: $(VENV)/app.stamp ## Walk from a monolith to this shop: list the stages, or run one (STAGE=… SERVE=1)
	@exec $(BIN)/python -m migrations_guide \
		$(if $(STAGE),verify $(STAGE) $(if $(filter-out 0,$(SERVE)),--serve),list)

# Twice over: what needs no server runs on SQLite first, then everything runs on the servers that are there.
# The coverage of both counts together; without a server the second run says what it skipped and sets no limit.
test: $(VENV)/dev.stamp ## Run the tests on SQLite, then on PostgreSQL and RabbitMQ where they are found
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && trap 'exit 130' INT TERM && \
	export COVERAGE_FILE="$$scratch/coverage" && \
	TEST_DATABASE_URL=sqlite:// $(BIN)/pytest $(TWO_AT_ONCE) tests/unit tests/integration \
		-m "not postgres and not rabbitmq and not acceptance" --cov --cov-report= --cov-fail-under=0 && \
	$(BIN)/pytest $(TWO_AT_ONCE) --cov --cov-append

check: $(VENV)/dev.stamp ## Lint, check formatting, types, import contracts, Django's checks and migrations
	@$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --cache-dir var/import_linter
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

chaos: $(VENV)/dev.stamp ## Kill, cut off and fill up what the system runs on, and count what is lost or doubled (ROUNDS=10)
	@for round in $$(seq $(or $(ROUNDS),1)); do $(BIN)/pytest $(TWO_AT_ONCE) -m chaos || exit; done

matrix: $(VENV)/dev.stamp ## Run the tests on each Python that is here, each Django, the oldest and the newest Celery
	@exec $(BIN)/nox --session matrix

bench: $(VENV)/bench.stamp ## Measure relay, hops and orders beside their peers (QUICK=1: five minutes; ONLY=relay,hop)
	@exec $(BIN)/python -m benchmarks $(if $(filter-out 0,$(QUICK)),--quick) $(if $(ONLY),--only $(ONLY))

lock: ## Write requirements/*.lock anew from *.in (UPGRADE=1 for newer versions)
	@rm -rf var/lock && $(PYTHON) -m venv var/lock && var/lock/bin/pip install -qq uv==$(UV_VERSION)
	@cd requirements && compile() { \
		../var/lock/bin/uv pip compile --quiet --no-config --universal --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			$(if $(UPGRADE),--upgrade) --python-version "$$@"; } && \
	compile 3.11 app.in --output-file app.lock && \
	compile 3.11 demo.in --constraint app.lock --output-file demo.lock && \
	compile 3.11 dev.in --constraint demo.lock --output-file dev.lock && \
	compile 3.11 bench.in --constraint dev.lock --output-file bench.lock && \
	compile 3.11 dev.in --override oldest.in --output-file oldest.lock && \
	compile 3.12 django-6.0.in --no-deps --output-file django-6.0.lock && \
	compile 3.12 django-6.1.in --no-deps --output-file django-6.1.lock

clean: ## Remove .venv, var/ with the demo's database, and what builds leave behind
	rm -rf $(VENV) var dist staticfiles .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

# A lock names everything, so pip need not resolve anything; where it does, a release newer than a pinned one with an
# extra (such as coverage[toml]) makes it refuse the lock.
$(VENV)/app.stamp: requirements/demo.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the shop needs into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/demo.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing what the tests and checks need into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $(VENV)/app.stamp $@

$(VENV)/bench.stamp: requirements/bench.lock | $(VENV)/dev.stamp
	@echo "Installing what the benchmarks need into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/bench.lock
	@touch $@
