# make repro: the environment, then the whole pipeline. make test: the same environment, all checks.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: repro test lint verify chaos bench bench-time-to-fid bench-costs bench-stages bench-scores audit ui lock clean

# JOBS=2 builds two variants at a time (README, speed)
JOBS ?= 1
ACTIVATED := PATH="$(CURDIR)/$(BIN):$$PATH"
repro: $(BIN)/.installed
	@$(BIN)/python -m stages.settings.lockfile
ifneq ($(JOBS),1)
	$(ACTIVATED) dvc repro reference
	variants=$$($(BIN)/python -c 'from stages.settings.params import load; print(*load().variants, sep="\n")') && \
		echo "$$variants" | $(ACTIVATED) OMP_WAIT_POLICY=passive xargs -P $(JOBS) -I{} \
		dvc --wait-for-lock repro --single-item train@{} sample@{} evaluate@{}
endif
	$(ACTIVATED) dvc repro

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

# images a second of training, beside the usual loop's and the machine's limit: tests/benchmarks/results/training.md
bench: $(BIN)/.installed
	$(BIN)/python -m tests.benchmarks.training

# seconds until VARIANT reaches a FID to validation images
bench-time-to-fid: VARIANT = dcgan
bench-time-to-fid: FID ?= 10
bench-time-to-fid: $(BIN)/.installed
	$(BIN)/python -m tests.benchmarks.time_to_fid $(VARIANT) --fid $(FID)

# training by batch size and channels, evaluation by samples: tests/benchmarks/results/costs.md
bench-costs: $(BIN)/.installed
	$(BIN)/python -m tests.benchmarks.costs

# what a stage takes beside its work, against a bare import of torch: tests/benchmarks/results/stages.md
bench-stages: $(BIN)/.installed
	$(BIN)/python -m tests.benchmarks.stages

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
