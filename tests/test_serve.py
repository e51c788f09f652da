"""The server: pictures, MLflow's protocol, the page in a browser, and its answers to bad requests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from mlflow.tracking import MlflowClient
from PIL import Image
from safetensors.torch import save

from stages.config.errors import ParameterError
from stages.contracts.generator import Generator
from stages.serve import load_champion
from stages.serving import app as app_module
from stages.serving import trained_model
from stages.serving.app import create_app
from stages.serving.trained_model import TrainedModel, load_model
from stages.storage.files import read_json, write_bytes, write_json
from stages.storage.images import Split, write_split
from stages.storage.paths import CHECKPOINT, CONFIG, MODELS, SAMPLES, SNAPSHOTS
from stages.storage.pixels import to_float, to_uint8
from stages.tracking.served_model import LOADER, example_inputs
from tests.browser import console, open_browser, set_size
from tests.conftest import ROOT, clean_environment
from tests.serving.models import CLASSES, rows_one_by_one, write_model

NAME = "cgan"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a conditional model."""
    folder = tmp_path_factory.mktemp("served") / NAME
    write_model(folder, NAME)
    return folder


@pytest.fixture(scope="module")
def generator(folder: Path) -> Any:
    return load_model(folder).generator


@pytest.fixture(scope="module")
def client(folder: Path) -> TestClient:
    return client_of(folder)


def client_of(folder: Path) -> TestClient:
    return TestClient(create_app(load_model(folder)), base_url="http://127.0.0.1")


def close(drawn: Any, expected: Any) -> bool:
    """Whether images are the same, but for the roundings of batches of another size."""
    drawn, expected = np.asarray(drawn).astype(int), np.asarray(expected).astype(int)
    return drawn.shape == expected.shape and np.abs(drawn - expected).max() <= 1


def alone(generator: Any, seeds: list[int], labels: list[int], truncation: float = 1.0) -> np.ndarray:
    return to_uint8(rows_one_by_one(generator, seeds, labels, truncation)).numpy()


def cells(png: bytes, columns: int, count: int) -> np.ndarray:
    """The images of a picture, (count, 28, 28)."""
    picture = np.asarray(Image.open(io.BytesIO(png)))[::2, ::2]
    places = [divmod(index, columns) for index in range(count)]
    return np.stack([picture[1 + 29 * row :][:28, 1 + 29 * column :][:, :28] for row, column in places])


def test_a_picture_has_the_image_of_each_seed(client: TestClient, generator: Any) -> None:
    answer = client.get("/digits?label=two&seed=7&count=7&truncation=0.5")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert close(cells(answer.content, 3, 7), alone(generator, list(range(7, 14)), [2] * 7, 0.5)[:, 0])
    assert client.get("/digits?seed=4294967295&count=1").status_code == 200  # the last one
    assert close(cells(client.get("/digits").content, 4, 16), alone(generator, list(range(16)), [0, 1, 2, 3] * 4)[:, 0])


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"seed": 5, "label": "one"}, {"label": "two", "seed": 6}]},
        {"dataframe_split": {"columns": ["label", "seed"], "data": [["one", 5], ["two", 6]]}},
        {"inputs": {"seed": [5, 6], "label": ["one", "two"]}},
        {"instances": [{"seed": 5, "label": "one"}, {"seed": 6, "label": "two"}]},
        "seed,label\n5,one\n6,two\n",
    ],
)
def test_rows_are_answered_in_each_of_mlflows_formats(body: Any, client: TestClient, generator: Any) -> None:
    content, kind = (body, "text/csv") if isinstance(body, str) else (json.dumps(body), "application/json")
    answer = client.post("/invocations", content=content, headers={"content-type": f"{kind}; charset=utf-8"})
    assert answer.status_code == 200
    assert close(answer.json()["predictions"], alone(generator, [5, 6], [1, 2]))


def test_ten_thousand_rows_are_answered_and_each_is_that_of_its_seed(tmp_path: Path) -> None:
    write_model(tmp_path / NAME, NAME, (1, 4, 4))
    client = client_of(tmp_path / NAME)

    def pixels(seeds: list[int]) -> Any:
        return client.post("/invocations", json={"inputs": {"seed": seeds}}).json()["predictions"]

    many = pixels([*range(9_999), 2**32 - 1])
    assert len(many) == 10_000
    assert many[5000:5003] == pixels([5000, 5001, 5002])
    assert many[-1:] == pixels([2**32 - 1])


