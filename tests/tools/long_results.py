"""Write the tables, the grids and the plot of docs/results/long.md from a finished build in the long budget.

python -m tests.tools.long_results           # from a build here, as that page says
python -m tests.tools.long_results --seeds . ../other   # the table of seeds: from clones that built different ones
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.config.params import PARAMS_FILE, load
from stages.reporting.summary import ENDINGS
from stages.scoring.seeds import average_scores
from stages.storage.files import read_json, write_csv
from stages.storage.paths import CURVE, REAL_SCORES, REPORT, SCORES, SUMMARY, VARIANTS

PAGE = Path("docs/results/long.md")
FOLDER = PAGE.with_suffix("")
PLOT = "time_to_fid.png"
SEEDS = "seeds.csv"  # scores of each model of the variants that were trained with several seeds
BUDGET = "long"
MINUTES = 10  # of one core: what the long budget gives every variant
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
REAL = re.compile(r"(?<=5,000 real images score )[\d.]+\d")  # to validation images
SEEDS_TABLE = re.compile(r"(?<=<!-- seeds -->\n).*?(?=<!-- end of seeds -->)", re.DOTALL)
COLUMNS = {  # of the summary: title and format
    "fid": ("FID ↓", ".2f"),
    "precision": ("precision ↑", ".2f"),
    "recall": ("recall ↑", ".2f"),
    "coverage": ("coverage ↑", ".2f"),
    "inception_score": ("inception score ↑", ".2f"),
    "smallest_class_share": ("smallest class", ".1%"),
}
COLORS = {
    "labels or codes": "tab:red",
    "fully connected": "tab:blue",
    "convolutional": "tab:green",
    "starts from real images": "0.6",
}
WITH_CLASSES = ("acgan", "cgan", "infogan")
STYLES = ("-", "--", ":", "-.")  # of the variants of a colour
LOWEST, HIGHEST = 0.2, 12.0  # FIDs of the plot: `conv_patch` lies above
LINE_HEIGHT = 1.075  # of a name, as a ratio of FIDs
Rows = Sequence[Mapping[str, str]]


def main() -> None:
    """Copy the summary, the curves and the grid, draw the plot, and put the table into the page; or that of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=Path, metavar="CLONE", help="write the table of seeds alone")
    clones = parser.parse_args().seeds
    for clone in clones or [Path()]:
        budget = load(clone / PARAMS_FILE, components=False).budget
        if budget != BUDGET:
            sys.exit(f"{clone / PARAMS_FILE}: budget: {budget!r} was built: expected {BUDGET!r}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if clones:
        write_csv(FOLDER / SEEDS, ["variant", "seed", *COLUMNS], find_seeds(clones))
        PAGE.write_text(SEEDS_TABLE.sub(lambda _: write_seeds_table(read(SEEDS)), PAGE.read_text()))
        return
    for source in (SUMMARY, REPORT / CURVE, REPORT / "samples.png"):
        (FOLDER / source.name).write_bytes(source.read_bytes())
    real = read_json(REAL_SCORES)["snapshots"]["fid"]
    page = TABLE.sub(lambda _: write_table(read(SUMMARY.name)), PAGE.read_text())
    PAGE.write_text(REAL.sub(f"{real:.2f}", page))
    draw_curves(read(CURVE), read(SUMMARY.name), real, FOLDER / PLOT)


def find_seeds(clones: Iterable[Path]) -> list[dict[str, object]]:
    """Scores of the models of all clones, for variants that have several; by variant and seed.

    A clone may have built some variants only: what git has of the others is of another budget.
    """
    found = [
        (path.parent.name, model["seed"], model["scores"])
        for clone in clones
        for path in (clone / VARIANTS).glob(f"*/{SCORES}")
        for model in read_json(path)["models"]
        if model["run"]["budget"] == BUDGET
    ]
    models = sorted(found, key=itemgetter(0, 1))
    count = Counter(name for name, *_ in models)
    return [
        {"variant": name, "seed": seed} | {score: scores[score]["value"] for score in COLUMNS}
        for name, seed, scores in models
        if count[name] > 1
    ]


def read(name: str) -> Rows:
    """Rows of a file of the page, as texts."""
    with (FOLDER / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(summary: Rows) -> str:
    """Markdown: the real baseline, then one row per variant by rank and FID; translators have no rank and come last."""
    lines = [
        f"| rank | variant | {' | '.join(title for title, _ in COLUMNS.values())} |",
        f"|--:|---|{'--:|' * len(COLUMNS)}",
        f"| | real images | {_cells(summary[0], '_real')} |",
    ]
    rows = sorted(summary, key=lambda row: not row["rank"])
    lines += [f"| {row['rank'] or '-'} | `{row['variant']}` | {_cells(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def write_seeds_table(models: Rows) -> str:
    """Markdown: one row per variant by mean FID, with Student-t intervals and the FID of each seed."""
    rows, fids = [], {}
    for name, of_one in groupby(models, itemgetter("variant")):
        seeds = [{score: {"value": float(row[score]), "ci95": None} for score in COLUMNS} for row in of_one]
        fids[name] = ", ".join(f"{of_seed['fid']['value']:.2f}" for of_seed in seeds)
        means = average_scores(seeds)
        columns = {
            f"{score}{end}": str(means[score][key])
            for score in COLUMNS
            for end, key in ENDINGS.items()
            if key in means[score]
        }
        rows.append({"variant": name} | columns)
    rows.sort(key=lambda row: float(row["fid"]))
    lines = [
        f"| rank | variant | {' | '.join(title for title, _ in COLUMNS.values())} | FID of each seed |",
        f"|--:|---|{'--:|' * (len(COLUMNS) + 1)}",
    ]
    for row in rows:
        rank = 1 + sum(_fid(other, 1) < _fid(row, -1) for other in rows)
        lines.append(f"| {rank} | `{row['variant']}` | {_cells(row)} | {fids[row['variant']]} |")
    return "\n".join(lines) + "\n"


def _fid(row: Mapping[str, str], side: int) -> float:
    """The upper (1) or lower (-1) end of the FID's interval."""
    return float(row["fid"]) + side * float(row["fid_ci95"])


def draw_curves(curves: Rows, summary: Rows, real: float, target: Path) -> None:
    """PNG: FID to validation images by minutes of a core, both logarithmic; one colour per kind of variant.

    `real` is the FID of as many real images. Every curve ends after ten minutes, whatever params.yaml says today.
    """
    matplotlib.rcdefaults()
    figure = Figure(figsize=(10, 8), layout="constrained")
    axis = figure.subplots()
    ends: dict[str, float] = {}
    ranked = {row["variant"] for row in summary if row["rank"]}
    for name in dict.fromkeys(row["variant"] for row in curves):
        rows = [row for row in curves if row["variant"] == name]
        minutes = [int(row["images"]) / int(rows[-1]["images"]) * MINUTES for row in rows]
        fids = [float(row["fid"]) for row in rows]
        kind = kind_of(name, ranked)
        style = STYLES[sum(kind_of(other, ranked) == kind for other in ends) % len(STYLES)]
        axis.plot(minutes, fids, style, color=COLORS[kind], alpha=0.8)
        ends[name] = fids[-1]
    place = LOWEST
    for name, fid in sorted(ends.items(), key=lambda end: end[1]):
        place = max(fid, place * LINE_HEIGHT)  # names that would overlap move up
        if place < HIGHEST:
            color = COLORS[kind_of(name, ranked)]
            axis.plot([MINUTES, MINUTES * 1.06], [fid, place], color=color, linewidth=0.6, clip_on=False)
            axis.text(MINUTES * 1.07, place, f"{name} {fid:.2f}", color=color, va="center")
    axis.axhline(real, color="black", linestyle="--")
    axis.text(MINUTES / 21, real * 1.02, f"as many real images {real:.2f}", va="bottom")
    axis.legend([Line2D([], [], color=color) for color in COLORS.values()], COLORS, frameon=False)
    axis.set(xscale="log", yscale="log", xlabel="minutes of one core", ylabel="FID to validation images")
    axis.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axis.set_yticks([0.2, 0.5, 1, 2, 5, 10])
    axis.set_xlim(MINUTES / 22, MINUTES)
    axis.set_ylim(LOWEST, HIGHEST)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def kind_of(name: str, ranked: Collection[str]) -> str:
    """Which colour a variant has."""
    if name not in ranked:
        return "starts from real images"
    if name in WITH_CLASSES:
        return "labels or codes"
    return "fully connected" if name.startswith("mlp") else "convolutional"


def _cells(row: Mapping[str, str], ending: str = "") -> str:
    """Value ± half width of its 95 % interval, where the summary has one."""
    cells = []
    for name, (_, form) in COLUMNS.items():
        numbers = [row[key] for key in (name + ending, f"{name}{ending}_ci95") if row.get(key)]
        cells.append(" ± ".join(format(float(number), form) for number in numbers))
    return " | ".join(cells)


if __name__ == "__main__":
    main()
