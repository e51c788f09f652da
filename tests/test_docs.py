"""README and docs name what exists: files, headings, parameters, make targets, modules; and their examples work."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from stages.config.params import Variant, load, validate
from stages.contracts.regularizer import DiscriminatorOutputs, Regularizer
from stages.datasets.dataset import Dataset
from stages.reporting.markdown_page import declarations_to_markdown
from stages.scoring.score import ImageSet, Score, find_scores
from tests.conftest import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
NOT_THERE = {  # files that pages tell how to write, and a misspelt one
    *("stages/datasets/stripes.py", "stages/regularizers/logit_norm.py", "stages/scoring/ink.py"),
    "stages/networks/dcgna.py",
}
OTHER_NAMES = {"dvc.stage", "dvc.exp_name", "reprogan.restored", "torch.compile"}  # tags of MLflow's runs, a function
PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> str:
    """All shell code of a page, without comments, and its inline code."""
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE))
    return "\n".join(re.sub(r"#.*", "", block) for block in blocks(page, "sh")) + "\n" + "\n".join(inline)


def headings(page: Path) -> dict[str, str]:
    """Headings by the anchors that GitHub gives them."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"): heading for heading in found}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Target and anchor of each link that leads to a file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def is_parameter(key: str) -> bool:
    """Whether params.yaml, or one of its variants, has this dotted key."""
    return any(has(content, key.split(".")) for content in (PARAMS, *PARAMS["variants"].values()))


def has(content: Any, parts: list[str]) -> bool:
    """Whether nested mappings have these keys, one inside the other."""
    return not parts or (isinstance(content, dict) and parts[0] in content and has(content[parts[0]], parts[1:]))


def test_links_lead_to_files_and_headings_that_exist() -> None:
    found = [(page, *link) for page in PAGES for link in links(page)]
    assert len(found) > 30
    assert sum(bool(anchor) for *_, anchor in found) > 8
    for page, target, anchor in found:
        assert target.exists(), f"{page.name}: {target}"
        assert target.is_relative_to(ROOT), f"{page.name}: {target}"
        assert not anchor or anchor in headings(target), f"{page.name}: {target.name}#{anchor}"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert 60 < len(README.read_text().splitlines()) <= 150
    assert len(PAGES) > 12
    assert set(PAGES[1:]) <= {target for target, _ in links(README)}
    assert (ROOT / "metrics/report/samples.png") in {target for target, _ in links(README)}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_the_title_of_a_page_is_a_question(page: Path) -> None:
    title, *others = re.findall(
        r"^# (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.M), re.M
    )
    assert title.endswith("?")
    assert not others


def test_parameters_that_are_named_exist() -> None:
    keys = {
        (page.name, key) for page in PAGES for key in re.findall(r"-S '?([a-z_0-9.]+)=", commands(page)) if key != "key"
    }
    assert len(keys) > 15
    assert [(page, key) for page, key in sorted(keys) if not has(PARAMS, key.split("."))] == []
    suffixes = "csv|db|gif|gz|html|json|lock|md|npy|png|py|toml|yaml"
    keys |= {
        (page.name, match[1])
        for page in PAGES
        for text in re.findall(r"`([^`\n]+)`", page.read_text())
        if (match := re.fullmatch(r"([a-z_]+(?:\.[a-z_0-9]+)+)(?:: .*)?", text))
        and not re.search(rf"\.({suffixes})$", match[1])
    }
    assert len(keys) > 45
    keys = {(page, key) for page, key in keys if key not in OTHER_NAMES}
    assert sorted((page, key) for page, key in keys if not is_parameter(key)) == []


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z][a-z-]*)", commands(page))}
    assert {"repro", "test"} <= named
    assert len(named) > 8
    assert named <= targets


def test_modules_and_files_that_are_named_exist() -> None:
    modules = {module for page in PAGES for module in re.findall(r"python -m ([\w.]+)", commands(page))}
    assert modules
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    paths = {path for page in PAGES for path in re.findall(r"`((?:stages|tests|metrics)/[\w./]*)`", page.read_text())}
    assert len(paths - NOT_THERE) > 12
    outputs = (ROOT / "dvc.yaml").read_text()  # those in DVC's cache are not in a clone
    assert [path for path in sorted(paths - NOT_THERE) if not (ROOT / path).exists() and path not in outputs] == []


def test_variants_in_commands_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"(?:evaluate@|VARIANT=)([a-z_0-9]+)", commands(page))}
    assert "dcgan" in named
    assert named - set(PARAMS["variants"]) == {"projection"}  # the example to add


