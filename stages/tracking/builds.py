"""The build that a run belongs to: a DVC experiment, or else a commit.

Stages of one build are processes of their own. All find the same key, so their runs have the same parent.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.config.params import PARAMS_FILE


class Build(NamedTuple):
    """One parent run: of `dvc exp run`, or of all that was built at a commit."""

    key: str
    name: str


def git(*arguments: str) -> str | None:
    """What git prints; None where it fails, or is not installed."""
    if not shutil.which("git"):
        return None
    done = subprocess.run(  # a subject may be of another encoding
        ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return done.stdout.strip() if not done.returncode else None


def find_build() -> Build | None:
    """The build of this process; none outside of a git repository.

    The name of a DVC experiment is unique at its baseline only. The key lacks its apostrophes: MLflow's queries cannot
    escape them. Without an experiment the name is the commit's short hash and subject.
    """
    baseline, experiment = os.environ.get("DVC_EXP_BASELINE_REV", ""), os.environ.get("DVC_EXP_NAME")
    if experiment:
        return Build(f"{experiment} {baseline}".replace("'", "").strip(), experiment)
    head = git("log", "-1", "--no-show-signature", "--format=%H %s")
    if not head:
        return None
    commit, _, subject = head.partition(" ")
    return Build(commit, f"{commit[:7]} {subject}".strip())


def read_texts(name: str) -> Mapping[str, Any]:
    """A variant's summary and paper in params.yaml; empty if there is no such variant.

    Read here and not by the stage: no training depends on the texts.
    """
    texts = variants_of(parse(PARAMS_FILE)).get(name)
    return texts if isinstance(texts, dict) else {}


def variants_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The variants of a params.yaml that may be in the middle of an edit; empty if it has none."""
    variants = params.get("variants")
    return variants if isinstance(variants, dict) else {}


def parse(source: Path | str) -> dict[str, Any]:
    """A file or a text of YAML as a mapping; an empty one for anything else.

    Stages refuse such a file; an observer must not fail.
    """
    try:
        data = YAML(typ="safe").load(source)
    except (OSError, YAMLError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
