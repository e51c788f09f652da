"""Write the table, the grids and the plot of docs/results/long.md from a finished build in the long budget.

`dvc exp run -S budget=long …` as that page says, then `python -m tests.tools.long_results`.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from stages.config.params import load
from stages.storage.paths import CURVE, REPORT, SUMMARY

PAGE = Path("docs/results/long.md")
FOLDER = PAGE.with_suffix("")
PLOT = "time_to_fid.png"
MINUTES = 10  # of one core: what the long budget gives every variant
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
COLUMNS = {  # of the summary: title and format
    "fid": ("FID ↓", ".2f"),
    "precision": ("precision ↑", ".2f"),
    "recall": ("recall ↑", ".2f"),
    "coverage": ("coverage ↑", ".2f"),
    "inception_score": ("inception score ↑", ".2f"),
    "smallest_class_share": ("smallest class", ".1%"),
}
Rows = Sequence[Mapping[str, str]]


def main() -> None:
    """Copy the summary, the curves and the grid; draw the plot; put the table into the page."""
    params = load(components=False)
    if params.budget != "long":
        sys.exit(f"params.yaml: budget: {params.budget!r} was built: expected 'long'")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for source in (SUMMARY, REPORT / CURVE, REPORT / "samples.png"):
        (FOLDER / source.name).write_bytes(source.read_bytes())
    draw_curves(read(CURVE), FOLDER / PLOT)
    PAGE.write_text(TABLE.sub(lambda _: write_table(read(SUMMARY.name)), PAGE.read_text()))


def read(name: str) -> Rows:
    """Rows of a file of the page, as texts."""
    with (FOLDER / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(summary: Rows) -> str:
    """Markdown: the real baseline, then a row a variant by rank and FID; translators, which have no rank, come last."""
    lines = [
        f"| rank | variant | {' | '.join(title for title, _ in COLUMNS.values())} |",
        f"|--:|---|{'--:|' * len(COLUMNS)}",
        f"| | real images | {_cells(summary[0], '_real')} |",
    ]
    rows = sorted(summary, key=lambda row: not row["rank"])
    lines += [f"| {row['rank'] or '-'} | `{row['variant']}` | {_cells(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def draw_curves(curves: Rows, target: Path) -> None:
    """PNG: FID to validation images by minutes of a core, both logarithmic; names in the order of the ends.

    Every curve ends after ten minutes, whatever params.yaml says today.
    """
    matplotlib.rcdefaults()
    figure = Figure(figsize=(10, 9), layout="constrained")
    axis = figure.subplots()
    ends = []
    for index, name in enumerate(dict.fromkeys(row["variant"] for row in curves)):
        rows = [row for row in curves if row["variant"] == name]
        minutes = [int(row["images"]) / int(rows[-1]["images"]) * MINUTES for row in rows]
        fids = [float(row["fid"]) for row in rows]
        style = ("-", "--", ":")[index // 10 % 3]
        (line,) = axis.plot(minutes, fids, style, color=f"C{index % 10}", label=f"{name} {fids[-1]:.2f}")
        ends.append((fids[-1], line))
    handles = [line for _, line in sorted(ends, key=lambda end: -end[0])]
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="after ten minutes")
    axis.set(xscale="log", yscale="log", xlabel="minutes of one core", ylabel="FID to validation images")
    axis.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axis.set_xlim(MINUTES / 22, MINUTES)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def _cells(row: Mapping[str, str], ending: str = "") -> str:
    """Value ± half width of its 95 % interval, where the summary has one."""
    cells = []
    for name, (_, form) in COLUMNS.items():
        numbers = [row[key] for key in (name + ending, f"{name}{ending}_ci95") if row.get(key)]
        cells.append(" ± ".join(format(float(number), form) for number in numbers))
    return " | ".join(cells)


if __name__ == "__main__":
    main()