def test_the_table_of_scores_is_that_of_the_declarations() -> None:
    text = (ROOT / "docs/scores.md").read_text()
    (table,) = re.findall(r"<!-- scores -->\n(.*)<!-- /scores -->", text, re.DOTALL)
    assert table.strip() == declarations_to_markdown(find_scores()).strip()
    assert len(table.strip().splitlines()) > 15


def test_scores_that_are_explained_exist() -> None:
    text = re.sub(r"<!-- scores -->.*<!-- /scores -->", "", (ROOT / "docs/scores.md").read_text(), flags=re.DOTALL)
    after = text.split("## Which score should I use?")[1].split("## How do I get Inception scores?")[0]
    named = set(re.findall(r"`([a-z_0-9]+)`", after)) - set(PARAMS["variants"])
    assert len(named) > 14
    assert named <= set(find_scores())


@pytest.mark.parametrize(("folder", "least"), [("gans", 10), ("networks", 10), ("objectives", 6), ("regularizers", 6)])
def test_all_components_are_listed(folder: str, least: int) -> None:
    text = (ROOT / "docs/add-a-variant.md").read_text()
    (row,) = re.findall(rf"^\|.*`{folder[:-1]}\.name`: (.*)$", text, re.MULTILINE)
    listed = set(re.findall(r"`(\w+)`", row.split(".")[0]))
    there = {file.stem for file in (ROOT / "stages" / folder).glob("[a-z]*.py")} - {"layers"}  # what networks share
    assert len(there) >= least
    assert listed == there


def test_the_example_of_a_variant_is_one() -> None:
    example = blocks(ROOT / "docs/add-a-variant.md", "yaml")[0]
    ((name, variant),) = YAML(typ="safe", pure=True).load(example).items()
    assert name not in PARAMS["variants"]
    checked = validate(Variant, variant, name, resolve=True)
    assert checked.network.labels == "both"


def test_the_example_of_a_data_set_is_one(tmp_path: Path) -> None:
    example = example_class(blocks(ROOT / "docs/add-a-data-set.md", "python")[0], Dataset, tmp_path)()
    options = load(ROOT / "params.yaml", components=False)
    assert all(content for _, content in example.fetch(options.fetch))
    train, test = example.load(options.preprocess, np.random.default_rng(0))
    assert (len(test.images), test.image_shape, test.images.dtype) == (1000, (1, 16, 16), np.uint8)
    assert train.classes == ("horizontal", "vertical")
    images = train.images[:, 0].astype(int)
    assert np.ptp(images[train.labels == 0], axis=2).max() == 0  # no change along a row
    assert np.ptp(images[train.labels == 1], axis=1).max() == 0
    assert np.ptp(images, axis=(1, 2)).max() == 255


def test_the_example_of_a_component_is_one(tmp_path: Path) -> None:
    example = example_class(blocks(ROOT / "docs/add-a-component.md", "python")[0], Regularizer, tmp_path)
    logits = torch.tensor([[1.0], [3.0]])
    outputs = DiscriminatorOutputs(lambda images: images, logits, logits, logits, logits)
    assert example(name="logit_norm", weight=0.5).penalty(outputs) == 2.5


def test_the_example_of_a_score_is_one(tmp_path: Path) -> None:
    example = example_module(blocks(ROOT / "docs/add-a-score.md", "python")[0], tmp_path).ink
    assert isinstance(example, Score)
    assert example.name not in find_scores()
    images = ImageSet(pixels=np.array([0, 51, 102, 255], np.uint8).reshape(4, 1, 1, 1))
    context: Any = None
    estimate = example.compute(images, context)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.4)
    assert estimate.ci95 == pytest.approx(1.959964 * np.std([0, 0.2, 0.4, 1]) / 2)


def example_class(code: str, contract: type[Any], folder: Path) -> Any:
    """The subclass of a contract that a piece of code defines."""
    module = example_module(code, folder)
    defined = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == "example"]
    (found,) = [item for item in defined if issubclass(item, contract)]
    return found


