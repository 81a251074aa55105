# The README's two commands: `make submission` and `make test`. All targets set up .venv first.
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest
WORKFLOW := Snakefile rules workflow
PLACES := PYTHONPATH=src $(PYTHON) -m seamark.planning.environment

.PHONY: help submission test test-all test-oldest lint format generated docs clean-venv

help: ## list the targets
	@sed -n 's|^\([a-z-]*\):.*## |\1\t|p' $(MAKEFILE_LIST) | expand -t 14

submission: $(READY) ## draw the demo photographs, run everything, leave a checked archive and a report
	@$(PLACES)
	$(BIN)/snakemake --cores $(CORES) submission

test: $(READY) ## run the tests
	@$(PLACES)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(READY) ## run the slow tests too, one at a time: faults, fuzzing, every preset with its real networks
	@$(PLACES)
	$(BIN)/python -m pytest --slow

test-oldest: ## run unit tests and one small run with the oldest releases that pyproject.toml allows, in an environment of their own
	@$(PLACES)
	$(PYTHON) -m venv --clear $(OLDEST)
	$(PYTHON) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*(line.replace(">=", "==") for line in project["dependencies"]), sep="\n")' > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt --editable '.[dev]'
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal tests/unit tests/workflow/test_snakemake_report.py

lint: $(READY) ## check style, types, import directions and the workflow's layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check $(WORKFLOW)
	$(BIN)/snakemake --lint --quiet

format: $(READY) ## write the style that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(WORKFLOW)

generated: $(READY) ## write what is generated: config.yaml, config.schema.json and the rule graph
	$(BIN)/python -m pytest -q tests/docs --fix

docs: $(READY) ## build the documentation site into site/; it opens from the file system
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Seamark needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PLACES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

clean-venv: ## remove .venv and that of test-oldest
	rm -rf $(VENV) $(OLDEST)
