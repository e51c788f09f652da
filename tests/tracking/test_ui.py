"""MLflow's own pages in a real browser: what a person sees of our runs, and with how many clicks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from stages.config.params import Tracking, load
from stages.tracking.event_log import EventLog
from stages.tracking.pages import addresses
from stages.tracking.recorded_scores import record_report, record_scores
from stages.tracking.store import open_store
from stages.tracking.ui import main
from tests.browser import open_browser, set_size
from tests.conftest import ROOT
from tests.tools.faults import Server, free_port, is_listening, stop_exporters
from tests.tracking.conftest import model_files

SECONDS = 60  # for a page
SIZE = 1500, 1000  # of the window
FIDS = {"mlp": 30.5, "dcgan": 4.25, "acgan": 1.5}
STEPS = (10, 20)
SHADES = {10: 50, 20: 200}  # of the samples at a step


class Pages(NamedTuple):
    """A server with runs of three variants."""

    server: str
    experiment: str
    runs: dict[str, str]  # ids by name


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("ui")
    server = Server(folder)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {
            "DVC_ROOT": str(folder),
            "DVC_EXP_NAME": "three-variants",
            "MLFLOW_TRACKING_URI": server.uri,
            "PYTHONPATH": str(ROOT),
        }.items():
            patch.setenv(variable, value)
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", folder)
        server.start()
        try:
            fill(folder)
            client = MlflowClient(server.uri)
            experiment = client.get_experiment_by_name("reprogan")
            assert experiment is not None
            runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])}
            yield Pages(server.uri, experiment.experiment_id, runs)
        finally:
            server.kill()
            stop_exporters(folder)


def fill(folder: Path) -> None:
    """A small build, as the stages record it."""
    tracking = load(components=False).tracking.model_copy(update={"wait_seconds": 120})
    models = {}
    for seed, (name, fid) in enumerate(FIDS.items()):
        sha256 = f"{seed}" * 64
        with EventLog(tracking, name) as event_log:
            event_log.begin_run(name, {"checkpoint": "last", "variant": {"images": 20}, "seed": seed})
            for step in STEPS:
                event_log.metrics(step, {"generator_loss": fid / step, "discriminator_loss": step / 10})
                event_log.images("samples", step, np.full((9, 1, 28, 28), SHADES[step], np.uint8))
            event_log.metrics(1, {"cpu_utilization_percentage": 99.0}, "system")
            event_log.model(model_files(folder / "model", seed), sha256)
        run = {"variant": {"images": 20}, "seed": seed, "checkpoint": "last"}
        scores = {"fid": {"value": fid, "ci95": 0.25, "real": 0.125}, "validation_fid": {"value": fid - 0.25}}
        checkpoint = {"rule": "last", "images": 20}
        about = {"model_sha256": sha256, "run": run | {"starts_from": "latents"}, "scores": scores}
        models[name] = [about | {"checkpoint": checkpoint}]
        curve = [{"images": step, "fid": fid * 20 / step, "inception_score": step / 4} for step in STEPS]
        with EventLog(tracking, f"evaluate-{name}") as event_log:
            record_scores(event_log, name, models[name][0], curve, [seed])
    head = "variant,rank,fid,fid_ci95,validation_fid\n"
    ranked = [f"{name},{rank},{FIDS[name]},0.25,\n" for rank, name in enumerate(reversed(FIDS), 1)]
    (folder / "metrics").mkdir()
    (folder / "metrics/summary.csv").write_text(head + "".join(ranked))
    record_report(tracking, models)


@pytest.fixture(scope="module")
def browser(pages: Pages) -> Iterator[Any]:
    """In it MLflow's assistant is closed, which covers a quarter of every page at the first visit."""
    with open_browser(*SIZE) as driver:
        driver.get(pages.server)
        wait_for(driver, "MLflow Assistant")  # which opens itself once
        driver.execute_script("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
        yield driver


def show(browser: Any, address: str) -> None:
    """Open a page anew: to change what follows the # alone reloads nothing."""
    browser.get("about:blank")
    browser.get(address)


def wait_for(browser: Any, *texts: str) -> str:
    """The page's text in one line, once it has all of these."""

    def found(_: Any) -> str:
        text = " ".join(browser.find_element(By.TAG_NAME, "body").text.split())
        return text if all(part in text for part in texts) else ""

    return WebDriverWait(browser, SECONDS).until(
        found, f"{texts} not in: {browser.find_element(By.TAG_NAME, 'body').text}"
    )


def rows(browser: Any) -> list[str]:
    """Texts of the rows of a table, from top to bottom: a table has a part that scrolls and one that does not."""
    found: dict[int, str] = {}
    for row in browser.find_elements(By.CSS_SELECTOR, ".ag-row"):
        index = int(row.get_attribute("row-index"))
        found[index] = f"{found.get(index, '')} {row.text}"
    return [" ".join(found[index].split()) for index in sorted(found)]


def shades(browser: Any) -> list[int]:
    """For each picture on a page, the shade of its first sample."""
    script = """
        return [...document.querySelectorAll('img')].filter(one => one.naturalWidth > 100 && one.complete).map(one => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [one.naturalWidth, one.naturalHeight];
            canvas.getContext('2d').drawImage(one, 0, 0);
            return canvas.getContext('2d').getImageData(15, 15, 1, 1).data[0];
        })"""
    return [round(shade, -1) for shade in browser.execute_script(script)]


def wait_for_shades(browser: Any, expected: list[int]) -> None:
    WebDriverWait(browser, SECONDS).until(lambda _: shades(browser) == expected, f"{expected}")


def test_the_first_page_has_the_best_fid_at_its_top(browser: Any, pages: Pages) -> None:
    show(browser, addresses(pages.server, pages.experiment)["runs, best FID first"])
    wait_for(browser, "scores/fid", "three-variants", "Model training")
    WebDriverWait(browser, SECONDS).until(lambda _: len(rows(browser)) == 4)
    *variants, build = rows(browser)
    assert [name for row in variants for name in FIDS if name in row.split()] == ["acgan", "dcgan", "mlp"]
    assert [str(FIDS[name]) in row.split() for name, row in zip(reversed(FIDS), variants, strict=True)] == [True] * 3
    assert "three-variants" in build


def test_a_run_says_what_it_is_and_shows_its_curves_in_groups(browser: Any, pages: Pages) -> None:
    run = f"{pages.server}/#/experiments/{pages.experiment}/runs/{pages.runs['dcgan']}"
    show(browser, run)
    text = wait_for(
        browser, "strided convolutions with batch norm (Radford et al., 2016)", "reprogan-dcgan", "Parent run"
    )
    assert "FID 4.25 ± 0.25 (real images: 0.12), rank 2 of 3" in text
    show(browser, f"{run}/model-metrics")
    text = wait_for(browser, "along_training (4)", "scores (3)")
    assert text.index("along_training (4)") < text.index("scores (3)")
    wait_for_shades(browser, [SHADES[20]])  # the last samples, without a click
    first_step, second_step = STEPS
    move_slider(browser, first_step)
    wait_for_shades(browser, [SHADES[20], SHADES[first_step]])
    move_slider(browser, second_step)
    wait_for_shades(browser, [SHADES[20], SHADES[second_step]])
    show(browser, f"{run}/system-metrics")
    wait_for(browser, "cpu_utilization_percentage")


def move_slider(browser: Any, step: int) -> None:
    """Move the slider of the one grid with several steps."""
    slider = browser.find_element(By.CSS_SELECTOR, "[role=slider]:not([data-disabled])")
    key = Keys.RIGHT if int(slider.get_attribute("aria-valuenow")) < step else Keys.LEFT
    while int(slider.get_attribute("aria-valuenow")) != step:
        slider.send_keys(key)


def test_runs_are_compared_by_their_samples_and_fid(browser: Any, pages: Pages) -> None:
    show(browser, addresses(pages.server, pages.experiment)["their samples and curves"])
    text = wait_for(browser, "Samples and FID (3)", "training (2)", *FIDS)
    assert text.index("Samples and FID (3)") < text.index("training (2)")
    wait_for_shades(browser, [SHADES[20]] * len(FIDS))


def test_two_runs_are_compared_in_a_table(browser: Any, pages: Pages) -> None:
    first, second = (pages.runs[name] for name in ("acgan", "dcgan"))
    show(browser, f'{pages.server}/#/compare-runs?runs=["{first}","{second}"]&experiments=["{pages.experiment}"]')
    text = wait_for(browser, "Comparing 2 Runs", "Run Name: acgan dcgan", "scores/fid", "training/generator_loss")
    assert " 1.5 4.25 " in text


def test_generators_have_their_scores_next_to_each_other(browser: Any, pages: Pages) -> None:
    """The page of MLflow 3.17 sorts models by no metric; `search_logged_models` does."""
    set_size(browser, 2600, 1000)  # scores are far to the right
    show(browser, addresses(pages.server, pages.experiment)["generators and their scores"])
    wait_for(browser, "Model name", "scores/fid", "scores/validation_fid")
    found = {name: row for row in rows(browser) for name in FIDS if name in row.split()}
    assert {name for name, fid in FIDS.items() if str(fid) in found[name].split()} == set(FIDS)
    set_size(browser, *SIZE)
    models = MlflowClient(pages.server).search_logged_models(
        [pages.experiment], order_by=[{"field_name": "metrics.scores/fid", "ascending": True}]
    )
    assert [model.name for model in models] == list(reversed(FIDS))


def test_the_registry_has_the_champion(browser: Any, pages: Pages) -> None:
    show(browser, addresses(pages.server, pages.experiment)["the best generator"])
    text = wait_for(browser, "@ champion", "variant : acgan", "validation_fid : 1.25")
    assert "Version 1" in text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_make_ui_serves_the_local_store_and_names_its_pages_once_they_can_be_opened(
    tracking: Tracking, number: signal.Signals, code: int
) -> None:
    (Path.cwd() / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    store, experiment = open_store("reprogan")
    store.delete_experiment(experiment)
    port = free_port()
    command = [sys.executable, "-m", "stages.tracking.ui", "--port", str(port)]
    proxy = {"http_proxy": "http://127.0.0.1:1"}  # nobody answers there
    log, lines = Path("ui.log"), list[str]()
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env=os.environ | proxy,
            start_new_session=True,
            # a shell's background jobs ignore SIGINT, and what they start inherits that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + SECONDS
        while "Ctrl-C ends it" not in lines and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            lines = log.read_text().splitlines()
        restored = "the experiment 'reprogan' was deleted in MLflow: restored, with all its runs"
        named = addresses(f"http://127.0.0.1:{port}", experiment)
        assert lines == [restored, *(f"{shown}: {address}" for shown, address in named.items()), "Ctrl-C ends it"]
        assert search_runs(port, experiment) == {}
        with pytest.raises(ConnectionRefusedError):  # a server of all addresses would answer
            socket.create_connection(("127.0.0.2", port), timeout=5)
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (again.returncode, again.stdout) == (1, "")
        other = "`make ui PORT=<another>` takes another"
        assert again.stderr == f"error: port {port} is in use, by another `make ui`? {other}\n"
        os.killpg(process.pid, number)  # as a terminal does
        assert process.wait(SECONDS) == code
        assert log.read_text().splitlines()[len(lines) :] == (["interrupted"] if code == 130 else [])
        assert not is_listening(port)
    finally:
        process.terminate()
        process.wait(SECONDS)


def search_runs(port: int, experiment: str) -> Any:
    body = json.dumps({"experiment_ids": [experiment]}).encode()
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search"
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
        return json.load(answer)


@pytest.mark.parametrize("port", ["0", "70000", "x"])
def test_a_port_that_does_not_exist_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ui", "--port", port])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert port in capsys.readouterr().err.splitlines()[-1]


def test_make_ui_says_in_a_line_what_is_wrong_with_the_store(tracking: Tracking, tmp_path: Path) -> None:
    (Path.cwd() / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    database = tmp_path / "repository/mlflow.db"
    database.write_bytes(b"no database" * 1000)
    command = [sys.executable, "-m", "stages.tracking.ui"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: MLflow's store: {database}: DatabaseError: file is not a database\n"
