"""A team's servers, started here: data and caches on an S3 store, runs in MLflow over HTTP, and what if they fail."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.tracking import MlflowClient
from PIL import Image
from ruamel.yaml import YAML
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from stages.storage.files import read_json, read_rows
from stages.tracking.pages import addresses
from tests.browser import open_browser
from tests.conftest import FEW_IMAGES, ROOT, clone_repository, commit_all, run, set_parameters
from tests.servers import Servers, log_sizes, print_logs, start_servers
from tests.tools.faults import environment, free_port, outputs, run_there, small_training, stop_exporters, train
from tests.tools.rebuilds import hashes

VARIANTS = ("mlp", "cgan")  # two: a ranking, and labels
SMALL: dict[str, Any] = FEW_IMAGES | {
    "training.snapshots": 3,
    "downstream.images.smoke": 256,
    "downstream.real_images": 20,
    "tracking.wait_seconds": 120,
}
SHADES = {"dark": 60, "light": 190}  # of images, by class
IMAGES = 50  # per class
CLIENTS = 20
RESTORE = (sys.executable, "-m", "stages.tracking.restore")
SYNC = (sys.executable, "-m", "stages.tracking.exporter", "sync")
# each client is a machine of its own: it shares no lock with others. They are forks, or importing would take the time
CLIENT = f"""
import multiprocessing, os, sys
from pathlib import Path
import numpy as np
from stages.config.params import Tracking
from stages.tracking import event_log as module
from stages.tracking.exporter import sync

module.start_exporter = lambda folder: None
module.wait_for_exporter = lambda folder, process, seconds: ""
together = multiprocessing.get_context("fork").Barrier({CLIENTS})

def log(number):
    os.environ["DVC_ROOT"] = str(Path(sys.argv[1]) / str(number))
    Path(os.environ["DVC_ROOT"]).mkdir()
    with module.EventLog(Tracking(enabled=True, experiment="crowd", wait_seconds=1), f"client-{{number}}") as event_log:
        event_log.begin_run(f"client-{{number}}", {{"checkpoint": "last", "seed": number}})
        for step in range(1, 51):
            event_log.metrics(step, {{"loss": number + step / 100}})
        event_log.images("samples", 50, np.full((9, 1, 8, 8), number, np.uint8))
        event_log.artifact("number.txt", str(number).encode())
    together.wait()
    return sync()

