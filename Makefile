# Every command of the project; `make help` lists them.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules
# What one process compiles the next need not, whatever the surroundings say: the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

# The system's Python where it can make an environment: distributions optimize theirs by a profile, and one compiled
# without is a fifth slower.
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
                  && echo /usr/bin/python3 || echo python3)
BIN := .venv/bin
QUIETLY := .ci/quietly
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate $(if $(UPGRADE),--upgrade)
# Each process has its own servers; the tests of a file stay together, for the fixtures they share. Files come in
# the order of their names: tests/acceptance takes longest, and would keep one core busy at the end. Every process
# collects all tests, so there are no more than the two cores need that this is made for: one each, and two more
# where much time is spent waiting for servers.
PYTEST := $(BIN)/python -m pytest --quiet --dist=loadfile --no-loadscope-reorder
BROWSER = $(shell grep --recursive --files-with-matches --include='test_*.py' 'mark\.browser' tests)
TEMPLATES = $(shell find templates -name '*.html')

# What asks no database, or one of its own, is not run a second time on PostgreSQL.
ON_ANY_DATABASE = acceptance access house mail servers $(addprefix commands/test_,selftest.py settings.py \
                  supervising.py preparing.py worker.py) web/test_widgets.py

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: .venv/run.stamp ## Run emailsync with the demo (HOST, PORT, EMAILSYNC_DATA_DIR, EMAILSYNC_ADMIN_PASSWORD)
	@exec $(BIN)/python manage.py up --demo

.PHONY: test
test: packages check ## Run everything: lint, types, contracts, all tests on real servers, browser tests
	@$(QUIETLY) "Django's tests on PostgreSQL" $(PYTEST) --numprocesses=2 --database=postgres \
	    $(addprefix --ignore=tests/,$(ON_ANY_DATABASE))
	@$(PYTEST) --numprocesses=4 --ignore=tests/house
	@$(PYTEST) --numprocesses=2 -m browser $(BROWSER)

.PHONY: check
check: .venv/test.stamp ## Run the fast checks: lint, types, import contracts, lock files, image
	@$(MAKE) --jobs=2 types rules

# mypy takes as long as all others together.
.PHONY: types
types:
	@$(QUIETLY) "mypy" $(BIN)/mypy

.PHONY: rules
rules:
	@$(QUIETLY) "ruff check" $(BIN)/ruff check .
	@$(QUIETLY) "ruff format (mend it with: make format)" $(BIN)/ruff format --check .
	@$(QUIETLY) "import contracts" $(BIN)/lint-imports --no-cache --no-logo
	@$(QUIETLY) "djade (mend it with: make format)" $(BIN)/djade --check $(TEMPLATES)
	@$(QUIETLY) "djlint" $(BIN)/djlint --quiet --lint templates
	@$(QUIETLY) "shell scripts" $(BIN)/shellcheck .ci/packages .ci/quietly .ci/run
	@$(QUIETLY) "Dockerfile" $(BIN)/hadolint Dockerfile
	@$(QUIETLY) "compose.yaml" $(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	@$(QUIETLY) "rules of the house" $(BIN)/python -m pytest --quiet tests/house

.PHONY: format
format: .venv/test.stamp ## Format the code and the templates
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/djade $(TEMPLATES)

.PHONY: bench
bench: packages .venv/test.stamp ## Measure syncing, sending, and the lists of a large database (MAILBOXES, MESSAGES)
	@$(BIN)/python -m bench.initial_sync
	@$(BIN)/python -m bench.distant_sync
	@$(BIN)/python -m bench.pop3_fetch
	@$(BIN)/python -m bench.sending
	@$(BIN)/python -m bench.lists $(if $(MAILBOXES),--mailboxes $(MAILBOXES)) $(if $(MESSAGES),--messages $(MESSAGES))

.PHONY: screenshots
screenshots: packages .venv/test.stamp ## Take pictures of every screen for docs/images
	@$(BIN)/python -m pytest --quiet -m browser tests/browser/test_every_screen.py --contact-sheet=docs/images

.PHONY: lock
lock: .venv/test.stamp ## Write requirements/*.txt from pyproject.toml (UPGRADE=1 takes the newest versions)
	@$(LOCK) pyproject.toml --extra demo --group test --output-file requirements/test.txt
	@$(LOCK) pyproject.toml --extra demo --constraints requirements/test.txt --output-file requirements/run.txt
	@$(LOCK) pyproject.toml --constraints requirements/test.txt --output-file requirements/production.txt

.PHONY: messages
messages: packages .venv/test.stamp ## Collect the words for translators into locale/ (LOCALE=de adds a language)
	@$(QUIETLY) "makemessages" $(BIN)/django-admin makemessages --keep-pot --no-obsolete --no-wrap \
	    --add-location=file $(if $(LOCALE),--locale=$(LOCALE),--all) --ignore=tests --ignore=bench --ignore=data
	@$(QUIETLY) "compilemessages" $(BIN)/django-admin compilemessages --ignore=.venv

.PHONY: packages
packages:
	@.ci/packages

.PHONY: clean
clean: ## Remove the environment and what tools left behind; the data folder stays
	@rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis test-results
	@find . -name __pycache__ -prune -exec rm -rf {} +

# The environment. A stamp is younger than the lock it was installed from, so a second run starts at once.

# Python compiles what it imports; pip would compile all there is.
.venv/run.stamp: requirements/run.txt | $(BIN)/pip
	@echo "Installing what emailsync needs (once)."
	@$(PIP) install --no-compile --require-hashes --requirement $<
	@touch $@

.venv/test.stamp: requirements/test.txt | $(BIN)/pip
	@echo "Installing what the tests need (once)."
	@$(PIP) install --no-compile --require-hashes --requirement $<
	@touch $@

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed. On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
