# make repro: the environment, then the whole pipeline. make test: the same environment, all checks.
# make environment: .venv alone
PYTHON ?= python3
BIN := .venv/bin

.PHONY: environment repro repair test pytest lint verify soak chaos experiments bench bench-gpu check-gpu bench-time-to-fid bench-costs bench-stages bench-scores bench-jobs audit ui serve push pull lock clean

environment: $(BIN)/.installed

# JOBS=4 builds four variants at a time; by default as many as there are GPUs, or else cores (docs/speed.md)
ACTIVATED := PATH="$(CURDIR)/$(BIN):$$PATH"
repro: $(BIN)/.installed .cache/vega.js repair
	@$(ACTIVATED) python -m stages.build $(if $(JOBS),--jobs $(JOBS))

# DVC writes dvc.lock in place: where a kill cut it off, its last lines are no whole output, and git's takes its place.
# DVC itself reads some of what a kill leaves, and would run finished stages again. Of a merge's two versions ours is taken.
repair:
	@! command -v $(PYTHON) >/dev/null || $(PYTHON) -m json.tool .dvc/tmp/rwlock >/dev/null 2>&1 || rm -f .dvc/tmp/rwlock # written in place, too
	@! grep -qs '^<<<<<<<' dvc.lock || { git checkout --quiet --ours dvc.lock 2>/dev/null; \
		! grep -q '^<<<<<<<' dvc.lock || git show HEAD:./dvc.lock >dvc.lock; ! grep -q '^<<<<<<<' dvc.lock || rm dvc.lock; \
		echo "dvc.lock had a merge conflict: ours is taken if git has it, and what is missing comes from DVC's cache." \
		"When the build has ended: git add params.yaml dvc.lock metrics" >&2; }
	@test ! -e dvc.lock || tail -n 4 dvc.lock | tr '\n' ';' | \
		grep -Eq '(md5: [0-9a-f]{32}; *size: [0-9]+|nfiles: [0-9]+);$$' || { git show HEAD:./dvc.lock >dvc.lock || \
		rm dvc.lock; echo "dvc.lock was cut off: git's is back; trainings and samples since come from DVC's cache" >&2; }

# side by side: mypy takes a minute of one core
test: $(BIN)/.installed
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

# more workers than a small machine has cores: tests also wait for servers
pytest: $(BIN)/.installed
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# two builds in two clean clones: the same bytes? VARIANT=dcgan chooses what is built in the quick budget
VARIANT ?= mlp
verify: $(BIN)/.installed
	$(BIN)/python -m tests.tools.verify $(VARIANT)

# train the same variants again and again under changing load: the same bytes?
soak: $(BIN)/.installed
	$(BIN)/python -m tests.tools.soak

# kill builds at random: do they end with the same bytes?
chaos: $(BIN)/.installed
	$(BIN)/python -m tests.tools.chaos

# images a second of training, beside the usual loop's and the machine's limit: tests/tools/benchmarks/results/training.md
bench: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.training

# the same on a GPU, with and without CUDA graphs (docs/gpu.md)
bench-gpu: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.gpu

# on a GPU: do CUDA graphs give the same bits?
check-gpu: $(BIN)/.installed
	$(BIN)/python -m tests.tools.check_gpu

# seconds until VARIANT reaches a FID to validation images
bench-time-to-fid: VARIANT = dcgan
bench-time-to-fid: FID ?= 10
bench-time-to-fid: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.time_to_fid $(VARIANT) --fid $(FID)

# training by batch size and channels, evaluation by samples: tests/tools/benchmarks/results/costs.md
bench-costs: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.costs

# what a stage takes beside its work, against a bare import of torch: tests/tools/benchmarks/results/stages.md
bench-stages: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.stages

# what DVC itself takes of a build, by the number of jobs
bench-jobs: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.jobs

# seconds and memory of the scores, beside other libraries'
bench-scores: $(BIN)/.installed
	$(BIN)/python -m tests.tools.benchmarks.scores

# known vulnerabilities of what requirements.lock installs; asks PyPI
audit: $(BIN)/.installed
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip

# DVC's experiments, one row each: FIDs and parameters in which they differ, without hashes of files and code. DVC cuts
# lines after 1,024 characters, so the other scores are left out, too
experiments: $(BIN)/.installed
	@$(ACTIVATED) dvc exp show --only-changed --drop 'Created|(data|models|stages|metrics/(variants|training))(/|$$)|params\.yaml|.*csv$$|.*\.(summary|paper)$$|(.*:)?(kid|precision|recall)$$'

ui: $(BIN)/.installed
	@$(BIN)/python -m stages.tracking.ui $(if $(PORT),--port $(PORT))

# a page to draw digits with: MLflow's champion, or VARIANT=dcgan; the variant that verify takes by default is not meant
serve: $(BIN)/.installed
	@$(BIN)/python -m stages.serve $(if $(filter command environment,$(origin VARIANT)),$(VARIANT)) \
		$(if $(PORT),--port $(PORT))

# data, models and DVC's run-cache to its remote, and from there (docs/servers.md)
push: $(BIN)/.installed
	@$(BIN)/python -m stages.share push

pull: $(BIN)/.installed
	@$(BIN)/python -m stages.share pull

$(BIN)/.installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	@echo "Installing the locked packages takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	touch $@

# Vega, for the page of `dvc plots show` without a network
.cache/vega.js: $(BIN)/.installed
	@mkdir -p .cache
	@$(BIN)/python -c 'import sys; from stages.reporting.html_page import vega_script; sys.stdout.buffer.write(vega_script().encode())' >$@.tmp && mv $@.tmp $@

# resolve the newest versions that pyproject.toml allows, for all platforms; needs the command uv
lock:
	uv pip compile pyproject.toml --group dev --extra cluster --extra servers --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

# deletes the environment, MLflow's runs, and .cache with the checkpoints that killed trainings resume from
clean:
	rm -rf .venv .cache mlflow.db mlartifacts