def test_larger_images_allow_fewer_rows(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def most(*shape: Any) -> int:
        return TrainedModel("", Generator(), [], shape).most_rows

    assert (most(1, 28, 28), most(3, 32, 32), most(3, 256, 256)) == (10_000, 10_000, 156)
    monkeypatch.setattr(trained_model, "MOST_VALUES", 20 * 28 * 28)
    line = "21 rows are not allowed; expected 1 to 20 for images of this size"
    for seeds in (list(range(21)), [list(range(7))] * 3):
        check_refused(client.post("/invocations", json={"inputs": {"seed": seeds}}), line)
    assert client.post("/invocations", json={"inputs": {"seed": list(range(20))}}).status_code == 200
    check_refused(client.get("/digits?count=21"), "count: '21' is not allowed; expected a whole number from 1 to 20")
    assert client.get("/about").json()["most"] == 20
    monkeypatch.setattr(trained_model, "MOST_VALUES", 9 * 28 * 28)
    nine = client.get("/digits?count=9").content
    assert client.get("/digits").content == nine


def test_labels_of_a_csv_stay_as_they_are(tmp_path: Path) -> None:
    made = write_model(tmp_path / NAME, NAME, classes=("007", "7", "NA", "1.0"))
    body = "seed,label\n1,007\n2,7\n3,NA\n4,1.0\n"
    answer = client_of(tmp_path / NAME).post("/invocations", content=body, headers={"content-type": "text/csv"})
    assert close(answer.json()["predictions"], alone(made, [1, 2, 3, 4], [0, 1, 2, 3]))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_must_say_that_it_is_json_or_csv(kind: str, client: TestClient) -> None:
    answer = client.post("/invocations", content=b'{"inputs": {"seed": [1]}}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert f"content type {kind!r} is not allowed; expected application/json or text/csv" in answer.json()["message"]
    assert client.post("/invocations", content=b'{"inputs": {"seed": [1]}}').status_code == 415


def test_foreign_host_names_are_refused(folder: Path) -> None:
    app = create_app(load_model(folder), ["digits.example"])
    for host in ("localhost:5001", "127.0.0.1", "[::1]:5001", "digits.example"):
        assert TestClient(app, base_url=f"http://{host}").get("/ping").status_code == 200
    assert TestClient(app, base_url="http://foreign.example").get("/ping").status_code == 400


def test_pings_are_answered_while_drawings_wait(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(app_module, "query_to_png", lambda model, query: b"drawn" if done.wait(30) else b"")

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(load_model(folder)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            drawings = [asyncio.create_task(client.get("/digits")) for _ in range(50)]  # Starlette has 40 threads
            await asyncio.sleep(0.2)
            try:
                for path in ("/ping", "/health", "/about", "/"):
                    assert (await asyncio.wait_for(client.get(path), 2)).status_code == 200
            finally:
                done.set()
            return await asyncio.gather(*drawings)

    assert [answer.content for answer in asyncio.run(ask())] == [b"drawn"] * 50


BAD_QUERIES = [
    ("label=10", "label: '10' is none of the classes: zero, one, two, <b>three</b>"),
    ("label=-1", "label: '-1' is none of the classes: zero"),
    ("label=", "label: '' is none of the classes: zero"),
    ("seed=4294967296", "seed: '4294967296' is not allowed; expected a whole number from 0 to"),
    ("seed=4294967295&count=2", "expected a whole number from 0 to 4294967294"),
    ("seed=-1", "seed: '-1' is not allowed; expected a whole number from 0 to"),
    ("seed=x", "seed: 'x' is not allowed; expected a whole number from 0 to"),
    ("seed=1.5", "expected a whole number from 0 to"),
    ("count=0", "count: '0' is not allowed; expected a whole number from 1 to 400"),
    ("count=401", "expected a whole number from 1 to 400"),
    ("truncation=nan", "truncation: 'nan' is not allowed; expected a number from 0 to 1"),
    ("truncation=1.01", "expected a number from 0 to 1"),
    ("sead=3", "unknown argument 'sead'; expected some of: seed, count, truncation, label"),
]
BAD_BODIES = [
    ({"dataframe_records": [{"seed": 1, "label": "10"}]}, "unknown label '10'; expected one of: zero, one, two"),
    ({"dataframe_records": [{"seed": 1, "label": -1}]}, "unknown label '-1'; expected one of: zero, one, two"),
    ({"dataframe_records": [{"seed": 1, "label": 1.5}]}, "unknown label '1.5'; expected one of: zero, one, two"),
    ({"dataframe_records": [{"seed": 1.5}]}, "seed: 1.5 is not allowed; expected a whole number from 0 to"),
    ({"dataframe_records": [{"seed": -1}]}, "seed: -1 is not allowed; expected a whole number from 0 to"),
    ({"dataframe_records": [{"seed": "x"}]}, "seed: 'x' is not allowed; expected a whole number from 0 to"),
    ({"inputs": {"seed": [2**32]}}, "seed: 4294967296 is not allowed; expected a whole number from 0 to"),
    ({"dataframe_records": []}, "expected rows with a seed and a label; there is no column seed"),
    ({"inputs": {"seed": []}}, "0 rows are not allowed; expected 1 to 10000"),
    ({"inputs": {"seed": [0] * 10**6}}, "1000000 rows are not allowed; expected 1 to 10000"),
    ({"dataframe_split": {"columns": ["seed"], "data": [[1, 2]]}}, "dataframe_split cannot be read"),
    ({"inputs": [[1], [2, 3]]}, "inputs cannot be read"),
    ({"inputs": None}, "there is no column seed"),
    ({"dataframe_records": 7}, "dataframe_records cannot be read"),
    ({"rows": []}, "expected a JSON object with one of: dataframe_records, dataframe_split, inputs, instances"),
    ([1], "expected a JSON object with one of: dataframe_records"),
    (b"{", "the body cannot be read"),
    (b"\xff", "the body cannot be read"),
    (b"[" * 100_000, "the body cannot be read"),
]


def check_refused(answer: Any, line: str) -> None:
    """A bad request's answer is one line that says what is allowed."""
    assert answer.status_code == 400
    assert "\n" not in answer.json()["message"]
    assert line in answer.json()["message"]
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("query", "line"), BAD_QUERIES)
def test_a_bad_address_is_answered_in_one_line(query: str, line: str, client: TestClient) -> None:
    check_refused(client.get(f"/digits?{query}"), line)
    assert client.get("/digits?count=1").status_code == 200


@pytest.mark.parametrize(("body", "line"), BAD_BODIES, ids=[line for _, line in BAD_BODIES])
def test_a_bad_body_is_answered_in_one_line(body: Any, line: str, client: TestClient) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    check_refused(client.post("/invocations", content=content, headers=JSON), line)
    assert client.post("/invocations", json={"inputs": {"seed": [1]}}).status_code == 200


def test_other_requests_are_answered_in_one_line_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MOST_BYTES", 10)
    for answer, status in (
        (client.post("/invocations", content=b"12345678901", headers=JSON), 413),
        (client.get("/nothing"), 404),
        (client.post("/digits"), 405),
    ):
        assert answer.status_code == status
        assert answer.json()["message"]
        assert "\n" not in answer.json()["message"]
    for path in ("/ping", "/health"):
        assert client.get(path).status_code == 200


def test_a_client_that_goes_away_while_it_sends_leaves_no_trace(client: TestClient) -> None:
    said: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    answered: list[Any] = []
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return said.pop(0)

    async def send(message: Any) -> None:
        answered.append(message)

    app: Any = client.app
    asyncio.run(app(scope, receive, send))  # without a handler it raises what the server would print
    assert not said
    assert answered[0]["status"] == 400


def test_of_the_best_checkpoint_the_weights_that_samples_were_drawn_with_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, chosen = MODELS / NAME / "seed_3", SAMPLES / NAME / "seed_3" / CHECKPOINT
    last = write_model(folder, NAME)
    early = {f"generator.{key}": torch.stack([value * 2] * 2) for key, value in last.state_dict().items()}
    write_bytes(folder / SNAPSHOTS, save(early | {"images_seen": torch.tensor([8, 16])}))
    config = read_json(folder / CONFIG)
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("best", {}, 1),
        ("last", {"rule": "last", "images": 16}, 1),
        ("best", {"rule": "best", "images": 8}, 2),
        ("best", {"diverged": "by step 3"}, 1),  # before it was trained again
        ("last", {"rule": "best", "images": 4}, 1),
    ]
    for rule, checkpoint, factor in cases:
        write_json(folder / CONFIG, config | {"checkpoint": rule})
        if checkpoint:
            write_json(chosen, checkpoint)
        for address in (folder, folder.resolve()):
            served = load_model(address).generator.state_dict()
            assert all(torch.equal(served[key], value * factor) for key, value in last.state_dict().items()), checkpoint


def test_a_model_without_labels_refuses_one(tmp_path: Path) -> None:
    write_model(tmp_path / "mlp", "mlp")
    client = client_of(tmp_path / "mlp")
    check_refused(client.get("/digits?label=one"), "label: mlp draws without labels; leave label out")
    body = {"inputs": {"seed": [1], "label": ["one"]}}
    check_refused(client.post("/invocations", json=body), "label: this generator draws without labels")
    assert client.get("/about").json() == {"name": "mlp", "labels": [], "truncation": True, "most": 100}


def test_a_translator_takes_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = write_model(tmp_path / "cyclegan", "cyclegan", (1, 12, 12))
    client = client_of(tmp_path / "cyclegan")
    outlines = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12), np.uint8)
    with torch.no_grad():
        expected = to_uint8(made.translate(to_float(torch.from_numpy(outlines)), "digits")).numpy()
    for body in ({"inputs": outlines.tolist()}, {"instances": outlines.tolist()}):
        assert close(client.post("/invocations", json=body).json()["predictions"], expected)
    check_refused(client.post("/invocations", json={"inputs": [[[[0]]]]}), "expected images of (1, 12, 12)")
    check_refused(
        client.post("/invocations", json={"inputs": (outlines + 0.5).tolist()}), "whole numbers from 0 to 255"
    )
    answer = client.get("/digits")
    assert answer.status_code == 503
    assert "data/processed/test is missing: run `make repro`" in answer.json()["message"]


