"""What stands out about a trained model, in sentences with the numbers behind them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.reporting.summary import Records
from stages.scoring.classes_lost import is_lost
from stages.scoring.score import REAL_QUANTILE

BLIND_SHARE = 0.25  # of an image: with a smaller receptive field a discriminator cannot judge the whole
COLLAPSED = 0.25  # of real images' recall, below which modes are missing
MALFORMED = 0.5  # of real images' precision, below which samples look like no real image
REPEATED = 10  # times real images' share of duplicates or copies, above which samples repeat
VANISHED = 0.01  # of the generator's largest gradient norm
OSCILLATIONS = 2  # rises of FID by a quarter


def describe_faults(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences about a variant: those that are true of all its seeds once, the others with the seed."""
    faults = {model["run"]["seed"]: list(find_faults(model)) for model in models}
    shared = [fault for fault in find_faults(models[0]) if all(fault in those for those in faults.values())]
    apart = [f"seed {seed}: {fault}" for seed, those in faults.items() for fault in those if fault not in shared]
    return shared + apart


def find_faults(model: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what is wrong with one of the models in metrics/variants/<variant>/scores.json."""
    run, scores, training = model["run"], model["scores"], model["training"]
    (_, height, width), (rows, columns) = run["image_shape"], run["receptive_field"]
    seen = rows * columns / (height * width)
    if seen < BLIND_SHARE:
        yield (
            f"each logit of its discriminator sees {rows} × {columns} of {height} × {width} pixels ({seen:.0%} of the "
            "image). It can judge details, but not how they fit together."
        )
    if run["starts_from"] == "test_images":
        yield "it translates the test images that its samples are compared with, so it has no rank."
    if "classification_accuracy" in scores and len(scores.get("class_share", {}).get("real", {})) == 1:
        yield "it learns labels, and the data have one class: every accuracy is 100 %."
    if evidence := find_collapse(scores, model["sample_count"]):
        yield f"mode collapse: {', '.join(evidence)}."
    elif is_malformed(scores):
        precision = scores["precision"]
        yield (
            f"most of its samples look like no real image: precision {precision['value']:.2f} (real images "
            f"{precision['real']:.2f})."
        )
    copies = max(scores[f"copies_{space}"]["value"] for space in ("pixels", "features"))
    if copies > REPEATED * REAL_QUANTILE:
        yield f"{copies:.1%} of its samples are likely copies of training images. Expect {REAL_QUANTILE:.0%}."
    if training["gradient_left"] < VANISHED:
        yield (
            f"its discriminator has won: the generator's gradient norm fell to {training['gradient_left']:.1g} of its "
            "maximum. Try a non-saturating objective or a gradient penalty."
        )
    if training["fid_rises"] >= OSCILLATIONS:
        yield f"it oscillates: FID rose by a quarter or more {training['fid_rises']} times during training."


def is_malformed(scores: Records) -> bool:
    """Whether few samples look like real images: then recall is low, and classes mean nothing, whatever is covered."""
    return bool(scores["precision"]["value"] < MALFORMED * scores["precision"]["real"])


def find_collapse(scores: Records, samples: int) -> list[str]:
    """The evidence that a generator covers only part of the data; empty where it covers all of it, or nothing."""
    recall, duplicates, lost = scores["recall"], scores["duplicates"], scores["classes_lost"]["value"]
    repeats = duplicates["value"] > REPEATED * max(duplicates["real"], REAL_QUANTILE)
    misses = recall["value"] < COLLAPSED * recall["real"] or lost
    if not repeats and (not misses or is_malformed(scores)):
        return []  # whatever coverage is: malformed samples lower it, too
    evidence = [
        f"{name} {scores[name]['value']:{spec}} (real images {scores[name]['real']:{spec}})"
        for name, spec in {"recall": ".2f", "coverage": ".2f", "duplicates": ".1%"}.items()
    ]
    if lost:
        share = scores.get("class_share", {})
        real = share.get("real", {})
        rare = {name: one for name, one in share.get("value", {}).items() if is_lost(one, real.get(name, 0), samples)}
        names = ", ".join(f"{name} ({one:.1%})" for name, one in rare.items())
        evidence.append(f"hardly any samples of {lost} class{'es' if lost > 1 else ''}{': ' if names else ''}{names}")
    return evidence
