"""Plots of the HTML page, as Vega-Lite specifications without colours of text: the page gives them its own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, float]]  # of a file of curves: seed, images, and scalars
Spec = dict[str, Any]

LOGARITHMIC: Spec = {"scale": {"type": "log"}}
IMAGES: Spec = {"field": "images", "type": "quantitative", "title": "training images seen", "axis": {"format": "~s"}}
FID: Spec = {"type": "quantitative", "title": "FID to validation images"} | LOGARITHMIC
SHADES = (45, 30, 65)  # per cent of lightness
PLAYERS = {"discriminator_loss": "discriminator", "generator_loss": "generator"}


def curves_chart(curves: Mapping[str, Rows]) -> Spec:
    """FID along training of all variants, in this order; a click on a name in the legend shows that variant alone."""
    values = [{"variant": name, **_choose(row, "fid")} for name, rows in curves.items() for row in rows]
    scale = {"domain": list(curves), "range": [_color(index, len(curves)) for index in range(len(curves))]}
    return {
        **_chart(values, 420),
        "params": [{"name": "chosen", "select": {"type": "point", "fields": ["variant"]}, "bind": "legend"}],
        "mark": {"type": "line", "point": True, "tooltip": True},
        "encoding": {
            "x": IMAGES | {"scale": {"type": "log", "nice": False}},
            "y": FID | {"field": "fid"},
            "color": {"field": "variant", "type": "nominal", "title": None, "scale": scale},
            "detail": {"field": "seed"},
            "opacity": {"condition": {"param": "chosen", "value": 1}, "value": 0.08},
        },
    }


def losses_chart(rows: Rows) -> Spec:
    """Both players' losses along training."""
    values = [
        {"player": player, **_choose(row, loss, "loss")}
        for row in rows
        for loss, player in PLAYERS.items()
        if loss in row
    ]
    return {
        **_chart(values, 180),
        "mark": {"type": "line", "tooltip": True},
        "encoding": {
            "x": IMAGES,
            "y": {"field": "loss", "type": "quantitative", "title": "loss", "scale": {"zero": False}},
            "color": {"field": "player", "type": "nominal", "title": None, "legend": {"orient": "top"}},
            "detail": {"field": "seed"},
        },
    }


def scores_chart(rows: Rows) -> Spec:
    """FID along training of one variant, and what real images reach (dashed)."""
    real = {
        "mark": {"type": "rule", "strokeDash": [4, 4]},
        "encoding": {"y": FID | {"field": "fid_real", "aggregate": "max"}},
    }
    line = {
        "mark": {"type": "line", "point": True, "tooltip": True},
        "encoding": {"x": IMAGES, "y": FID | {"field": "fid"}, "detail": {"field": "seed"}},
    }
    return {**_chart([_choose(row, "fid") | _choose(row, "fid_real") for row in rows], 180), "layer": [line, real]}


def _color(index: int, count: int) -> str:
    """One of so many colours: hues all round, in three shades, for light and dark pages."""
    hues = math.ceil(count / len(SHADES))
    return f"hsl({360 * (index % hues) / hues:.0f}, 65%, {SHADES[index // hues]}%)"


def _chart(values: Sequence[Mapping[str, Any]], height: int) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": list(values)},
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
    }


def _choose(row: Mapping[str, float], scalar: str, name: str = "") -> dict[str, float]:
    return {"seed": row["seed"], "images": row["images"], name or scalar: row[scalar]}
