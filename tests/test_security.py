"""What the pipeline reads cannot run code, and what its documentation starts is seen from this machine alone."""

from __future__ import annotations

import ast
import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import preprocess
from stages.config.errors import StageError
from stages.config.params import load
from stages.datasets.mnist import MNIST
from stages.evaluation import inception
from stages.evaluation.feature_network import load_classifier
from stages.evaluation.samples import read_labels, read_samples
from stages.sampling.loading import load_generator
from stages.storage.files import read_array, read_json, write_bytes, write_json
from stages.storage.images import Split, read_split, write_split
from stages.storage.paths import FETCHED
from stages.storage.weights import read_tensors
from stages.training.checkpoints import Checkpoints
from tests.conftest import ROOT

CPU = torch.device("cpu")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


class Malicious:
    """What makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def test_no_stage_unpickles() -> None:
    for file in (ROOT / "stages").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
                assert "load" not in names or node.module in ("safetensors.torch", "stages.config.params"), file
            if names != ["cpu_count", "joblib"]:  # which unpickles elsewhere
                assert not UNPICKLERS & {name.split(".")[0] for name in names}, file
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec"), f"{file}:{node.lineno}"
            if called.endswith("torch.load"):  # its own reader of plain tensors
                assert "weights_only=True" in ast.unparse(node), f"{file}:{node.lineno}"
            if called == "YAML":
                assert "typ='safe'" in ast.unparse(node), f"{file}:{node.lineno}"
            assert not called.endswith(("read_pickle", "unsafe_load", "full_load")), f"{file}:{node.lineno}"
            if called in ("np.load", "numpy.load"):
                assert "allow_pickle=False" in ast.unparse(node), f"{file}:{node.lineno}"


def pickled(kind: str) -> bytes:
    """The bytes of a malicious file: a plain pickle, an array of objects, or what torch.save makes."""
    path = Path("malicious")
    if kind == "array":
        np.save(path, np.array([Malicious()], dtype=object), allow_pickle=True)
        path = path.with_suffix(".npy")
    elif kind == "torch":
        torch.save({"weight": Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious()))
    content = path.read_bytes()
    path.unlink()
    return content


def plant_classifier(content: bytes) -> Path:
    shape = {"channels": 1, "height": 8, "width": 8, "base": 2, "features": 4, "classes": 3}
    write_json(Path("classifier/config.json"), {"network": shape})
    write_bytes(Path("classifier/weights.safetensors"), content)
    return Path("classifier")


def plant_model(content: bytes) -> Path:
    components = load(ROOT / "params.yaml").variants["mlp"].components()
    variant = {role: component.model_dump() for role, component in components.items()}
    config = {"variant": variant, "image_shape": [1, 8, 8], "classes": ["a", "b", "c"]}
    write_json(Path("model/config.json"), config)
    write_bytes(Path("model/generator.safetensors"), content)
    return Path("model")


def plant_split(content: bytes, victim: str) -> str:
    write_split("train", Split(np.zeros((3, 1, 8, 8), np.uint8), np.arange(3), ("a", "b", "c")))
    write_bytes(Path("data/processed/train") / victim, content)
    return "train"


def preprocess_planted(content: bytes, dataset: str, *names: str) -> None:
    for name in names:
        write_bytes(FETCHED / name, content)
    preprocess.main(load(ROOT / "params.yaml").model_copy(update={"dataset": dataset}))


def read_inception(content: bytes) -> None:
    """Weights whose hash is the one that is asked for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inception, "SHA256", hashlib.sha256(content).hexdigest())
        if inception.load_inception(str(plant(content).absolute()), CPU) is None:  # it has said why
            raise StageError("no weights")


def plant(content: bytes) -> Path:
    write_bytes(Path("planted"), content)
    return Path("planted")


READERS: dict[str, Callable[[bytes], object]] = {
    "inception": read_inception,
    "a generator": lambda content: load_generator(plant_model(content), CPU),
    "snapshots": lambda content: read_tensors(plant(content)),
    "the classifier": lambda content: load_classifier(plant_classifier(content), CPU),
    "training images": lambda content: read_split(plant_split(content, "images.npy")),
    "labels": lambda content: read_split(plant_split(content, "labels.npy")),
    "names of classes": lambda content: read_split(plant_split(content, "classes.json")),
    "samples": lambda content: read_samples(plant(content), (1, 8, 8)),
    "labels of samples": lambda content: read_labels(plant(content), 3, 3),
    "features": lambda content: read_array(plant(content)),
    "a description": lambda content: read_json(plant(content)),
    "raw data": lambda content: preprocess_planted(content, "mnist", *dict(MNIST.files)),
    "a picture": lambda content: preprocess_planted(content, "image_folder", "cats/1.png", "dogs/1.png"),
}


@pytest.mark.parametrize("kind", ["plain", "array", "torch"])
@pytest.mark.parametrize("what", READERS)
def test_a_pickle_in_the_place_of_a_file_is_refused_in_one_line(
    what: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError) as error:
        READERS[what](pickled(kind))
    assert "\n" not in str(error.value)
    assert not Path("owned").exists()
    pickle.loads(pickle.dumps(Malicious()))  # noqa: S301 - the trap does work
    assert Path("owned").exists()


@pytest.mark.parametrize("kind", ["plain", "array", "torch"])
def test_a_pickle_in_the_place_of_a_checkpoint_is_passed_over(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints, content = Checkpoints("x", "key", 30), pickled(kind)
    name = f"{7:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"  # its hash is right
    write_bytes(checkpoints.folder / name, content)
    assert checkpoints.latest() is None
    assert "passed over" in capsys.readouterr().err
    assert not Path("owned").exists()


def test_every_server_that_is_documented_is_seen_from_this_machine_alone() -> None:
    files = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").glob("*.md")]
    lines = [line for file in files for line in file.read_text().splitlines()]
    servers = [line for line in lines if re.search(r"mlflow (ui|server|models serve)", line)]
    assert len(servers) >= 2
    for line in servers:
        assert "--host 127.0.0.1" in line
