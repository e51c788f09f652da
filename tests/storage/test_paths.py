"""Where files are: in the repository that an experiment was started from, and a folder for each further seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.storage.paths import repository, seed_folder


def test_the_first_seeds_files_are_at_the_top_and_others_in_folders_of_their_own() -> None:
    folders = [seed_folder(Path("models/mlp"), [3, 5], seed) for seed in (3, 5)]
    assert folders == [Path("models/mlp"), Path("models/mlp/seed_5")]


def test_the_repository_is_dvcs_where_dvc_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert repository() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "original"))  # as in a temporary copy
    assert repository() == tmp_path.resolve() / "original"