def example_module(code: str, folder: Path) -> Any:
    """A piece of code, imported."""
    (folder / "example.py").write_text(code)
    spec = importlib.util.spec_from_file_location("example", folder / "example.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fid_of_the_repaired_variant_starts_at_the_committed_one() -> None:
    (before,) = re.findall(r"FID falls from (\d+) to", README.read_text())
    with (ROOT / "metrics/summary.csv").open() as file:
        (fid,) = (float(row["fid"]) for row in csv.DictReader(file) if row["variant"] == "conv_patch")
    assert round(fid) == int(before)


FORMATS = {"fid": ".0f", "recall": ".2f", "precision": ".2f"}


def test_the_page_of_failures_has_the_scores_and_the_length_of_the_committed_variants() -> None:
    text = (ROOT / "docs/failures.md").read_text()
    with (ROOT / "metrics/summary.csv").open() as file:
        rows = {row["variant"]: {key: float(row[key]) for key in FORMATS} for row in csv.DictReader(file)}
    images = re.findall(r"`mlp` is trained on\n([\d,]+) images", text)
    assert images == [f"{PARAMS['variants']['mlp']['images']['quick']:,}"]
    assert re.findall(r"Its FID is ([\d.]+) instead of", text) == [f"{rows['mlp']['fid']:.1f}"]
    (blind,) = re.findall(r"FID is (\d+) and `recall` is ([\d.]+), but\n`precision` is ([\d.]+):", text)
    assert blind == tuple(format(rows["conv_patch"][key], shape) for key, shape in FORMATS.items())
    (quoted,) = re.findall(r"```text\n(`conv_patch`.*?)```", text, re.DOTALL)
    lines = " ".join(quoted.split()).split(" `conv_patch`: ")
    table = (ROOT / "metrics/report/variants.md").read_text()
    assert len(lines) == 2
    assert all(f"{line.removeprefix('`conv_patch`: ')}\n" in table for line in lines)


def test_the_readme_has_the_scores_after_ten_minutes() -> None:
    names, values = re.findall(r"\| (real images \|.*)\n\|--.*\n\| (.*)", README.read_text())[0]
    with (ROOT / "docs/results/long/summary.csv").open() as file:
        rows = {f"`{row['variant']}`": row for row in csv.DictReader(file)}
    _, *variants = names.strip(" |").split(" | ")
    fids = [float(rows["`dcgan`"]["fid_real"]), *(float(rows[variant]["fid"]) for variant in variants)]
    assert len(fids) > 5
    assert values.strip(" |").split(" | ") == [f"{fid:.2f}" for fid in fids]


def test_the_length_of_quick_trainings_is_told_alike() -> None:
    """From seconds of the long budget's ten minutes."""
    lengths = [variant["images"]["quick"] / variant["images"]["long"] * 600 for variant in PARAMS["variants"].values()]
    assert (round(min(lengths)), round(max(lengths) / 60, 1)) == (11, 2.6)
    for page in ("README.md", "docs/results.md", "docs/results/long.md", "docs/compare.md"):
        assert re.search(r"eleven\s+seconds\s+to\s+two\s+and\s+a\s+half\s+minutes", (ROOT / page).read_text()), page


def test_the_real_baselines_that_are_named_are_the_committed_ones() -> None:
    text = (ROOT / "docs/scores.md").read_text()
    (named,) = re.findall(r"baseline of density is ([\d.]+) and that of coverage ([\d.]+),", text)
    scores = json.loads((ROOT / "metrics/variants/dcgan/scores.json").read_text())["models"][0]["scores"]
    assert named == tuple(f"{scores[name]['real']:.2f}" for name in ("density", "coverage"))


def test_the_page_on_scale_has_the_figures_of_the_benchmark() -> None:
    page = (ROOT / "docs/scale.md").read_text()
    results = (ROOT / "tests/tools/benchmarks/results/scaling.md").read_text()
    for batch, called in (("64 in all", "64 in all"), ("64 a GPU", "64 per GPU")):
        (row,) = re.findall(rf"^\| dcgan, 256 × 256 × 3 \| {batch} \|.*", results, re.M)
        shares = [f"{share} %" if share else "–" for share in re.findall(r"\((\d+)%\)|–", row)]
        assert shares[0] == "100 %"
        assert f"| {called} | {' | '.join(shares[1:])} |" in page
    named = re.findall(r"([\d.]+)(?: of it)? for `(\w+)`\s+with ([\d,]+)", page)
    measured = {row[:2]: row[2] for row in re.findall(r"^\| (\w+), (\d+) \|(?:[^|]*\|){3} ([\d.]+) \|", results, re.M)}
    assert len(named) == 2
    assert [measured[name, images.replace(",", "")] for _, name, images in named] == [ratio for ratio, *_ in named]


@every_page
def test_pages_name_no_host_of_a_registry_and_no_folder_of_a_machine(page: Path) -> None:
    text = page.read_text()
    assert len(text) > 500
    assert not re.search(r"/(root|home|work|Users|tmp)/", text)
    hosts = set(re.findall(r"https?://([^/\s)]+)", text))
    assert hosts <= {"dvc.org", "mlflow.org", "127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:9000"}


def test_arrays_of_jobs_have_a_job_a_variant() -> None:
    count = len(load(ROOT / "params.yaml", components=False).variants)
    arrays = re.findall(r"--array=(\d+)-(\d+) ", (ROOT / "docs/cluster.md").read_text())
    assert arrays == [("0", "0"), ("1", str(count)), (str(count + 1), str(count + 1))]
