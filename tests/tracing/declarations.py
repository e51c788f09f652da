"""Hold what stages read, as sitecustomize.py wrote it down, to what dvc.yaml declares: both ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

# Patterns of files and keys that count neither way, of all stages or of one, with the reason why.
EXEMPT_FILES = {
    "stages/tracking/*": "observers: they receive numbers and give none back",
    "stages/config/*": "can only refuse: no model has a default or converts",
    "stages/__init__.py": "tests/test_threads.py holds every library to one thread, which is all that it sees to",
    "stages/*/__init__.py": "a docstring and nothing else",
    "params.yaml": "every stage checks it whole; the values that it looks at are compared below",
    "dvc.yaml": "read where params.yaml changed while the stage ran, to say whether that matters",
    ".cache/*": "event logs and checkpoints",
    "report reads models/*": "the champion's weights: their hash is in metrics/variants, which is declared",
    "data/checked.txt": "always the same: it makes check come before fetch",
    "check declares stages/*/*": "names of files alone, which it looks for",
    "data/reference/validation_features.npy": "sample reads it where training.checkpoint is best",
}
EXEMPT_KEYS = {
    "tracking.*": "of observers",
    "resume.*": "how often a training writes down its state",
    "cuda_graphs": "launches the same kernels at once: the bytes are the same",
    "sample.processes": "that share the work: the bytes are those of one",
    "fetch.*": "which of the sources is asked; whichever serves, the bytes are the same",
    "preprocess.test_images": "of image_folder alone",
    "preprocess.image_size": "of image_folder alone",
    "preprocess.channels": "of image_folder alone",
    "preprocess.fit": "of image_folder alone",
}
WHOLE_FILE = {
    "check": "it depends on params.yaml as a file, and writes the same whatever is in it",
    "report": "it depends on params.yaml as a file: the names and texts of all variants",
}


class Stage(NamedTuple):
    """What dvc.yaml says of a stage: paths, and keys of params.yaml, of which a short one stands for all below it."""

    files: frozenset[str]
    keys: frozenset[str]
    outs: frozenset[str]


class Trace(NamedTuple):
    """What a stage read: code that it ran and data, code that it imported, keys."""

    files: frozenset[str]
    imported: frozenset[str]
    keys: frozenset[str]


def read_declarations(stages: Iterable[Any], root: Path) -> dict[str, Stage]:
    """By name, from DVC's stages."""

    def below_root(items: Iterable[Any]) -> frozenset[str]:
        return frozenset(str(Path(str(item)).absolute().relative_to(root)) for item in items)

    return {
        stage.name: Stage(
            below_root(dep.fs_path for dep in stage.deps if not hasattr(dep, "params")),
            frozenset(key for dep in stage.deps for key in getattr(dep, "params", ())),
            below_root(out.fs_path for out in stage.outs),
        )
        for stage in stages
    }


def read_traces(folder: Path) -> dict[str, Trace]:
    """By the name of the stage; files of an environment inside the repository are left out."""
    contents = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return {
        name: Trace(
            frozenset(file for file in content["data"] + content["ran"] if not file.startswith(".venv/")),
            frozenset(content["imported"]),
            frozenset(content["keys"]),
        )
        for name, content in contents.items()
    }


def is_exempt(name: str, patterns: Mapping[str, str]) -> bool:
    """Whether one of the patterns matches."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def is_below(name: str, parents: Iterable[str], separator: str) -> bool:
    """Whether a file or key is one of the parents, or in one."""
    return any(name == parent or name.startswith(parent + separator) for parent in parents)


def undeclared(stages: Mapping[str, Stage], traces: Mapping[str, Trace]) -> Iterator[str]:
    """What a stage read without declaring it."""
    for name, trace in traces.items():
        stage = stages[name]
        for file in sorted(trace.files):
            read = f"{name} reads {file}"
            exempt = is_exempt(file, EXEMPT_FILES) or is_exempt(read, EXEMPT_FILES)
            if not exempt and not is_below(file, stage.files | stage.outs, "/"):
                yield read
        for key in sorted(trace.keys):
            if name not in WHOLE_FILE and not is_exempt(key, EXEMPT_KEYS) and not is_below(key, stage.keys, "."):
                yield f"{name} reads {key}"


def unread(
    stages: Mapping[str, Stage], traces: Mapping[str, Trace], leaves: Iterable[str], root: Path
) -> Iterator[str]:
    """What is declared and read by no stage of a template: each file of a folder of code, each key, a file of data."""
    leaves = list(leaves)
    for template in sorted({name.split("@")[0] for name in traces}):
        names = [name for name in traces if name.split("@")[0] == template]
        files = frozenset().union(*(traces[name].files | traces[name].imported for name in names))
        keys = frozenset().union(*(of_any_variant(traces[name].keys) for name in names))
        for path in sorted(frozenset().union(*(stages[name].files for name in names))):
            is_code = path.startswith("stages/") and (root / path).is_dir()
            wanted = [str(file.relative_to(root)) for file in (root / path).rglob("*.py")] if is_code else [path]
            for file in sorted(wanted):
                named = f"{template} declares {file}"
                exempt = is_exempt(file, EXEMPT_FILES) or is_exempt(named, EXEMPT_FILES)
                if not exempt and not any(is_below(one, [file], "/") for one in files):
                    yield named
        declared = frozenset().union(*(stages[name].keys for name in names))
        for key in sorted(of_any_variant(leaf for leaf in leaves if is_below(leaf, declared, "."))):
            if not is_exempt(key, EXEMPT_KEYS) and key not in keys:
                yield f"{template} declares {key}"


def of_any_variant(keys: Iterable[str]) -> frozenset[str]:
    """Keys with a star in place of a variant's name."""
    split = (key.split(".") for key in keys)
    return frozenset(".".join([key[0], "*", *key[2:]] if key[0] == "variants" else key) for key in split)


def leaves_of(params: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of all that is no mapping."""
    for name, value in params.items():
        key = f"{place}.{name}" if place else str(name)
        if isinstance(value, dict):
            yield from leaves_of(value, key)
        else:
            yield key, value
