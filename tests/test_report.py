"""The report ranks what params.yaml lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.report import find_faults, refuse_leftovers, summarise, write_page
from stages.settings.errors import StageError
from stages.settings.params import load


def evaluation(fid: float, margin: float) -> dict[str, Any]:
    return {
        "scores": {
            "fid": fid,
            "fid_margin": margin,
            "sample_count": 5,
            "class_share": {"0": 0.9, "1": 0.1},
            "smallest_class_share": 0.1,
        },
        "models": [{"run": {"parameters": {"generator": 3, "discriminator": 4}}}],
    }


def test_the_lowest_fid_comes_first_and_only_intervals_apart_make_a_rank() -> None:
    fids = {"a": (3.0, 0.2), "b": (1.0, 0.1), "c": (3.1, 0.01), "d": (3.15, 0.02), "e": (9.0, 1.0)}
    summary = summarise({name: evaluation(*given) for name, given in fids.items()})
    assert summary["variant"].tolist() == ["b", "a", "c", "d", "e"]
    assert summary["rank"].tolist() == [1, 2, 2, 3, 5]  # d meets a, but b and c are better for certain
    assert summary["smallest_class_share"].tolist() == [0.1] * 5
    assert "class_share" not in summary
    translator = evaluation(0.5, 0.1)
    translator["scores"]["cycle_l1"] = 0.1
    summary = summarise({"t": translator} | {name: evaluation(*given) for name, given in fids.items()})
    assert summary["variant"].tolist() == ["t", "b", "a", "c", "d", "e"]
    assert summary["rank"].isna().tolist() == [True] + [False] * 5  # it starts from test images, and makes nobody worse
    assert summary["rank"].tolist()[1:] == [1, 2, 2, 3, 5]
    assert list(summary)[:4] == ["rank", "variant", "fid", "fid_margin"]


def test_folders_of_removed_variants_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("samples/a", "samples/b", "scores/a"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    refuse_leftovers({"a", "b"})
    with pytest.raises(StageError, match=r"rm -r data/samples/b$"):
        refuse_leftovers({"a"})


SCORES = {
    "fid": 1.234,
    "fid_margin": 0.06,
    "fid_infinity": 1.1,
    "kid": 0.0123,
    "kid_margin": 0.004,
    "duplicates": 0.01,
    "precision": 0.91,
    "precision_margin": 0.01,
    "recall": 0.82,
    "recall_margin": 0.02,
    "density": 1.03,
    "density_margin": 0.03,
    "coverage": 0.74,
    "coverage_margin": 0.04,
    "inception_score": 9.0,
    "inception_score_margin": 0.1,
    "smallest_class_share": 0.1,
    "class_kl": 0.0123,
}


def model(receptive_field: list[int], shares: dict[str, float], **scores: float) -> dict[str, Any]:
    return {
        "scores": {
            **SCORES,
            **{f"{name}_real": value + 0.03 for name, value in SCORES.items()},
            "sample_count": 2500,
            "class_share": shares,
            "class_fid": shares,
            "classes_lost": 0,
            "smallest_class_share": min(shares.values()),
            "copies_pixels": 0.01,
            "copies_features": 0.01,
            **scores,
        },
        "training": {"gradient_left": 0.5, "fid_rises": 1},
        "run": {
            "parameters": {"generator": 1234567, "discriminator": 4},
            "image_shape": [1, 28, 28],
            "receptive_field": receptive_field,
            "seed": 7,
        },
    }


def test_the_page_has_a_row_a_variant_with_its_texts_numbers_and_picture() -> None:
    params = load()
    even = {str(digit): 0.1 for digit in range(10)}
    models = {name: model([28, 28], even) for name in params.variants}
    models["cgan"]["scores"]["label_accuracy"] = 0.9876
    evaluations = {name: {"scores": one["scores"], "models": [one]} for name, one in models.items()}
    lines = write_page(params, evaluations).splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    scores = (
        "1.26 ± 0.09 | 1.13 | 0.042 ± 0.034 | 0.94 ± 0.04 / 0.85 ± 0.05 | 1.06 ± 0.06 / 0.77 ± 0.07 "
        "| 9.03 ± 0.13 | 13.0% / 0.042"
    )
    real = f"| real images | | | | {scores} | | |"
    assert lines.index(real) == lines.index(rows[0]) - 1
    assert [row.split("`")[1] for row in rows] == list(params.variants)
    for (name, variant), row in zip(params.variants.items(), rows, strict=True):
        assert row.count(" | ") == 12, "a cell holds a separator"
        assert variant.known_for in row
        assert variant.paper in row
        assert "1,234,567 / 4" in row
        assert "| 1.23 ± 0.06 | 1.10 | 0.012 ± 0.004 | 0.91 ± 0.01 / 0.82 ± 0.02 | 1.03 ± 0.03 / 0.74 ± 0.04 |" in row
        assert "| 9.00 ± 0.10 | 10.0% / 0.012 |" in row
        assert f'src="../{name}/pictures/samples.png"' in row
        assert f'href="../{name}/closest.png"' in row
        assert ("asked digit 0.988" in row) == (name == "cgan")
    assert "What stands out" not in "\n".join(lines)
    assert "Scores are those of 2,500 samples" in "\n".join(lines)


def test_a_discriminator_that_sees_scraps_is_named_with_its_numbers() -> None:
    even = {str(digit): 0.1 for digit in range(10)}
    (fault,) = find_faults(model([5, 5], even))
    assert "sees 5 × 5 of 28 × 28 pixels (3% of the image)" in fault
    assert find_faults(model([28, 28], even)) == []


@pytest.mark.parametrize(
    ("scores", "evidence"),
    [
        ({"recall": 0.05}, "recall 0.05 (real images 0.85), coverage 0.74 (real images 0.77), duplicates 1.0%"),
        ({"duplicates": 0.5}, "duplicates 50.0% (real images 4.0%)"),
        ({"classes_lost": 2}, "hardly any samples of 2 classes: 3 (0.1%), 9 (0.2%)."),
    ],
)
def test_mode_collapse_is_named_with_its_evidence(scores: dict[str, float], evidence: str) -> None:
    shares = {str(digit): 0.12 for digit in range(10)} | {"3": 0.001, "9": 0.002}
    (fault,) = find_faults(model([28, 28], shares, **scores))
    assert fault.startswith("mode collapse: recall ")
    assert evidence in fault
    assert find_faults(model([28, 28], shares, coverage=0.05)) == []  # malformed, not missing


def test_copies_of_training_images_are_named() -> None:
    (fault,) = find_faults(model([28, 28], {"0": 1.0}, copies_pixels=0.37))
    assert "37.0% of its samples" in fault


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"gradient_left": 0.0004, "fid_rises": 0}, "discriminator has won: the generator's gradient fell to 0.0004"),
        ({"gradient_left": 0.4, "fid_rises": 3}, "it oscillates: FID rose by a quarter or more 3 times"),
    ],
)
def test_a_training_gone_wrong_is_named(training: dict[str, float], words: str) -> None:
    (fault,) = find_faults(model([28, 28], {"0": 1.0}) | {"training": training})
    assert words in fault


def test_a_translator_of_test_images_is_said_not_to_compare() -> None:
    even = {str(digit): 0.1 for digit in range(10)}
    (fault,) = find_faults(model([28, 28], even, cycle_l1=0.1))
    assert "do not rank it" in fault


def test_several_seeds_make_one_row_and_each_its_faults() -> None:
    params = load()
    params = params.model_copy(update={"variants": {"mlp": params.variants["mlp"]}})
    good, bad = model([5, 5], {"0": 1.0}), model([5, 5], {"0": 1.0}, copies_features=0.37)
    bad["run"]["seed"] = 9
    evaluations = {"mlp": {"scores": good["scores"], "models": [good, bad]}}
    lines = write_page(params, evaluations).splitlines()
    (row,) = [line for line in lines if line.startswith("| `mlp`")]
    assert "mean of 2 seeds" in row
    of_both, of_one = [line for line in lines if line.startswith("- ")]
    assert of_both.startswith("- `mlp`: a logit of its discriminator sees 5 × 5")
    assert of_one.startswith("- `mlp` (seed 9): 37.0% of its samples")
    assert summarise(evaluations)["seeds"].tolist() == [2]
