"""The page shows what is declared: a score that no code knows, too."""

from typing import Any

import pytest

from stages.config.params import load
from stages.reporting.markdown_page import declarations_to_markdown, format_score, write_markdown
from stages.reporting.summary import Records
from stages.scoring.score import Score, find_scores
from tests.conftest import ROOT
from tests.reporting.records import declare, model, record, report, result

VARIANTS = load(ROOT / "params.yaml", components=False).variants
SCORES = {
    score.name: score
    for score in (
        declare("fid", title="FID", format=".2f", position=0),
        declare("sharpness", better="near", ideal=0.25, format=".1%", position=1),
        declare("precision", better="higher", format=".3f", position=2),
        declare("inception_fid", position=3),
        declare("label_accuracy", title="label accuracy", better="higher", format=".1%", position=100),
        declare("duplicates", format=".0%", position=101),
        declare("class_share", position=102),
    )
}


def page(models: dict[str, Any], real: Records) -> list[str]:
    results = {name: result(VARIANTS[name], of_one) for name, of_one in models.items()}
    return write_markdown(report(results, SCORES, real)).splitlines()


def test_the_page_has_a_row_a_variant_with_its_texts_numbers_and_picture() -> None:
    # FID falls along params.yaml, so the last variant leads; a translator has no rank, and comes last
    by_fid = [*(name for name in reversed(VARIANTS) if name != "srgan"), "srgan"]
    models = {name: model(sharpness=0.5, fid=1 + by_fid.index(name)) for name in VARIANTS}
    models["srgan"]["run"]["starts_from"] = "images"
    models["cgan"]["scores"]["label_accuracy"] = record(0.9876, 0.002, real=0.99)
    real = {"fid": record(0.2, 0.05), "precision": record(0.94, 0.004), "duplicates": record(0.02)}
    lines = page(models, real)
    titles = "parameters G / D | training images seen | FID ↓ | sharpness → 25.0% | precision ↑"
    head = lines.index(f"| rank | variant | summary | paper | {titles} | more scores | samples |")
    assert lines[head + 1] == "|--:|---|---|---|--:|--:|--:|--:|--:|---|---|"
    assert lines[head + 2] == "|  | real images |  |  |  |  | 0.20 ± 0.05 |  | 0.940 ± 0.004 | duplicates 2% |  |"
    rows = lines[head + 3 :]
    assert [row.split("`")[1] for row in rows] == by_fid
    ranked = [name for name in by_fid if name != "srgan"]
    for position, (name, row) in enumerate(zip(by_fid, rows, strict=True), 1):
        variant = VARIANTS[name]
        assert row.count(" | ") == 10, "a cell holds a separator"
        assert row.startswith(f"| {'-' if name == 'srgan' else ranked.index(name) + 1} | `{name}` |")
        texts, sizes = f"{variant.summary} | {variant.paper}", "1,234,567 / 4 | 640"
        assert f"| {texts} | {sizes} | {position}.00 ± 0.06 | 50.0% | 0.910 ± 0.010 |" in row
        assert f'src="../variants/{name}/pictures/samples.png"' in row
        assert f'href="../variants/{name}/closest.png"' in row
        more = "label accuracy 98.8% ± 0.2% (real 99.0%)<br>duplicates 1%" if name == "cgan" else "duplicates 1%"
        assert f"| {more} |" in row
        assert "class_share" not in row
    assert "What stands out" not in "\n".join(lines)
    assert "Scores compare 30 samples" in "\n".join(lines)
    assert "in the budget `quick`" in "\n".join(lines)


def test_faults_and_the_number_of_seeds_are_shown() -> None:
    good, bad = model(), model(copies_features=0.37)
    bad["run"]["seed"] = 9
    lines = write_markdown(report({"mlp": result(VARIANTS["mlp"], good, bad)}, SCORES, {})).splitlines()
    (row,) = [line for line in lines if "| `mlp`" in line]
    assert row.startswith("| 1 | `mlp`<br>mean of 2 seeds |")
    assert lines[-4:-1] == ["", "## What stands out", ""]
    assert lines[-1].startswith("- `mlp`: seed 9: 37.0% of its samples")


def test_a_variant_without_scores_has_a_row_and_its_reason() -> None:
    failures = {"cgan": ["cgan (seed 0) diverged"], "mlp": ["mlp (seed 1) diverged"]}
    without = {"cgan": VARIANTS["cgan"]}
    results = {"mlp": result(VARIANTS["mlp"], model())}
    lines = write_markdown(report(results, SCORES, {}, without=without, failures=failures)).splitlines()
    rows = [line for line in lines if line.startswith("|") and "| `" in line]
    assert [row.split("`")[1] for row in rows] == ["mlp", "cgan"]
    assert rows[1].count(" | ") == rows[0].count(" | ")
    assert rows[1].endswith(" | no scores, see below |")
    assert lines[-2:] == ["- `cgan`: cgan (seed 0) diverged", "- `mlp`: mlp (seed 1) diverged"]


@pytest.mark.parametrize(
    ("score", "row"),
    [
        (declare("sharpness", description="How sharp."), "| `sharpness` | sharpness | How sharp. | lower |"),
        (declare("a", title="Aa", description="B.", better="higher"), "| `a` | Aa | B. | higher |"),
        (declare("a", description="B.", better="near", ideal=0.01, format=".0%"), "| `a` | a | B. | near 1% |"),
    ],
)
def test_declarations_become_a_table(score: Score, row: str) -> None:
    assert declarations_to_markdown({score.name: score}).splitlines()[2:] == [row]


@pytest.mark.parametrize(("value", "shown"), [(-0.0002, "0.000 ± 0.003"), (-0.0021, "-0.002 ± 0.003")])
def test_nothing_is_below_zero_by_nothing(value: float, shown: str) -> None:
    assert format_score(find_scores()["kid"], {"kid": {"value": value, "ci95": 0.003}}) == shown
