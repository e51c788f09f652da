"""Faults are named with the numbers that show them; a sound model has none."""

import pytest

from stages.reporting.diagnosis import describe_faults, find_faults
from tests.reporting.records import EVEN, model


def test_a_sound_model_has_no_faults() -> None:
    assert list(find_faults(model())) == []


def test_a_discriminator_with_a_small_receptive_field_is_named() -> None:
    blind = model()
    blind["run"]["receptive_field"] = [5, 5]
    (fault,) = find_faults(blind)
    assert "sees 5 × 5 of 28 × 28 pixels (3% of the image)" in fault


@pytest.mark.parametrize(
    ("scores", "evidence"),
    [
        ({"recall": 0.05}, "recall 0.05 (real images 0.85), coverage 0.74 (real images 0.77), duplicates 1.0%"),
        ({"duplicates": 0.5}, "duplicates 50.0% (real images 4.0%)"),
        ({"classes_lost": 2}, "hardly any samples of 2 classes: Sandal (0.2%), Coat (0.1%)."),
        ({"classes_lost": 1}, "hardly any samples of 1 class: Coat (0.1%)."),
    ],
)
def test_mode_collapse_is_named_with_its_evidence(scores: dict[str, float], evidence: str) -> None:
    shares = EVEN | {"Sandal": 0.002, "Coat": 0.001}  # in the order of the labels, which is not that of the names
    collapsed = model(shares, **scores)
    collapsed["sample_count"] = 10_000
    if scores == {"classes_lost": 1}:  # rare among real images, too
        collapsed["scores"]["class_share"]["real"]["Sandal"] = 0.002
    (fault,) = find_faults(collapsed)
    assert fault.startswith("mode collapse: recall ")
    assert evidence in fault
    assert list(find_faults(model(shares, coverage=0.05))) == []  # malformed, not missing


def test_malformed_samples_are_no_mode_collapse_unless_they_repeat() -> None:
    few = {"recall": 0.02, "classes_lost": 5}
    (fault,) = find_faults(model(EVEN, precision=0.31, **few))
    assert fault == "most of its samples look like no real image: precision 0.31 (real images 0.94)."
    (fault,) = find_faults(model(EVEN, precision=0.5, **few))  # 0.47 is half of 0.94
    assert fault.startswith("mode collapse: ")
    (fault,) = find_faults(model(EVEN, precision=0.31, duplicates=0.5, **few))
    assert fault.startswith("mode collapse: ")


def test_one_pair_of_equal_samples_is_no_collapse_where_few_real_images_repeat_never() -> None:
    few = model(duplicates=0.05)
    few["scores"]["duplicates"]["real"] = 0.0
    assert list(find_faults(few)) == []
    few["scores"]["duplicates"]["value"] = 0.11
    assert "duplicates 11.0% (real images 0.0%)" in next(find_faults(few))


def test_classes_that_are_too_many_to_list_are_counted() -> None:
    collapsed = model(classes_lost=990)
    del collapsed["scores"]["class_share"]
    (fault,) = find_faults(collapsed)
    assert fault.endswith("hardly any samples of 990 classes.")


@pytest.mark.parametrize("space", ["pixels", "features"])
def test_copies_of_training_images_are_named(space: str) -> None:
    score = f"copies_{space}"
    (fault,) = find_faults(model(EVEN, **{score: 0.37}))
    assert fault == "37.0% of its samples are likely copies of training images. Expect 1%."
    assert list(find_faults(model(EVEN, **{score: 0.1}))) == []


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (
            {"gradient_left": 0.0004, "fid_rises": 0},
            "discriminator has won: the generator's gradient norm fell to 0.0004",
        ),
        ({"gradient_left": 0.4, "fid_rises": 3}, "it oscillates: FID rose by a quarter or more 3 times"),
    ],
)
def test_a_training_gone_wrong_is_named(training: dict[str, float], words: str) -> None:
    (fault,) = find_faults(model() | {"training": training})
    assert words in fault


def test_a_translator_is_said_to_have_no_rank() -> None:
    translator = model()
    translator["run"]["starts_from"] = "test_images"
    (fault,) = find_faults(translator)
    assert fault.endswith("so it has no rank.")


def test_faults_of_all_seeds_are_told_once_and_others_with_their_seed() -> None:
    good, bad = model(), model(copies_features=0.37)
    for of_seed in (good, bad):
        of_seed["run"]["receptive_field"] = [5, 5]
    bad["run"]["seed"] = 9
    of_both, of_one = describe_faults([good, bad])
    assert of_both.startswith("each logit of its discriminator sees 5 × 5")
    assert of_one.startswith("seed 9: 37.0% of its samples")
    assert describe_faults([bad, good]) == [of_both, of_one]


def test_labels_of_one_class_are_said_to_teach_nothing() -> None:
    labelled = model({"cats": 1.0}, classification_accuracy=1.0)
    (fault,) = find_faults(labelled)
    assert fault == "it learns labels, and the data have one class: every accuracy is 100 %."
    assert list(find_faults(model({"cats": 1.0}))) == []
    assert list(find_faults(model({"cats": 0.5, "dogs": 0.5}, classification_accuracy=1.0))) == []
    many = model(classification_accuracy=0.5)
    del many["scores"]["class_share"]  # more classes than can be listed
    assert list(find_faults(many)) == []
