"""A git repository with a params.yaml in its history, for tests of what a run is called and what it belongs to."""

import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PARAMS: dict[str, Any] = {
    "budget": "quick",
    "training": {"seeds": [0], "log_steps": 3},
    "tracking": {"enabled": True},
    "variants": {
        name: {"summary": "a GAN", "paper": "P, 2000", "batch_size": 8, "images": {"quick": 5, "full": 9}}
        for name in ("x", "y")
    },
}


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str) -> str:
    git("add", "--all")
    git("commit", "--quiet", "-m", message)
    return git("rev-parse", "HEAD")


def write(params: Any) -> None:
    YAML().dump(params, Path("params.yaml"))


def change(**values: Any) -> None:
    """Change dotted keys, with __ for a dot."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    for key, value in values.items():
        *parents, last = key.split("__")
        place = params
        for parent in parents:
            place = place[parent]
        place[last] = value
    write(params)
