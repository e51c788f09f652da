"""A trained generator: from its folder as it ended, or as it was at a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from stages.config.errors import StageError
from stages.sampling.loading import load_generator
from stages.sampling.snapshots import snapshot_weights
from stages.storage.files import read_json, write_bytes, write_json
from stages.storage.paths import CONFIG, GENERATOR, SNAPSHOTS
from stages.storage.weights import prefixed, weights_to_bytes
from tests.builders import build_gan, components

SHAPE = (1, 12, 12)
CPU = torch.device("cpu")
LABELS = torch.arange(6) % 4


def plant(folder: Path, name: str, with_weights: bool = True) -> Any:
    """A model's folder; the generator of its last snapshot, after 16 images: after 8 all weights were 0."""
    parts = {role: component.model_dump() for role, component in components(name).items()}
    write_json(folder / CONFIG, {"variant": parts, "image_shape": list(SHAPE), "classes": ["a", "b", "c", "d"]})
    generator = build_gan(name, SHAPE, 4).generator
    write_bytes(folder / GENERATOR, weights_to_bytes(generator))
    stacked = {key: torch.stack([value * 0, value]) for key, value in generator.state_dict().items()}
    snapshots = {"images_seen": torch.tensor([8, 16]), "samples": torch.zeros(2, 5, *SHAPE, dtype=torch.uint8)}
    write_bytes(folder / SNAPSHOTS, save(snapshots | (prefixed("generator", stacked) if with_weights else {})))
    return generator


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["cgan", "infogan", "progan"])
def test_the_generator_is_the_one_that_was_trained(name: str, tmp_path: Path) -> None:
    trained = plant(tmp_path, name)
    found = load_generator(tmp_path, CPU)
    assert not found.training
    assert same(found.state_dict(), trained.state_dict())
    assert found.label_meaning == trained.label_meaning
    torch.testing.assert_close(found.sample(LABELS, seed=0), trained.sample(LABELS, seed=0))


@pytest.mark.parametrize(("name", "is_last"), [("dcgan", True), ("stylegan", False), ("cyclegan", False)])
def test_weights_have_the_memory_format_of_training(name: str, is_last: bool, tmp_path: Path) -> None:
    plant(tmp_path, name)
    kernels = [one for one in load_generator(tmp_path, CPU).parameters() if one.dim() == 4 and min(one.shape) > 1]
    assert kernels
    assert all(one.is_contiguous(memory_format=torch.channels_last) == is_last for one in kernels)


def test_a_snapshots_generator_has_its_weights(tmp_path: Path) -> None:
    trained = plant(tmp_path, "cgan")
    assert same(load_generator(tmp_path, CPU, 16).state_dict(), trained.state_dict())
    assert not any(value.any() for value in load_generator(tmp_path, CPU, 8).state_dict().values())
    assert same(load(snapshot_weights(tmp_path, 16)), trained.state_dict())


def test_a_folder_is_enough_and_may_be_text(tmp_path: Path) -> None:
    trained = plant(tmp_path, "cgan")
    images = load_generator(str(tmp_path)).sample(LABELS, seed=1)
    assert (images.shape, images.dtype, images.device.type) == ((6, *SHAPE), torch.float32, "cpu")
    torch.testing.assert_close(images, trained.sample(LABELS, seed=1))


@pytest.mark.parametrize(("with_weights", "images"), [(True, 17), (False, 16)])
def test_a_snapshot_that_was_not_kept_is_refused(with_weights: bool, images: int, tmp_path: Path) -> None:
    plant(tmp_path, "mlp", with_weights)
    with pytest.raises(StageError, match=rf"snapshots\.safetensors: holds no weights of a snapshot after {images}"):
        load_generator(tmp_path, CPU, images)


def test_a_model_whose_files_do_not_fit_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, "mlp")
    config = read_json(tmp_path / CONFIG)
    write_json(tmp_path / CONFIG, config | {"image_shape": [3, 12, 12]})
    with pytest.raises(StageError, match=r"generator\.safetensors: does not fit its config\.json"):
        load_generator(tmp_path, CPU)
    config["variant"]["network"]["name"] = "pml"
    write_json(tmp_path / CONFIG, config)
    with pytest.raises(StageError, match=r"unknown network 'pml' \(did you mean 'mlp'\?\)"):
        load_generator(tmp_path, CPU)
