"""The store's runs of builds, and its experiment."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from stages.config.params import Tracking
from stages.tracking.event_log import EventLog
from stages.tracking.pages import ABOUT, VIEW
from stages.tracking.store import create_experiment, open_store, settle_build
from tests.tracking.conftest import client, every_run, runs, store_uri

pytestmark = pytest.mark.usefixtures("exported_here")

STAGES = 4
CREATE = """
import sys
from stages.tracking.store import find_or_create_build, open_store
client, experiment = open_store("reprogan")
print("ready", flush=True)
sys.stdin.read()
print(find_or_create_build(client, experiment, "a key", "a name", {}, 1000))
"""


def test_stages_at_once_find_one_parent(tracking: Tracking, tmp_path: Path) -> None:
    open_store("reprogan")
    command = [sys.executable, "-c", CREATE]
    stages = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(STAGES)
    ]
    for stage in stages:
        assert stage.stdout is not None
        assert stage.stdout.readline() == "ready\n"
    for stage in stages:
        assert stage.stdin is not None
        stage.stdin.close()  # all at once
    found = set()
    for stage in stages:
        assert stage.stdout is not None
        found.add(stage.stdout.read().strip())
        assert not stage.wait()
    (parent,) = every_run(tmp_path)
    assert found == {parent.info.run_id}
    assert (parent.info.run_name, parent.info.status) == ("a name", "FINISHED")


def test_runs_of_a_build_have_one_parent_that_lasts_as_long_as_they(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x", "y"):
        with EventLog(tracking, name) as event_log:
            event_log.begin_run(name, {})
    monkeypatch.setenv("DVC_EXP_NAME", "other")
    with EventLog(tracking, "z") as event_log:
        event_log.begin_run("z", {})
    parents = {run.info.run_name: run for run in every_run(tmp_path) if "reprogan.build" in run.data.tags}
    assert set(parents) == {"odd-name", "other"}
    found = {run.info.run_name: run.data.tags["mlflow.parentRunId"] for run in runs(tmp_path)}
    first, other = parents["odd-name"], parents["other"]
    assert found == {"x": first.info.run_id, "y": first.info.run_id, "z": other.info.run_id}
    begun, ended = zip(*((run.info.start_time, run.info.end_time) for run in runs(tmp_path)[:2]), strict=True)
    assert (first.info.start_time, first.info.end_time) == (min(begun), max(ended))
    assert first.data.metrics == {}
    assert first.data.tags["dvc.exp_name"] == "odd-name"
    assert "dvc.stage" not in first.data.tags


def test_a_parent_that_was_deleted_has_a_successor(tracking: Tracking, tmp_path: Path) -> None:
    for _ in range(2):
        with EventLog(tracking, "x") as event_log:
            event_log.begin_run("x", {})
        (parent,) = (run for run in every_run(tmp_path) if "reprogan.build" in run.data.tags)
        assert runs(tmp_path)[-1].data.tags["mlflow.parentRunId"] == parent.info.run_id
        client(tmp_path).delete_run(parent.info.run_id)


def test_runs_of_two_parents_move_to_the_first_and_the_other_one_goes(tracking: Tracking, tmp_path: Path) -> None:
    """As machines that began at the same time leave them: they share no lock."""
    store, experiment = open_store("reprogan")
    second, first = (store.create_run(experiment, time, {"reprogan.build": "key"}).info.run_id for time in (2000, 1000))
    ours, theirs = (store.create_run(experiment, tags={"mlflow.parentRunId": second}).info.run_id for _ in range(2))
    assert settle_build(store, experiment, "key", ours, second) == first
    assert store.get_run(second).info.lifecycle_stage == "active"  # theirs is there
    assert settle_build(store, experiment, "key", theirs, second) == first
    assert store.get_run(second).info.lifecycle_stage == "deleted"
    assert settle_build(store, experiment, "key", theirs, first) == first
    assert store.get_run(first).info.lifecycle_stage == "active"
    assert {store.get_run(run).data.tags["mlflow.parentRunId"] for run in (ours, theirs)} == {first}
    store.delete_run(first)
    assert settle_build(store, experiment, "key", ours, first) == ""


def test_an_experiment_that_another_machine_made_just_now_is_taken(tracking: Tracking, tmp_path: Path) -> None:
    store, experiment = open_store("reprogan")
    assert create_experiment(store, "reprogan", None, {}) == experiment
    with pytest.raises(mlflow.MlflowException, match="Invalid"):
        create_experiment(store, "", None, {})


def test_an_experiment_says_what_to_look_at(tracking: Tracking, tmp_path: Path) -> None:
    _, experiment_id = open_store("reprogan")
    tags = client(tmp_path).get_experiment(experiment_id).tags
    assert tags["mlflow.note.content"] == ABOUT
    assert tags["mlflow.experiment.primaryMetric.name"] == "scores/fid"
    assert "metrics.`scores/fid`" in json.loads(tags[f"mlflow.sharedViewState.{VIEW}"])["selectedColumns"]


def test_an_older_experiment_gets_what_it_lacks_and_keeps_its_own_description(
    tracking: Tracking, tmp_path: Path
) -> None:
    store = MlflowClient(store_uri(tmp_path))
    own = {"mlflow.note.content": "mine", f"mlflow.sharedViewState.{VIEW}": "of an earlier version"}
    experiment_id = store.create_experiment("reprogan", tags=own)
    assert open_store("reprogan")[1] == experiment_id
    tags = store.get_experiment(experiment_id).tags
    assert tags["mlflow.note.content"] == "mine"
    assert json.loads(tags[f"mlflow.sharedViewState.{VIEW}"])["orderByAsc"] is True
