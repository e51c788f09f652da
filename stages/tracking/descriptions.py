"""Descriptions of runs and builds, in Markdown, as MLflow's pages show them."""

from collections.abc import Iterable, Mapping
from typing import Any

from stages.tracking.builds import read_texts

LINE = "\n---\n"  # what people write below it stays
END = f"\n{LINE}"
LONGEST = 7000  # characters; MLflow's limit for a tag is 8,000
GRIDS = "Samples: the image grids in *Model metrics*, `along_training`; move the slider. Files: *Artifacts*, `images`."


def describe_variant(name: str, scores: Mapping[str, Mapping[str, Any]] | None = None, rank: str = "") -> str:
    """What a variant is, and its scores once they are known; empty if params.yaml has no such variant."""
    texts = read_texts(name)
    if not texts:
        return ""
    about = f"**{name}**: {texts.get('summary', '')} ({texts.get('paper', '')})"
    if not scores:
        return f"{about}\n\nNo scores yet.\n\n{GRIDS}{END}"
    return f"{about}\n\n{headline(scores, rank)}\n\n{table_of_scores(scores)}\n\n{GRIDS}{END}"


def headline(scores: Mapping[str, Mapping[str, Any]], rank: str) -> str:
    """FID next to the real baseline, and the rank if it is known."""
    fid = scores["fid"]
    ci95 = f" ± {fid['ci95']:.2f}" if "ci95" in fid else ""
    real = f" (real images: {fid['real']:.2f})" if "real" in fid else ""
    return f"**FID {fid['value']:.2f}{ci95}**{real}" + (f", rank {rank}" if rank else "")


def table_of_scores(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """All scores that are one number, next to the real baseline's."""
    from stages.scoring.score import find_scores  # a training has no scores, and does not wait for their files

    rows = ["| score | value | ± | real images |", "|---|--:|--:|--:|"]
    declared = find_scores()
    for name in sorted(scores, key=list(declared).index):
        record, score = scores[name], declared[name]
        if isinstance(record["value"], int | float):
            numbers = [
                format(record[key], score.format) if isinstance(record.get(key), int | float) else ""
                for key in ("value", "ci95", "real")
            ]
            rows.append(f"| {score.title} | {' | '.join(numbers)} |")
    return "\n".join(rows)


def describe_build(rows: Iterable[Mapping[str, str]]) -> str:
    """The ranking of a build: rows of the summary, in its order."""
    lines = ["| rank | variant | FID | FID to validation images |", "|--:|---|--:|--:|"]
    for row in rows:
        fid, ci95, validation_fid = (as_text(row.get(key)) for key in ("fid", "fid_ci95", "validation_fid"))
        lines.append(f"| {row['rank']} | {row['variant']} | {fid} ± {ci95} | {validation_fid} |")
        if sum(map(len, lines)) > LONGEST:
            break
    table = "\n".join(lines)
    return f"Its runs are one level below. The report is among the *Artifacts*.\n\n{table}{END}"


def as_text(number: str | None) -> str:
    """A number of the summary, to two digits."""
    return f"{float(number):.2f}" if number else "–"


def merge(text: str, earlier: str) -> str:
    """A new description that replaces an earlier one; what people wrote themselves stays below it."""
    _, line, own = f"{earlier}\n".partition(LINE)  # an editor may have cut the last line break off
    return text + (own.strip("\n") if line else earlier)
