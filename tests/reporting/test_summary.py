"""The summary ranks by intervals of FID, and holds all numbers."""

from typing import Any

from stages.reporting.summary import find_champion, summarize
from tests.reporting.records import model, record, result

FIDS = {"a": (3.0, 0.2), "b": (1.0, 0.1), "c": (3.1, 0.01), "d": (3.15, 0.02), "e": (3.5, 0.4), "f": (9.0, 1.0)}


def with_fid(value: float, ci95: float) -> dict[str, Any]:
    made = model()
    made["scores"]["fid"] = record(value, ci95, real=0.2)
    return made


def test_the_lowest_fid_comes_first_and_only_separate_intervals_differ_in_rank() -> None:
    _, rows = summarize({name: result(None, with_fid(*fid)) for name, fid in FIDS.items()}, ["fid"])
    assert [row["variant"] for row in rows] == ["b", "a", "c", "d", "e", "f"]
    # d meets a, but b and c are better for certain; e meets all but b
    assert [row["rank"] for row in rows] == [1, 2, 2, 3, 2, 6]


def test_a_translator_has_no_rank_comes_last_and_lowers_nobody_elses() -> None:
    translator = with_fid(0.5, 0.1)
    translator["run"]["starts_from"] = "test_images"
    models = {"t": translator} | {name: with_fid(*fid) for name, fid in FIDS.items()}
    _, rows = summarize({name: result(None, of_one) for name, of_one in models.items()}, ["fid"])
    assert [row["variant"] for row in rows] == ["b", "a", "c", "d", "e", "f", "t"]
    assert [row["rank"] for row in rows] == [1, 2, 2, 3, 2, 6, None]


def test_equal_fids_are_in_order_of_names() -> None:
    _, rows = summarize({name: result(None, model()) for name in "cab"}, ["fid"])
    assert [row["variant"] for row in rows] == ["a", "b", "c"]
    assert [row["rank"] for row in rows] == [1, 1, 1]


def test_columns_follow_the_declared_scores_and_leave_out_what_nobody_has() -> None:
    plain, conditional = model(), model(label_accuracy=0.9)
    plain["scores"]["kid"]["std"] = 0.5
    results = {"plain": result(None, plain), "conditional": result(None, conditional, conditional)}
    columns, rows = summarize(results, ["label_accuracy", "kid", "class_share", "modes", "fid"])
    assert columns == [
        *("variant", "rank", "label_accuracy", "kid", "kid_ci95", "kid_real", "kid_std", "fid", "fid_ci95", "fid_real"),
        *("generator_parameters", "discriminator_parameters", "seeds"),
    ]
    of_conditional, of_plain = rows
    assert "label_accuracy" not in of_plain
    assert of_conditional["label_accuracy"] == 0.9
    assert (of_plain["kid"], of_plain["kid_ci95"], of_plain["kid_std"]) == (0.0123, 0.004, 0.5)
    assert (of_plain["generator_parameters"], of_plain["discriminator_parameters"]) == (1234567, 4)
    assert (of_plain["seeds"], of_conditional["seeds"]) == (1, 2)
    assert not any(isinstance(value, dict) for row in rows for value in row.values())


def test_the_champion_is_the_best_on_validation_images_among_all_seeds() -> None:
    best = model(fid=2.0, validation_fid=2.0)
    models = {"a": [model(fid=1.0, validation_fid=3.0)], "b": [model(fid=0.5, validation_fid=9.0), best]}
    assert find_champion(models) == ("b", best)
    translator = model(validation_fid=0.1)
    translator["run"]["starts_from"] = "test_images"
    assert find_champion(models | {"c": [translator]}) == ("b", best)