children = []
for number in range({CLIENTS}):
    child = os.fork()
    if not child:
        os._exit(log(number))
    children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with start_servers(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(autouse=True)
def logs(servers: Servers) -> Iterator[None]:
    """What the servers wrote meanwhile, where a test fails."""
    before = log_sizes(servers.folder)
    yield
    print_logs(servers.folder, before)


@pytest.fixture(scope="module")
def people(servers: Servers) -> dict[str, dict[str, str]]:
    """Two users of MLflow who administrate nothing: their variables by name."""
    found = {}
    for name in ("ada", "bob"):
        password = secrets.token_urlsafe(12)
        about = {"username": name, "password": password}
        made = requests.post(
            f"{servers.mlflow}/api/2.0/mlflow/users/create", json=about, auth=("admin", servers.password), timeout=60
        )
        assert made.ok, made.text
        found[name] = servers.as_user(name, password)
    return found


@contextlib.contextmanager
def client_of(person: dict[str, str]) -> Iterator[MlflowClient]:
    """MLflow's client with a person's name and password."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in person.items():
            patch.setenv(name, value)
        mlflow.set_tracking_uri(person["MLFLOW_TRACKING_URI"])
        yield MlflowClient(person["MLFLOW_TRACKING_URI"])


def follow(start: str, clone: Path, servers: Servers, secret: str = "") -> None:
    """Run the commands of docs/servers.md that start like this, with this store's address and keys in their place."""
    here = {
        "http://127.0.0.1:9000": servers.store,
        "access_key_id reprogan": f"access_key_id {servers.key}",
        "<secret>": secret or servers.secret,
    }
    commands = re.findall(rf"^{start} .+$", (ROOT / "docs/servers.md").read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        for written, meant in here.items():
            command = command.replace(written, meant)
        run(*shlex.split(command), cwd=clone)


def give_credentials(clone: Path, servers: Servers, secret: str = "") -> None:
    """To this machine alone."""
    follow("dvc remote modify --local storage", clone, servers, secret)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, servers: Servers, people: dict[str, dict[str, str]]) -> Path:
    """A clone in which ada built the whole pipeline, recorded on the server."""
    clone = clone_repository(tmp_path_factory.mktemp("built") / "reprogan")
    every = YAML().load(clone / "params.yaml")["variants"]
    set_parameters(clone, SMALL | {"variants": {name: every[name] for name in VARIANTS}})
    set_parameters(clone, {f"variants.{name}.images.smoke": 1600 for name in VARIANTS})
    draw_images(clone / "data/local")
    commit_all(clone, "two variants")
    done = run("dvc", "repro", cwd=clone, check=True, **people["ada"])
    assert "tracking:" not in done.stdout + done.stderr
    follow("dvc remote add", clone, servers)
    follow("dvc remote modify storage", clone, servers)
    give_credentials(clone, servers)
    commit_all(clone, "built")
    return clone


def draw_images(folder: Path) -> None:
    """Noise of two shades, one per class."""
    random = np.random.default_rng(0)
    for name, shade in SHADES.items():
        (folder / name).mkdir(parents=True)
        for index in range(IMAGES):
            pixels = random.normal(shade, 40, (12, 12)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def test_the_whole_pipeline_is_recorded_on_the_server(
    built: Path, servers: Servers, people: dict[str, dict[str, str]]
) -> None:
    assert not list((built / ".cache/tracking").iterdir())
    assert not (built / "mlflow.db").exists()
    with client_of(people["ada"]) as client:
        experiment = client.get_experiment_by_name("reprogan")
        assert experiment is not None
        found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
        (name_of_build,) = found.keys() - {*VARIANTS, "classifier"}
        assert re.fullmatch("[0-9a-f]{7} two variants", name_of_build)
        build = found.pop(name_of_build)
        assert found.keys() == {*VARIANTS, "classifier"}
        assert "report/index.html" in [file.path for file in client.list_artifacts(build.info.run_id, "report")]
        for name, one in found.items():
            assert one.info.status == "FINISHED"
            assert one.data.tags["mlflow.parentRunId"] == build.info.run_id
            curve = client.get_metric_history(one.info.run_id, f"training/{curve_of(name)}")
            assert len(curve) == len({point.step for point in curve}) > 3
        for name in VARIANTS:
            rows = read_rows(built / f"metrics/variants/{name}/losses.csv")
            curve = client.get_metric_history(found[name].info.run_id, "training/generator_loss")
            assert [point.step for point in curve] == [row["images"] for row in rows]
            fid = read_json(built / f"metrics/{name}.json")["fid"]
            assert found[name].data.metrics["scores/fid"] == pytest.approx(fid, rel=1e-6)
            pictures = client.list_artifacts(found[name].info.run_id, "images")
            assert len([file for file in pictures if file.path.endswith(".webp")]) == SMALL["training.snapshots"] + 1
            (version,) = client.search_model_versions(f"name = 'reprogan-{name}'")
            assert version.run_id == found[name].info.run_id
        champion = client.get_model_version_by_alias("reprogan", "champion")
        best = min(VARIANTS, key=lambda name: found[name].data.metrics["scores/validation_fid"])
        assert champion.tags["variant"] == best
        model = mlflow.pyfunc.load_model("models:/reprogan-cgan/1")
        assert model.predict(pd.DataFrame({"seed": [1], "label": ["dark"]})).shape == (1, 1, 12, 12)
    assert len(objects(servers, "mlflow", f"{experiment.experiment_id}/models/")) > 100


def curve_of(name: str) -> str:
    return "generator_loss" if name in VARIANTS else "loss"


def test_a_push_that_fails_costs_one_line_and_a_later_one_completes(built: Path, servers: Servers) -> None:
    before, full = hashes(built), servers.folder / "full"
    address = f"http://127.0.0.1:{free_port()}"
    run("dvc", "remote", "modify", "--local", "storage", "endpointurl", address, cwd=built)
    assert f'Could not connect to the endpoint URL: "{address}' in failure(built, "push")
    run("dvc", "remote", "modify", "--local", "--unset", "storage", "endpointurl", cwd=built)
    give_credentials(built, servers, "wrong")
    assert "signature we calculated does not match" in failure(built, "push")
    give_credentials(built, servers)
    full.touch()
    assert "the store is full" in failure(built, "push")
    full.unlink()
    assert hashes(built) == before
    assert re.fullmatch(r"push: \d+ files pushed\n", run(*share("push"), cwd=built).stdout)
    stored = {one["Key"].removeprefix("reprogan/"): one["Size"] for one in objects(servers, "dvc", "reprogan/")}
    assert len(stored) > 100
    assert stored == {name: (built / ".dvc/cache" / name).stat().st_size for name in stored}  # none is cut off


def share(direction: str) -> tuple[str, ...]:
    """What `make push` and `make pull` run."""
    return (sys.executable, "-m", "stages.share", direction)


def failure(clone: Path, direction: str) -> str:
    """The one line of a transfer that fails."""
    done = run(*share(direction), cwd=clone, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: {direction}: .+; nothing is lost, and `make {direction}` goes on from here\n", done.stderr
    )
    return done.stderr


def test_a_clone_elsewhere_pulls_and_has_nothing_to_run(
    built: Path, servers: Servers, people: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    clone = tmp_path / "elsewhere"
    run("git", "clone", "--quiet", str(built), str(clone), cwd=tmp_path)
    assert "Unable to locate credentials" in failure(clone, "pull")
    give_credentials(clone, servers)
    run(*share("pull"), cwd=clone)
    assert run("git", "status", "--short", cwd=clone).stdout == ""
    shutil.rmtree(built / "data/local")  # of ada's machine alone
    assert hashes(clone) == hashes(built)
    assert "Running stage" not in run("dvc", "repro", cwd=clone).stdout
    said = run(*RESTORE, cwd=clone, check=True, **people["bob"]).stdout  # he may set the champion of ada's runs
    assert said.endswith("MLflow: runs of 2 models: 2 complete, 0 completed now, 0 restored\n")
    (clone / "dvc.lock").unlink()  # as if git had nothing of her build
    stages = ("preprocess", "classifier", "train@mlp")
    output = run("dvc", "repro", "--single-item", *stages, cwd=clone).stdout
    assert re.findall(r"Stage '(\S+)' is cached - skipping run", output) == list(stages)


def test_git_gets_no_credentials(built: Path, servers: Servers) -> None:
    assert servers.secret in (built / ".dvc/config.local").read_text()
    assert servers.secret not in run("git", "log", "--patch", "--all", cwd=built).stdout
    config = built / ".dvc/config"
    content = config.read_text()
    run("dvc", "remote", "modify", "storage", "secret_access_key", servers.secret, cwd=built)  # without --local
    refused = run(*share("push"), cwd=built, check=False)
    config.write_text(content)
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: .dvc/config is in git, and has secret_access_key: use `dvc remote modify --local`\n"
    )


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Path]:
    """A folder for a tracked training of some seconds."""
    tracked = {"tracking.enabled": True, "tracking.wait_seconds": 120, "tracking.experiment": "later"}
    yield small_training(tmp_path / "tracked", tracked)
    stop_exporters(tmp_path)


def test_a_training_goes_on_with_a_wrong_password_and_is_recorded_later(
    training: Path, servers: Servers, people: dict[str, dict[str, str]]
) -> None:
    said = train(training, **people["ada"] | {"MLFLOW_TRACKING_PASSWORD": "wrong"}).stderr
    assert re.fullmatch(
        r"tracking: not all in MLflow yet \(http.+does not know user 'ada'.+\); to export it later: .+\n", said
    )
    assert "models/mlp/generator.safetensors" in outputs(training)
    full = servers.folder / "full"
    full.touch()
    refused = subprocess.run(
        SYNC, cwd=training, env=environment(**people["ada"]), capture_output=True, text=True, check=False
    )
    full.unlink()
    assert refused.returncode == 1
    assert re.fullmatch(r"not exported \S+: pictures and model are missing: http.+ error responses\n", refused.stderr)
    assert re.fullmatch(r"exported \S+\n", run_there(training, *SYNC, **people["ada"]).stdout)
    with client_of(people["bob"]) as client:
        experiment = client.get_experiment_by_name("later")
        assert experiment is not None
        (one,) = client.search_runs([experiment.experiment_id])
        assert one.info.status == "FINISHED"
        assert len(client.get_metric_history(one.info.run_id, "training/generator_loss")) == 20
        assert len(objects(servers, "mlflow", f"{experiment.experiment_id}/models/")) > 50
    with client_of(people["ada"]) as client:
        client.delete_experiment(experiment.experiment_id)
    forbidden = subprocess.run(
        RESTORE, cwd=training, env=environment(**people["bob"]), capture_output=True, text=True, check=False
    )
    assert forbidden.returncode == 1
    assert "the experiment 'later' was deleted, and this user may not restore it" in forbidden.stderr
    assert "MLflow: runs of 1 models: 1 complete" in run_there(training, *RESTORE, **people["ada"]).stdout


def test_twenty_machines_at_once_lose_nothing(
    servers: Servers, people: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """Not even at first, when all create the experiment and the build's run at once."""
    script = tmp_path / "clients.py"
    script.write_text(CLIENT)
    run("git", "init", "--quiet", cwd=tmp_path)
    commit_all(tmp_path, "one commit")  # of which all are runs
    run("python", str(script), str(tmp_path), cwd=tmp_path, check=True, PYTHONPATH=str(ROOT), **people["ada"])
    with client_of(people["bob"]) as client:
        experiment = client.get_experiment_by_name("crowd")
        assert experiment is not None
        found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
        (name_of_build,) = (name for name in found if name.endswith(" one commit"))
        build = found.pop(name_of_build)
        assert found.keys() == {f"client-{number}" for number in range(CLIENTS)}
        assert {one.data.tags["mlflow.parentRunId"] for one in found.values()} == {build.info.run_id}
        for number in range(CLIENTS):
            one = found[f"client-{number}"]
            curve = client.get_metric_history(one.info.run_id, "training/loss")
            assert [point.value for point in curve] == [number + step / 100 for step in range(1, 51)]
            keys = [key["Key"] for key in objects(servers, "mlflow", f"{experiment.experiment_id}/{one.info.run_id}/")]
            assert {Path(key).suffix for key in keys} == {".txt", ".png", ".webp"}
            text = next(key for key in keys if key.endswith("number.txt"))
            assert servers.s3().get_object(Bucket="mlflow", Key=text)["Body"].read() == str(number).encode()


def objects(servers: Servers, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """What the store has under a prefix."""
    return list(servers.s3().list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"])


def test_the_page_asks_for_a_password_and_shows_the_runs(
    built: Path, servers: Servers, people: dict[str, dict[str, str]]
) -> None:
    assert requests.get(servers.mlflow, timeout=60).status_code == 401
    with client_of(people["bob"]) as client:
        experiment = client.get_experiment_by_name("reprogan")
        assert experiment is not None
    fid = read_json(built / "metrics/cgan.json")["fid"]
    login = servers.mlflow.replace("//", "//{MLFLOW_TRACKING_USERNAME}:{MLFLOW_TRACKING_PASSWORD}@")
    with open_browser(1500, 1000) as browser:
        browser.get(login.format(**people["bob"]))  # as if typed into the browser's own window, which then knows it
        browser.get("about:blank")
        browser.get(addresses(servers.mlflow, experiment.experiment_id)["runs, best FID first"])
        WebDriverWait(browser, 60).until(lambda _: pytest.approx(fid, rel=1e-6) in numbers(browser))
        text = browser.find_element(By.TAG_NAME, "body").text
        assert all(name in text for name in (*VARIANTS, "bob"))


def numbers(browser: Any) -> list[float]:
    """All that a page shows in its table."""
    cells = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, ".ag-cell")]
    return [float(text) for text in cells if re.fullmatch(r"-?\d+\.\d+", text)]