def test_a_translator_that_enlarges_takes_small_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = write_model(tmp_path / "srgan", "srgan", (1, 12, 12))
    client = client_of(tmp_path / "srgan")
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 12, 12), np.uint8)
    small = images[:3, :, ::4, ::4]
    with torch.no_grad():
        expected = to_uint8(made(to_float(torch.from_numpy(small)), torch.zeros(3))).numpy()
    assert close(client.post("/invocations", json={"inputs": small.tolist()}).json()["predictions"], expected)
    check_refused(client.post("/invocations", json={"inputs": images.tolist()}), "expected images of (1, 3, 3)")
    about = {"name": "srgan", "labels": list(CLASSES), "truncation": False, "most": 100}
    assert client.get("/about").json() == about
    write_split("test", Split(images, np.arange(40) % 4, CLASSES))
    picture = Image.open(io.BytesIO(client.get("/digits?count=4&label=one").content))
    assert picture.size == (54, 54)  # two rows of two images of 12 × 12 and their borders, at twice their size


def test_mlflows_own_server_refuses_bad_rows_too(folder: Path, tmp_path: Path, generator: Any) -> None:
    inputs = example_inputs(read_json(folder / CONFIG))
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        loader_module=LOADER,
        data_path=str(folder),
        signature=infer_signature(inputs, np.zeros((2, 1, 28, 28), np.uint8)),
        pip_requirements=[],
    )
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(tmp_path / "model"))))
    served = client.post("/invocations", json={"dataframe_records": [{"seed": 5, "label": "one"}]})
    assert close(served.json()["predictions"], alone(generator, [5], [1]))
    for rows, line in (
        ([[1, "10"]], "unknown label '10'; expected one of: zero, one, two"),
        ([[1, -1]], "unknown label '-1'"),
        ([[-1, "one"]], "seed: -1 is not allowed; expected a whole number from 0 to"),
        ([[2**32, "one"]], "is not allowed; expected a whole number from 0 to"),
        ([["x", "one"]], "Failed to convert column seed"),  # MLflow's own line
        ([], "0 rows are not allowed; expected 1 to 10000"),
        ([[0, "one"]] * 10_001, "10001 rows are not allowed; expected 1 to 10000"),
    ):
        answer = client.post("/invocations", json={"dataframe_split": {"columns": ["seed", "label"], "data": rows}})
        assert answer.status_code == 400
        assert line in answer.json()["message"].splitlines()[-1]  # MLflow puts the rows before it
        assert "Traceback" not in answer.text


