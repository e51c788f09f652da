"""The parallel build: what it refuses before DVC removes anything, and how many jobs it starts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages import build
from stages.build import find_devices, find_diverged, refuse_without_git
from stages.config.command import OUTPUTS, refuse_links
from stages.config.errors import StageError
from stages.config.params import load
from stages.storage.files import write_json
from tests.conftest import ROOT, clone_of_one_variant, commit_all, run, set_parameters
from tests.datasets.pictures import write_pictures


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With params.yaml in its one commit."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    commit_all(tmp_path, "start")
    return tmp_path


def test_a_refusal_is_one_line_and_leaves_everything_alone(repository: Path) -> None:
    mine = Path("models/mlp/notes.txt")
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    ended = run("python", "-m", "stages.build", cwd=repository, check=False, PYTHONPATH=str(ROOT))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"error: DVC would remove files that are not outputs; move them elsewhere: {mine}\n"
    assert mine.read_text() == "mine"


def test_a_folder_of_images_that_changed_is_fetched_again_or_the_build_ends(tmp_path: Path) -> None:
    clone = clone_of_one_variant(tmp_path / "reprogan")
    set_parameters(clone, {"dataset": "image_folder", "fetch.folder": "mine", "preprocess.image_size": 16})
    write_pictures(clone / "mine", cats=6, dogs=6)
    fetch = "from stages.build import build; import stages.build as b; b.build_variants = lambda *_: (False, []); "
    command = ("python", "-c", f"{fetch} print(build([], 1, [], is_stale=True))")
    assert run(*command, cwd=clone).stdout.splitlines()[-1] == "['reference']"  # as far as this test goes
    digests = {path.name: path.read_bytes() for path in (clone / "data/fetched/cats").iterdir()}
    (clone / "mine/cats/0.png").unlink()
    write_pictures(clone / "mine", owls=7)
    (clone / "mine/cats/7.png").write_bytes(digests["1.png"])
    run(*command, cwd=clone)
    assert sorted(path.name for path in (clone / "data/fetched").iterdir()) == ["cats", "dogs", "owls"]
    assert sorted(path.name for path in (clone / "data/fetched/cats").iterdir()) == [
        f"{i}.png" for i in (1, 2, 3, 4, 5, 7)
    ]
    classes = json.loads((clone / "data/processed/train/classes.json").read_text())["classes"]
    assert classes == ["cats", "dogs", "owls"]
    (clone / "mine/cats/8.png").write_bytes(b"no picture")
    output = run(*command, cwd=clone).stdout
    assert "mine/cats/8.png" in output
    assert output.splitlines()[-1] == "['fetch']"


def test_an_archive_without_git_is_told_from_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StageError, match=r"^this folder has no git commit.* git init && git add --all && git commit"):
        refuse_without_git()


@pytest.mark.parametrize("folder", OUTPUTS)
def test_a_folder_of_outputs_that_is_a_link_is_refused(repository: Path, folder: str) -> None:
    refuse_links()
    elsewhere = repository.parent / f"large-{Path(folder).name}"
    elsewhere.mkdir()
    Path(folder).parent.mkdir(exist_ok=True)
    Path(folder).symlink_to(elsewhere)
    with pytest.raises(StageError, match=rf"^{folder} is a link: .*dvc cache dir"):
        refuse_links()
    for module in ("build", "fetch"):
        ended = run("python", "-m", f"stages.{module}", cwd=repository, check=False, PYTHONPATH=str(ROOT))
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"error: {folder} is a link: ")
        assert ended.stderr.count("\n") == 1


def test_no_output_has_a_parent_that_may_be_a_link() -> None:
    """DVC accepts an output that is a link, but not an output in a folder that is a link."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    stages = [stage.get("do", stage) for stage in stages]
    named = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    outputs = [Path(out if isinstance(out, str) else next(iter(out))) for out in named]
    parents = {str(parent) for out in outputs for parent in out.parents if "$" not in str(parent)}
    assert parents - {"."} == set(OUTPUTS)


def test_cards_are_counted_as_cuda_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load(ROOT / "params.yaml")
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf 'GPU 0: H100 (UUID: GPU-1)\\n  MIG 1g\\nGPU 1: H100 (UUID: GPU-2)\\n'\n")
    smi.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_devices(params) == []
    monkeypatch.setattr(shutil, "which", lambda name: str(smi))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_devices(params) == ["0", "1"]
    assert find_devices(params.model_copy(update={"device": "cpu"})) == []
    for part in ("training", "sample"):
        processes = {part: getattr(params, part).model_copy(update={"processes": 2})}
        assert find_devices(params.model_copy(update=processes)) == ["0,1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-2")
    assert find_devices(params) == ["3", "GPU-2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,-1,0")
    assert find_devices(params) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_devices(params) == []


def test_variants_that_diverged_are_what_failed(repository: Path) -> None:
    """The report did not fail: it names them. With several seeds, one finished training is enough."""
    for name, models in {"mlp": [], "dcgan": [{"seed": 0}]}.items():
        write_json(Path(f"metrics/variants/{name}/scores.json"), {"models": models, "failures": [f"{name} diverged"]})
    assert find_diverged(["conv", "dcgan", "mlp"]) == ["mlp"]


def test_scores_of_an_earlier_build_are_not_those_of_a_variant_that_failed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlp", "dcgan"):
        write_json(repository / f"metrics/variants/{name}/scores.json", {"models": [{}], "failures": []})
        write_json(repository / f"metrics/{name}.json", {})
    monkeypatch.setattr(build, "find_changed", lambda: None)
    monkeypatch.setattr(build, "repro", lambda *_, **__: build.Built(succeeded=True))
    monkeypatch.setattr(build, "build_variants", lambda *_: (True, ["mlp"]))
    assert build.build(["mlp", "dcgan"], 1, []) == ["mlp"]
    assert [path.parent.name for path in repository.glob("metrics/variants/*/scores.json")] == ["dcgan"]
    assert [path.stem for path in repository.glob("metrics/*.json")] == ["dcgan"]


def test_a_job_sees_its_own_cards_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    monkeypatch.setattr(build, "DVC", (sys.executable, "-c", shown))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    build.repro(device="2,3")
    build.repro()
    assert capsys.readouterr().out == "2,3\nNone\n"
