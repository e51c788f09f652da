"""Charts tell their lines apart."""

import itertools
import re

import pytest

from stages.reporting.plots import curves_chart


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