def test_without_a_variant_the_champion_is_served(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: Any
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ParameterError, match=r"^models:/reprogan@champion: there is no .*mlflow\.db; `make repro` sets"
    ):
        load_champion()
    assert list(tmp_path.iterdir()) == []
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    registry = MlflowClient(uri)
    registry.create_registered_model("reprogan")
    with pytest.raises(
        ParameterError, match=r"champion is not in MLflow's store: /.*; or name a variant: python -m stages\.serve"
    ):
        load_champion()
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        loader_module=LOADER,
        data_path=str(folder),
        pip_requirements=[],
    )
    version = registry.create_model_version("reprogan", (tmp_path / "model").as_uri(), tags={"variant": NAME})
    registry.set_registered_model_alias("reprogan", "champion", version.version)
    model = load_champion()
    assert model.name == NAME
    assert close(alone(model.generator, [3], [2]), alone(generator, [3], [2]))
    predict = mlflow.pyfunc.load_model("models:/reprogan@champion").predict
    assert close(predict(pd.DataFrame({"seed": [3], "label": ["two"]})), alone(generator, [3], [2]))


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    call = (sys.executable, "-m", "stages.serve", *arguments)
    variables = clean_environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(call, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server, and its process."""
    process = start(str(folder), "--port", "0", cwd=folder)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"serving {NAME} at http://127.0.0.1:")
    yield line.split()[3], process
    process.kill()
    process.wait()


def pixels_shown(driver: Any) -> bytes:
    """The bytes of the picture that the page shows."""
    script = """
        const done = arguments[0];
        fetch(document.getElementById("digits").src).then(answer => answer.blob()).then(blob => {
            const reader = new FileReader();
            reader.onload = () => done(reader.result.split(",")[1]);
            reader.readAsDataURL(blob);
        }).catch(() => done(""));
    """
    return base64.b64decode(driver.execute_async_script(script))


def wait_for_picture(driver: Any, expected: bytes) -> None:
    """Wait until the page shows a picture."""
    deadline = time.monotonic() + 10
    while pixels_shown(driver) != expected:
        assert time.monotonic() < deadline, "the page shows another picture"
        time.sleep(0.05)


def test_the_page_draws_what_is_asked_for(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, _ = server

    def picture(query: str) -> bytes:
        return urlopen(f"{address}/digits?{query}").read()  # noqa: S310

    with open_browser() as driver:
        driver.get(address)
        wait_for_picture(driver, picture("count=16"))
        assert driver.title == NAME
        buttons = driver.find_elements("tag name", "button")
        assert [button.text for button in buttons] == ["all", *CLASSES]
        buttons[4].click()
        wait_for_picture(driver, picture("count=16&label=%3Cb%3Ethree%3C/b%3E"))
        assert [button.get_attribute("aria-pressed") for button in buttons] == ["false"] * 4 + ["true"]
        for name, value in (("seed", 41), ("count", 5), ("truncation", 0.35)):
            move = "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
            driver.execute_script(move + "it.dispatchEvent(new Event('input'))", name, value)
            assert driver.find_element("id", f"{name}-value").text == str(value)
        wait_for_picture(driver, picture("seed=41&count=5&truncation=0.35&label=%3Cb%3Ethree%3C/b%3E"))
        loaded = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded
        assert all(name.startswith((address, f"blob:{address}", "data:")) for name in loaded)
        set_size(driver, 360, 740)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 360
        assert driver.find_element("id", "digits").size["width"] > 300
        assert console(driver) == []


def test_the_page_is_readable_in_light_and_dark_mode(server: tuple[str, subprocess.Popen[str]]) -> None:
    found = {}
    for dark in (False, True):
        with open_browser(dark=dark) as driver:
            driver.get(server[0])
            style = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
            colours = [
                np.mean([int(part) for part in text.strip("rgb()").split(",")]) for text in driver.execute_script(style)
            ]
            found[dark] = colours
    assert found[False][0] > 200 > 80 > found[False][1]
    assert found[True][0] < 80 < 200 < found[True][1]


def test_a_signal_ends_it_at_once_also_while_it_draws(folder: Path) -> None:
    processes = {number: start(str(folder), "--port", "0", cwd=folder) for number in (signal.SIGINT, signal.SIGTERM)}
    body = json.dumps({"inputs": {"seed": list(range(10_000))}}).encode()

    def ask(address: str) -> None:
        with contextlib.suppress(OSError):  # it goes away
            urlopen(Request(f"{address}/invocations", body, JSON)).read()  # noqa: S310

    for number, process in processes.items():
        assert process.stdout is not None
        asker = threading.Thread(target=ask, args=[process.stdout.readline().split()[3]])
        asker.start()
        time.sleep(0.3)
        assert asker.is_alive()
        began = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait(timeout=5) == 0
        assert time.monotonic() - began < 1
        asker.join()
        assert process.communicate()[1] == ""


def test_a_port_that_is_taken_is_said_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start(str(folder), "--port", port, cwd=folder)
        said, errors = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "")
    assert errors == f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; see --host and --port\n"


def test_the_command_refuses_foreign_host_names(server: tuple[str, subprocess.Popen[str]]) -> None:
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(f"{server[0]}/ping", headers={"Host": "foreign.example"}))  # noqa: S310 a local address
