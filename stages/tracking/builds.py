"""What a run belongs to, and what it changes: the build (an experiment, or else a commit), and its difference to git.

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

# of params.yaml: what changes no training, or is named otherwise
NOT_SHOWN = ("tracking.", "resume.", "fetch.", "training.seeds")
MOST_CHANGES = 3  # in a name; the run's parameters have all


class Build(NamedTuple):
    """One parent run: of `dvc exp run`, or of all that was built at a commit."""

    key: str
    name: str


def git(*arguments: str) -> str | None:
    """What git prints; None where it fails, or is not installed."""
    if not shutil.which("git"):
        return None
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if not done.returncode else None


def find_build() -> Build | None:
    """The build of this process; none outside of a git repository.

    The name of DVC's experiment is unique at its baseline only. Without an experiment it is the commit's subject.
    """
    baseline, experiment = os.environ.get("DVC_EXP_BASELINE_REV", ""), os.environ.get("DVC_EXP_NAME")
    if experiment:
        return Build(f"{experiment} {baseline}".strip(), experiment)
    head = git("log", "-1", "--format=%H %s")
    if not head:
        return None
    commit, _, subject = head.partition(" ")
    return Build(commit, subject or commit[:7])


def name_run(name: str, parameters: Mapping[str, Any]) -> str:
    """The variant, its seed if there are several, and what params.yaml has other than git: `mlp: batch_size=32`."""
    seeds = parameters.get("seeds") or ()
    seed = f" (seed {parameters['seed']})" if len(seeds) > 1 else ""
    changes = find_changes(name)
    others = [f"{len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    listed = ", ".join(changes[:MOST_CHANGES] + others)
    return f"{name}{seed}: {listed}" if listed else f"{name}{seed}"


def find_changes(name: str) -> list[str]:
    """What params.yaml has other than the experiment's baseline or HEAD, of this variant or of all: `key=value`."""
    baseline = os.environ.get("DVC_EXP_BASELINE_REV") or "HEAD"
    if git("diff", "--quiet", baseline, "--", str(PARAMS_FILE)) is not None:
        return []
    before, now = parse(git("show", f"{baseline}:./{PARAMS_FILE}") or ""), parse(read_params())
    if name not in before.get("variants", {}):  # new, all of it; or git does not know
        return []
    earlier, own = flatten(before), f"variants.{name}."
    changed = {key: value for key, value in flatten(now).items() if earlier.get(key) != value}
    return [
        f"{key.removeprefix(own)}={value}"
        for key, value in changed.items()
        if (key.startswith(own) or not key.startswith(("variants.", *NOT_SHOWN))) and is_in_use(key, now)
    ]


def is_in_use(key: str, params: Mapping[str, Any]) -> bool:
    """Whether it is no length of another budget, and no text."""
    *_, group, last = ["", *key.split(".")]
    return last not in ("summary", "paper") and (group != "images" or last in ("", params.get("budget"), "real_images"))


def read_texts(name: str) -> Mapping[str, Any]:
    """A variant's summary and paper, of params.yaml; nothing where it is no variant.

    Read here and not by the stage: no training depends on the texts.
    """
    return parse(read_params()).get("variants", {}).get(name, {})


def read_params() -> str:
    """The text of params.yaml; nothing where there is no such file."""
    try:
        return Path(PARAMS_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""


def parse(text: str) -> dict[str, Any]:
    """YAML as a mapping; an empty one for what is none: a stage has refused it, and an observer must not fail."""
    try:
        data = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
