"""Generators: samples by seed and label, and what is written of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.config.errors import StageError
from stages.contracts.generator import Picture, labels_like, to_pixels, together
from stages.storage.images import Split
from tests.contracts.generators import Plain, labels

TEST = Split(np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int64), ("a", "b", "c"))


def test_samples_are_those_of_their_seed_whatever_came_before() -> None:
    generator = Plain().train()
    state = torch.get_rng_state()
    first = generator.sample(labels(6), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert generator.training
    torch.manual_seed(5)
    assert torch.equal(generator.sample(labels(6), seed=1), first)
    assert not torch.equal(generator.sample(labels(6), seed=2), first)
    torch.manual_seed(1)
    assert torch.equal(first[:, 0].flatten(1)[:, :3], torch.randn(6, 3) / 9)


def test_labels_are_drawn_as_the_data_have_them_and_codes_equally() -> None:
    trained = torch.tensor([0] * 90 + [1] * 6 + [2] * 4)
    drawn = labels_like(Plain("class"), trained, 50)
    assert torch.bincount(drawn).tolist() == [45, 3, 2]
    coded = Plain("code")
    coded.categories = 7
    assert labels_like(coded, trained, 9).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_the_picture_of_samples_shows_each_label_in_turn() -> None:
    asked = np.array([0, 0, 1, 0, 2, 0, 1])
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 2, 2), np.uint8)
    for arrays, expected in (
        ({"images": images, "labels": asked}, [0, 2, 4, 1, 6, 3, 5]),
        ({"images": images}, list(range(7))),
    ):
        shown = Plain().draw_pictures(arrays, labels(10), TEST, seed=0, truncation=1.0)["samples"]
        assert shown.images[:, 0, 0, 0].tolist() == expected


def test_samples_do_not_depend_on_the_size_of_a_batch() -> None:
    generator = Plain("class")
    assert torch.equal(generator.sample(labels(7), seed=1, batch_size=3), generator.sample(labels(7), seed=1))
    assert generator.calls == {3: 2, 1: 1, 7: 1}


def test_fewer_large_images_are_drawn_at_once() -> None:
    sizes = {size: together(torch.empty(1, 3, size, size)) for size in (8, 28, 56, 256, 4096)}
    assert sizes == {8: 500, 28: 500, 56: 125, 256: 5, 4096: 1}


def test_truncation_draws_latents_towards_their_mean() -> None:
    generator = Plain()
    whole, half, none = (generator.sample(labels(6), seed=1, truncation=share) for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, whole / 2)
    assert not none.any()


def test_a_path_leads_from_one_latent_to_another_and_keeps_their_length() -> None:
    class Wide(Plain):
        latent_size = 4000

        def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
            return latent / 9

    generator, state = Wide().train(), torch.get_rng_state()
    paths = generator.interpolate(labels(3), 5, seed=4).unflatten(0, (3, 5)) * 9
    assert torch.equal(torch.get_rng_state(), state)
    assert generator.training
    torch.manual_seed(4)
    starts, ends = torch.randn(3, 4000), torch.randn(3, 4000)
    torch.testing.assert_close(paths[:, 0], starts)
    torch.testing.assert_close(paths[:, -1], ends, atol=1e-5, rtol=0)
    torch.testing.assert_close(paths[:, 2], (starts + ends) / 2**0.5)
    lengths = paths.norm(dim=2) / 4000**0.5
    assert (lengths - 1).abs().max() < 0.05  # half-way along a straight line it would be 0.71


@pytest.mark.parametrize(("meaning", "file"), [("ignored", None), ("class", "labels"), ("code", "codes")])
def test_what_is_drawn_names_labels_where_they_count(meaning: Any, file: str | None) -> None:
    generator = Plain(meaning)
    arrays = generator.draw(labels(120), TEST, first=0, seed=1, truncation=0.5)
    pictures = generator.draw_pictures(arrays, labels(120), TEST, seed=1, truncation=0.5)
    assert set(arrays) == {"images"} | ({file} if file else set())
    rows = generator.sample_rows(range(10**7, 10**7 + 120), labels(120), truncation=0.5)
    assert np.array_equal(arrays["images"], to_pixels(rows))
    assert file is None or arrays[file].tolist() == labels(120).tolist()
    assert list(pictures) == ["samples", "interpolations"]
    picture = pictures["samples"]
    assert picture.columns == 10
    assert np.array_equal(picture.images, arrays["images"][:100])


@pytest.mark.parametrize("meaning", ["ignored", "class"])
def test_a_sample_does_not_depend_on_which_others_are_drawn(meaning: Any) -> None:
    generator = Plain(meaning)
    whole = generator.draw(labels(120), TEST, first=0, seed=3, truncation=1.0)
    parts = [
        generator.draw(labels(120)[start:stop], TEST, first=start, seed=3, truncation=1.0)
        for start, stop in ((0, 50), (50, 120), (120, 120))
    ]
    assert len(np.unique(whole["images"].reshape(120, -1), axis=0)) == 120
    for name, array in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), array)


def test_pictures_of_a_kind_of_its_own_are_drawn_too() -> None:
    class Pictured(Plain):
        def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
            return {"sweep": Picture(np.full((4, 1, 2, 2), seed * truncation, np.uint8), 2)}

    generator = Pictured()
    arrays = generator.draw(labels(3), TEST, first=0, seed=9, truncation=1.0)
    pictures = generator.draw_pictures(arrays, labels(3), TEST, seed=9, truncation=1.0)
    assert list(pictures) == ["samples", "sweep"]
    assert pictures["sweep"].images.max() == 9


def test_a_label_is_a_class_a_code_or_nothing() -> None:
    coded = Plain("code")
    coded.categories = 12
    assert Plain().label_names("abc") == []
    assert Plain("class").label_names("abc") == ["a", "b", "c"]
    assert coded.label_names("abc") == [str(code) for code in range(12)]


def test_rows_are_drawn_in_batches_and_leave_the_module_as_it_was() -> None:
    generator, state = Plain("class").train(), torch.get_rng_state()
    images = generator.sample_rows(range(70), labels(70), truncation=0.5)
    assert generator.calls == {32: 3}
    assert generator.training
    assert torch.equal(torch.get_rng_state(), state)
    alone = [generator.sample(labels(70)[row : row + 1], seed=row, truncation=0.5) for row in range(70)]
    assert torch.equal(images, torch.cat(alone))


def test_latents_can_take_the_place_of_those_of_the_seeds() -> None:
    latents = torch.tensor([[0.9, 1.8, 2.7], [0.0, 0.9, 0.0]])
    images = Plain().sample_rows([4, 4], labels(2), truncation=0.5, latents=latents)
    torch.testing.assert_close(images[:, 0].flatten(1)[:, :3], latents / 18)


def test_what_is_not_finite_is_refused() -> None:
    assert to_pixels(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 128, 255]
    with pytest.raises(StageError, match="not finite"):
        to_pixels(torch.tensor([0.0, torch.nan]))
