# make repro: the environment, then the whole pipeline. make test: the same environment, all checks.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: repro test lint verify chaos bench-scores audit ui lock clean

repro: $(BIN)/.installed
	@$(BIN)/python -m stages.settings.lockfile
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

test: lint
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# two builds in two clean clones: the same bytes? VARIANT=dcgan chooses what is built in the quick budget
VARIANT ?= mlp
verify: $(BIN)/.installed
	$(BIN)/python -m tests.verify $(VARIANT)

# kill builds at random: do they end with the same bytes?
chaos: $(BIN)/.installed
	$(BIN)/python -m tests.chaos

# seconds and memory of the scores, beside other libraries'
bench-scores: $(BIN)/.installed
	$(BIN)/python -m tests.benchmarks.scores

# known vulnerabilities of what requirements.lock installs; asks PyPI
audit: $(BIN)/.installed
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip

ui: $(BIN)/.installed
	$(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri sqlite:///mlflow.db --artifacts-destination mlartifacts

$(BIN)/.installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	touch $@

# resolve the newest versions that pyproject.toml allows, for all platforms; needs the command uv
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv .cache mlflow.db mlartifacts
