"""One smoke build of several variants, which all workers of pytest share, and clones of what it came to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests.conftest import ROOT, clone_repository, commit_all, run, set_parameters
from tests.pipeline.smoke import FEWER, SHORTER, VARIANTS

# what notebooks, other languages and odd terminals set; later builds run without it, and must have the same bytes
HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "COLUMNS": "20",
    "TERM": "dumb",
    "TZ": "Asia/Kathmandu",
}


class FirstBuild(NamedTuple):
    """The first `dvc repro` of a clone with nothing but what git holds, after which its results are committed."""

    repository: Path
    traces: Path  # where each of its stages wrote down what it read
    output: Path  # what it printed
    cache: Path  # as it left DVC's


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> FirstBuild:
    """The first test that asks for it builds; others, of other workers too, wait for that."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "pipeline"
    folder.mkdir(exist_ok=True)
    build = FirstBuild(folder / "reprogan", folder / "traces", folder / "output", folder / "cache")
    with FileLock(folder / "lock"):
        if not build.output.exists():
            build_from_nothing(build)
    return build


def build_from_nothing(build: FirstBuild) -> None:
    for unfinished in (build.repository, build.traces, build.cache):  # of another worker, whose build failed
        shutil.rmtree(unfinished, ignore_errors=True)
    repository = clone_repository(build.repository)
    every = YAML().load(repository / "params.yaml")["variants"]
    chosen = {name: every[name] for name in VARIANTS}
    shorter = {f"variants.{name}.images.smoke": images for name, images in SHORTER.items()}
    set_parameters(repository, {"budget": "smoke", "variants": chosen} | FEWER | shorter)
    commit_all(repository, "smoke budget, few variants")
    style = build.repository.parent / "matplotlibrc"
    style.write_text("font.family: monospace\nfigure.dpi: 37\nimage.interpolation: bicubic\n")
    build.traces.mkdir()
    traced = {"PYTHONPATH": str(ROOT / "tests/tracing"), "REPROGAN_TRACES": str(build.traces)}
    output = run("dvc", "repro", cwd=repository, check=True, **traced, MATPLOTLIBRC=str(style), **HOSTILE).stdout
    commit_all(repository, "built")
    shutil.copytree(repository / ".dvc/cache", build.cache, copy_function=os.link)
    build.output.write_text(output)


@pytest.fixture(scope="module")
def repository(first_build: FirstBuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what was built. MLflow knows none of its runs."""
    clone = tmp_path_factory.mktemp("pipeline") / "reprogan"
    run("git", "clone", "--quiet", str(first_build.repository), str(clone), cwd=clone.parent)
    shutil.copytree(first_build.cache, clone / ".dvc/cache", copy_function=os.link)
    run("dvc", "checkout", "--quiet", cwd=clone)
    return clone
