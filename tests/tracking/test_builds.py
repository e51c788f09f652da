"""Which build a run belongs to."""

from pathlib import Path

import pytest

from stages.tracking.builds import Build, find_build, read_texts
from tests.tracking.history import git


def test_a_build_is_a_commit_or_an_experiment(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git("rev-parse", "HEAD")
    assert find_build() == Build(head, f"{head[:7]} Try something: once")
    monkeypatch.setenv("DVC_EXP_NAME", "odd-name")
    assert find_build() == Build("odd-name", "odd-name")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", head)  # names of experiments are unique at a baseline alone
    assert find_build() == Build(f"odd-name {head}", "odd-name")
    monkeypatch.setenv("DVC_EXP_NAME", "it's")  # MLflow could not look for it
    assert find_build() == Build(f"its {head}", "it's")


def test_signatures_that_git_shows_are_no_part_of_a_build(repository: Path, tmp_path: Path) -> None:
    gpg = tmp_path / "gpg"
    said = ("[GNUPG:] SIG_CREATED ", "gpg: Good signature")
    lines = ["cat >/dev/null", *(f"echo '{line}' >&2" for line in said), "echo -----BEGIN PGP SIGNATURE-----"]
    gpg.write_text("\n".join(["#!/bin/sh", *lines]))
    gpg.chmod(0o755)
    for key, value in (("gpg.program", str(gpg)), ("log.showSignature", "true")):
        git("config", key, value)
    git("commit", "--quiet", "--allow-empty", "--gpg-sign", "-m", "Sign")
    head = git("rev-parse", "HEAD")
    assert "Good signature" in git("log", "-1")
    assert find_build() == Build(head, f"{head[:7]} Sign")


def test_a_subject_may_be_of_another_encoding(repository: Path) -> None:
    Path("message").write_bytes("Größer".encode("latin-1"))
    git("-c", "i18n.commitEncoding=latin-1", "commit", "--quiet", "--allow-empty", "--file", "message")
    git("config", "i18n.logOutputEncoding", "latin-1")
    found = find_build()
    assert found is not None
    assert found.name.endswith(" Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}er")


def test_there_is_no_build_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_build() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_build() is None


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "a: [", "x: 2000-99-99", "variants:\n", "variants: [x]\n", "variants: {x: }\n"]
)
def test_a_file_that_is_no_mapping_gives_no_texts(text: str, repository: Path) -> None:
    Path("params.yaml").write_text(text)
    assert read_texts("x") == {}
    Path("params.yaml").unlink()
    assert read_texts("x") == {}


def test_texts_are_those_of_the_variant(repository: Path) -> None:
    assert read_texts("x")["summary"] == "a GAN"
    assert read_texts("classifier") == {}
