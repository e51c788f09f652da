"""Charts tell their lines apart."""

import itertools
import re

import pytest

from stages.reporting.html_page import caption_classes, describe_classes
from stages.reporting.plots import curves_chart, losses_chart


@pytest.mark.parametrize("count", [1, 3, 25])
def test_each_variant_has_a_colour_of_its_own_in_the_order_of_the_ranking(count: int) -> None:
    names = [f"v{number}" for number in range(count, 0, -1)]
    chart = curves_chart({name: [{"seed": 0, "images": 8, "fid": 2.0, "other": 1.0}] for name in names})
    scale = chart["encoding"]["color"]["scale"]
    assert scale["domain"] == names
    colours = [tuple(map(int, re.findall(r"\d+", colour))) for colour in scale["range"]]
    assert len(colours) == count
    for (hue, _, shade), (other, _, other_shade) in itertools.combinations(colours, 2):
        apart = min(abs(hue - other), 360 - abs(hue - other))
        assert apart >= 35 or abs(shade - other_shade) >= 15
    assert chart["data"]["values"][0] == {"variant": names[0], "seed": 0, "images": 8, "fid": 2.0}


def test_each_loss_is_its_own_players() -> None:
    row = {"seed": 0, "images": 8, "discriminator_loss": 1.5, "generator_loss": 0.5}
    values = losses_chart([row])["data"]["values"]
    assert {one["player"]: one["loss"] for one in values} == {"discriminator": 1.5, "generator": 0.5}


@pytest.mark.parametrize(("count", "caption"), [(20, "of each class"), (21, "of the 20 rarest classes")])
def test_the_caption_says_which_classes_are_shown(count: int, caption: str) -> None:
    shares = dict.fromkeys(map(str, range(count)), 1 / count)
    assert caption_classes({"class_share": {"value": shares, "real": shares}}) == f"share {caption}"


def test_of_many_classes_the_rarest_are_shown() -> None:
    shares = {str(number): number / 435 for number in range(30)}
    shown = describe_classes({"class_share": {"value": shares, "real": dict.fromkeys(shares, 1 / 30)}})
    assert [one["label"] for one in shown] == [str(number) for number in range(20)]
