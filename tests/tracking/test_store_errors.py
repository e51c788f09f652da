"""Why a server failed, in one line: a real server, which answers everything with one status."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from stages.config.params import Tracking
from stages.tracking import exporter
from stages.tracking.store_errors import explain, is_away
from tests.tools.faults import free_port
from tests.tracking.conftest import event_logs, log_training


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers with the status of its attribute `status`."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def error_of(uri: str, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """What MLflow raises, as it does with a password in the address, too."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(mlflow.MlflowException) as caught:
        MlflowClient(uri).get_experiment_by_name("x")
    return caught.value


@pytest.mark.parametrize(
    ("status", "says", "away"),
    [
        (401, "it does not know user 'ada', or not by this password; set MLFLOW_TRACKING_USERNAME and ", True),
        (403, "it does not allow that to user 'ada'", False),
        (500, "ResponseError: too many 500 error responses", False),
    ],
)
def test_an_answer_is_explained(
    status: int, says: str, away: bool, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = status  # type: ignore[attr-defined]
    address = f"127.0.0.1:{server.server_port}"
    error = error_of(f"http://ada:hush@{address}", monkeypatch)
    assert explain(error).startswith(f"http://{address}: {says}")
    assert "\n" not in explain(error)
    assert "hush" not in explain(error)
    assert is_away(error) == away


def test_a_server_that_is_away_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    error = error_of(uri, monkeypatch)
    assert explain(error) == f"{uri}: ConnectionRefusedError: [Errno 111] Connection refused"
    assert is_away(error)


def test_an_error_without_a_server_is_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    error = mlflow.MlflowException("of two\nlines")
    assert explain(error) == f"{Path('mlflow.db').resolve()}: MlflowException: of two lines"
    assert not is_away(error)


def test_an_address_of_no_kind_that_mlflow_knows_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    said = explain(error_of("htps://ada:hu@sh@host", monkeypatch))
    assert said.startswith("htps://host: UnsupportedModelRegistryStoreURIException: ")
    assert "unsupported URI 'htps://host'" in said


def test_sync_asks_a_server_that_is_away_once(
    alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        log_training(alone, tmp_path / "model")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert exporter.sync() == 3
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("not exported ")
    assert " and 2 more: http://127.0.0.1:" in told
    assert len(event_logs(tmp_path)) == 3
