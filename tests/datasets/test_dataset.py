"""The contract: data sets are found by their file's name, a part is held out, classes are checked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stages.config import registry
from stages.config.errors import ParameterError, StageError
from stages.config.registry import choices
from stages.datasets.dataset import Dataset, check_classes, find_dataset, hold_out, hold_out_by_class
from stages.storage.images import Split

DATASETS = ["fashion_mnist", "image_folder", "kmnist", "mnist", "qmnist", "stacked_mnist"]


def split_of(labels: list[int], *classes: str) -> Split:
    return Split(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], np.array(labels), classes)


def test_every_file_but_the_shared_ones_is_a_data_set() -> None:
    assert choices("datasets", Dataset) == DATASETS
    for name in DATASETS:
        assert type(find_dataset(name)).__module__ == f"stages.datasets.{name}"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("fashion-mnist", " (did you mean 'fashion_mnist'?)"), ("idx", ""), ("dataset", ""), ("../x", "")],
)
def test_an_unknown_name_is_told_with_all_that_are_known(name: str, hint: str) -> None:
    with pytest.raises(ParameterError) as error:
        find_dataset(name)
    listed = ", ".join(DATASETS)
    assert str(error.value) == f"params.yaml: dataset: unknown dataset {name!r}{hint}; expected one of: {listed}"


def test_a_broken_file_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/broken.py").touch()
    monkeypatch.setattr(registry, "CODE", tmp_path)
    monkeypatch.setattr(registry, "import_module", lambda name: SimpleNamespace()[name])  # type: ignore[index]
    with pytest.raises(StageError, match=r"^stages/datasets/broken\.py: [^\n]+$"):
        find_dataset("broken")


def test_a_part_held_out_is_drawn_at_random_in_the_order_of_the_whole() -> None:
    whole = split_of([0, 1] * 10, "a", "b")
    rest, held_out = hold_out(whole, 6, "validation", np.random.default_rng(5))
    drawn = np.random.default_rng(5).permutation(20)
    assert held_out.images.flatten().tolist() == sorted(drawn[:6])
    assert rest.images.flatten().tolist() == sorted(drawn[6:])
    for part in (rest, held_out):
        assert np.array_equal(part.labels, part.images.flatten() % 2)
        assert part.classes == ("a", "b")


def test_one_image_at_least_is_left_to_train_on() -> None:
    whole = split_of([0] * 5, "a")
    assert len(hold_out(whole, 4, "test", np.random.default_rng(0))[0].images) == 1
    with pytest.raises(
        ParameterError, match=r"^params\.yaml: preprocess\.test_images: 5 is not allowed: there are 5 im"
    ):
        hold_out(whole, 5, "test", np.random.default_rng(0))


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "image_folder"])
def test_published_data_is_held_out_regardless_of_classes(name: str) -> None:
    whole = split_of([0] * 17 + [1] * 3, "a", "b")
    parts = find_dataset(name).hold_out_validation(whole, 6, np.random.default_rng(5))
    expected = hold_out(whole, 6, "validation", np.random.default_rng(5))
    for part, other in zip(parts, expected, strict=True):
        assert part.images.tobytes() == other.images.tobytes()
        assert part.labels.tobytes() == other.labels.tobytes()
    with pytest.raises(ParameterError, match=r"^params\.yaml: preprocess\.validation_images: 20 is not allowed"):
        find_dataset(name).hold_out_validation(whole, 20, np.random.default_rng(5))


@pytest.mark.parametrize("sizes", [[100], [50, 50], [90, 10], [33, 33, 34], [150, 7, 43, 6], [6] * 30, [4, 4]])
@pytest.mark.parametrize("count", [1, 7, 20, 10**9])
def test_a_part_by_class_has_a_like_share_of_each(sizes: list[int], count: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    whole = split_of(np.random.default_rng(1).permutation(labels).tolist(), *map(str, range(len(sizes))))
    rest, part = hold_out_by_class(whole, count, np.random.default_rng(5))
    share = min(count / sum(sizes), 0.2)
    for label, size in enumerate(sizes):
        held, left = (int((split.labels == label).sum()) for split in (part, rest))
        assert held + left == size
        assert left >= 2
        assert held == 2 or abs(held - share * size) < 1
        assert held >= 2
    if min(sizes) * share >= 2:  # no class is rounded up to two
        assert len(part.images) == int(share * sum(sizes))
    for split in (rest, part):
        places = split.images.flatten().tolist()
        assert places == sorted(set(places))  # in the order of the whole
        assert np.array_equal(split.labels, whole.labels[places])
        assert split.classes == whole.classes


def test_a_part_by_class_is_drawn_at_random() -> None:
    """Of 20 images of each class, 4 are drawn: each as often as others, in 500 draws."""
    whole = split_of([0, 1] * 20, "a", "b")
    drawn = [hold_out_by_class(whole, 8, np.random.default_rng(seed))[1].images.flatten() for seed in range(500)]
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    assert counts.sum() == 4000
    assert np.abs(counts - 100).max() < 45  # five standard deviations
    again = hold_out_by_class(whole, 8, np.random.default_rng(3))[1]
    assert np.array_equal(again.images.flatten(), drawn[3])


def test_names_may_hold_what_a_person_would_write() -> None:
    check_classes(split_of([0, 2], "T-shirt/top", "größer als <b>", "猫"))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "\udcff", "twice"])
def test_names_are_printable_and_unique(name: str) -> None:
    with pytest.raises(StageError) as error:
        check_classes(split_of([0], "twice", name, "other"))
    assert str(error.value).isprintable()
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("label", [-1, 2])
def test_every_label_has_a_name(label: int) -> None:
    with pytest.raises(StageError, match=f"label {label}: expected the index of one of 2 classes"):
        check_classes(split_of([0, 1, label], "a", "b"))
