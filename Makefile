# What people, pre-commit and CI run. `make help` says what there is.
.DEFAULT_GOAL := help
.PHONY: help venv demo dev guide oscar test test-slow ends soak chaos matrix check docs bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
UV_VERSION := 0.13.9
# One for each core where tests compute, as unit tests do. Most others wait for processes and servers more than half of their
# time, and the slow ones for a bank or a restart as well.
PROCESSES ?= 2
QUICK_PROCESSES = $(shell expr $(PROCESSES) \* 3 / 2)
SLOW_PROCESSES = $(shell expr $(PROCESSES) \* 2)
# They run once more without USE_TZ.
ZONELESS := $(patsubst %,tests/unit/test_%.py,bundling flows foreign_rows heartbeats inbox journeys kit_admin operator_commands outbox \
	relay_logic retention)
# The unit tests but the kit's own: those run on SQLite where its guests are not there, in tests/architecture/test_guests.py.
OTHERS := --ignore-glob=tests/unit/test_*.py tests/unit
PYTEST := $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

# COVERAGE=1, which CI sets, measures the coverage of `make test` and holds it to the limit; that takes about half as long again.
$(if $(filter-out 0,$(COVERAGE)),$(eval export COVERAGE_FILE := $(CURDIR)/var/coverage/data))
COVER := $(if $(filter-out 0,$(COVERAGE)),--cov)

# The site of the documentation. It needs no network, and a warning, such as a link to nowhere, is an error.
SITE := $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir var/docs/doctrees . var/docs/html

# The title of the shop's AsyncAPI document.
ASYNCAPI := --title "The shop's events"

# Variables given on make's command line (DATABASE_URL=… and the like) reach every command by themselves.
demo dev: export DEBUG := $(or $(DEBUG),1)
check docs: export DEBUG := 1
check docs: export DATABASE_URL := sqlite://:memory:

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/dev.stamp ## Make .venv with everything for tests and checks

demo: $(VENV)/app.stamp ## Run the shop with a dozen orders (PORT=… EXIT=1 DATABASE_URL=… BROKER_URL=…)
	@exec $(BIN)/python manage.py demo $(if $(PORT),--port $(PORT)) $(if $(filter-out 0,$(EXIT)),--exit)

dev: $(VENV)/app.stamp ## Run the shop while you change it: web server, worker and relay are started again (PORT=… DATABASE_URL=… BROKER_URL=…)
	@$(BIN)/python manage.py shell -v 0 -c "from project.demo import preparation as shop; shop.open_shop(); shop.fill_shelves()"
	@exec $(BIN)/python manage.py dev $(PORT)

guide: $(VENV)/app.stamp ## Walk from a monolith to this shop: list the stages, or run one (STAGE=… SERVE=1)
	@exec $(BIN)/python -m migrations_guide \
		$(if $(STAGE),verify $(STAGE) $(if $(filter-out 0,$(SERVE)),--serve),list)

oscar: $(VENV)/dev.stamp ## Take django-oscar's order placement apart, from X-ray to own database and back (ROWS=… TESTS=…)
	@exec $(BIN)/python -m migrations_guide.oscar $(if $(ROWS),--rows $(ROWS)) $(if $(TESTS),--tests "$(TESTS)")

test: $(VENV)/dev.stamp ## Test each promise, on the PostgreSQL and RabbitMQ that are found: five minutes
	@$(if $(COVER),rm -rf var/coverage && mkdir -p var/coverage)
	@$(PYTEST) --numprocesses $(QUICK_PROCESSES) -m "not slow" $(COVER)

test-slow: $(VENV)/dev.stamp ## Test the rest: each kill, the guide's walk and stages, containers, SQLite
	@TEST_DATABASE_URL=sqlite:// $(PYTEST) $(OTHERS) -m "not postgres and not rabbitmq and not slow"
	@TEST_DATABASE_URL=sqlite:// TEST_TIME_ZONE=America/New_York $(PYTEST) $(ZONELESS) -m "not postgres and not rabbitmq and not slow"
	@$(PYTEST) --numprocesses $(SLOW_PROCESSES) -m slow

ends: $(VENV)/dev.stamp ## Run quick tests with the oldest and the newest Python, Django and Celery: two minutes
	@PROCESSES=$(QUICK_PROCESSES) $(BIN)/nox --session oldest newest

soak: $(VENV)/dev.stamp ## Switch, move and kill for about HOURS=1; figures go to var/soak.jsonl
	@SOAK=$$(awk 'BEGIN { print 120 * $(or $(HOURS),1) }') $(PYTEST) -m soak --timeout=0

check: $(VENV)/docs.stamp ## Lint, check formatting, types, import contracts, Django's checks, migrations, generated files and the site
	@$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --cache-dir var/import_linter
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py flowmap --check docs/reference/flow.md
	$(BIN)/python manage.py broker_definitions --vhost shop --check docker/broker.json
	$(BIN)/python manage.py contracts --check
	$(BIN)/python manage.py asyncapi $(ASYNCAPI) --check docs/reference/asyncapi.json
	$(SITE)

chaos: $(VENV)/dev.stamp ## Kill, cut off and fill up what the system runs on, and count what is lost or doubled (ROUNDS=10)
	@for round in $$(seq $(or $(ROUNDS),1)); do $(PYTEST) -m chaos || exit; done

matrix: $(VENV)/dev.stamp ## Run the tests on each Python that is here, each Django, the oldest and the newest Celery
	@exec $(BIN)/nox --session matrix

bench: $(VENV)/bench.stamp ## Measure relay, hops and orders beside their peers (QUICK=1: eight minutes; ONLY=relay,hop RENEW=1)
	@exec $(BIN)/python -m benchmarks $(if $(filter-out 0,$(QUICK)),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(filter-out 0,$(RENEW)),--renew)

docs: $(VENV)/bench.stamp $(VENV)/docs.stamp ## Write what is generated anew, from flow map to tables of benchmarks, and build the site in var/docs/html
	$(BIN)/python manage.py flowmap --output docs/reference/flow.md
	$(BIN)/python manage.py broker_definitions --vhost shop --output docker/broker.json
	$(BIN)/python manage.py contracts
	$(BIN)/python manage.py asyncapi $(ASYNCAPI) --output docs/reference/asyncapi.json
	$(BIN)/python -m migrations_guide pages
	$(BIN)/python -m benchmarks --redraw
	$(BIN)/python -m docs._sphinx
	$(SITE) --write-all
	@echo "The site is in var/docs/html; open var/docs/html/index.html."

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
	compile 3.11 docs.in --constraint dev.lock --output-file docs.lock && \
	compile 3.11 projects.in --constraint dev.lock --output-file projects.lock && \
	compile 3.11 oscar.in --constraint dev.lock --constraint projects.lock --output-file oscar.lock && \
	compile 3.11 dev.in --override oldest.in --output-file oldest.lock && \
	compile 3.11 package.in --output-file package.lock && \
	compile 3.11 asyncapi.in --output-file asyncapi.lock && \
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

$(VENV)/docs.stamp: requirements/docs.lock | $(VENV)/dev.stamp
	@echo "Installing what the documentation's site needs into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/docs.lock
	@touch $@

$(VENV)/bench.stamp: requirements/bench.lock | $(VENV)/dev.stamp
	@echo "Installing what the benchmarks need into $(VENV) …"
	@$(PIP) install --no-deps --require-hashes -r requirements/bench.lock
	@touch $@
