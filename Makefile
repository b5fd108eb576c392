# The two commands of a newcomer: `make demo` and `make test`. The weights go to ~/.cache/inhouse (or INHOUSE_CACHE).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BANK := examples/first_national_bank

# Every claim of docs/benchmarks.md, the quick ones first; `make bench QUICK=--quick` tries them all in some minutes.
BENCHMARKS := support acts imports privacy ocr guardrails experiments retrieval_quality ingestion inference build training retrieval_scale gateway gateway_faults actions router reuse cascade surrogates triggers rollback budgets roi drift audit_data edge experts
QUICK ?=

# The tests run in two processes, each file in one of them, in the order of the files; `make test WORKERS=0` uses one.
WORKERS ?= 2

.PHONY: demo test clients bench lint models reference lock clean

demo: models
	$(BIN)/inhouse check --project $(BANK)
	$(BIN)/inhouse build --project $(BANK)
	$(BIN)/inhouse ask --project $(BANK) "How do I apply for a business loan?"

test: models lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Real clients of the OpenAI API against a served project; CLIENTS="openai langchain" runs these only.
clients: $(VENV)/installed
	$(BIN)/python clients/run.py --install --project $(or $(PROJECT),$(BANK))

bench: models
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev,bench]'
	@set -e; n=0; for claim in $(BENCHMARKS); do n=$$((n + 1)); \
	  echo "== $$n of $(words $(BENCHMARKS)): benchmarks/$$claim.py, $$(date +%H:%M:%S)"; \
	  $(BIN)/python benchmarks/$$claim.py $(QUICK); done

lint: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

models: $(VENV)/installed
	$(BIN)/inhouse models pull
	$(BIN)/inhouse models pull e5-small

# Help text and settings in docs/reference.md come from the code; a test fails when the page is stale.
reference: $(VENV)/installed
	$(BIN)/python -c "from inhouse.cli.main import app; from inhouse.config.reference import page; print(page(app), end='')" > docs/reference.md

# Versions and hashes of the packages that serve, for this Python and system, to install with --require-hashes.
lock: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --report .lock.json -c constraints.txt . setuptools
	$(BIN)/python .ci/lock < .lock.json > requirements.lock
	rm .lock.json

# What builds and serves; what tests and lints comes on top.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/developed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(BANK)/.inhouse
