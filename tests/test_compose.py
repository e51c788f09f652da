"""compose.yaml, checked without an engine: its form, its secrets, and that all of its parts fit each other.

tests/test_servers.py runs its MLflow, with its commands, variables and users.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import mlflow
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tests.conftest import ROOT, run
from tests.servers import VARIABLE, read_compose

TEXT = (ROOT / "compose.yaml").read_text()
PORTS = {"postgres": 5432, "store": 9000, "mlflow": 5000}  # that each service listens at
Duration = Annotated[str, Field(pattern=r"^\d+s$")]
# an image, with a version of its own
Image = Annotated[str, Field(pattern=r"^[\w./-]+:v?\d[\w.-]*$")]
# a port of this machine's own, and one of the container
Port = Annotated[str, Field(pattern=r"^127\.0\.0\.1:\d+:\d+$")]


class Part(BaseModel):
    """What Compose knows, as far as it is used here; it refuses other keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Healthcheck(Part):
    test: Annotated[list[str], Field(min_length=2)]
    interval: Duration
    timeout: Duration
    retries: int


class Dependency(Part):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Mounted(Part):
    source: str
    target: Annotated[str, Field(pattern="^/")]


class Service(Part):
    image: Image
    environment: dict[str, str]
    restart: Literal["unless-stopped", "on-failure"]
    command: list[str] = []
    depends_on: dict[str, Dependency] = {}
    ports: list[Port] = []
    volumes: list[Annotated[str, Field(pattern=r"^\w+:/[\w/]+$")]] = []
    configs: list[Mounted] = []
    healthcheck: Healthcheck | None = None


class Content(Part):
    content: str


class Compose(Part):
    name: str
    services: dict[str, Service]
    configs: dict[str, Content]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def compose() -> Compose:
    return TypeAdapter(Compose).validate_python(read_compose())


def words(service: Service) -> list[str]:
    """All that a service is told."""
    return [*service.command, *service.environment.values()]


def test_every_secret_is_required_and_explained_and_none_is_in_the_file() -> None:
    named = {name for name, _ in VARIABLE.findall(TEXT)}
    assert named == {"POSTGRES_PASSWORD", "STORE_SECRET", "MLFLOW_ADMIN_PASSWORD", "MLFLOW_SECRET_KEY"}
    assert "$" not in VARIABLE.sub("", TEXT)  # none has a default
    for service in read_compose()["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET", name):
                assert VARIABLE.fullmatch(value), name


def test_git_ignores_the_file_of_secrets() -> None:
    assert run("git", "check-ignore", ".env", cwd=ROOT).stdout == ".env\n"


def test_the_documented_command_chooses_all_secrets(tmp_path: Path) -> None:
    page = (ROOT / "docs/servers.md").read_text()
    (command,) = re.findall(r"^python -c .*?>\.env$", page, re.DOTALL | re.MULTILINE)
    run("bash", "-c", command, cwd=tmp_path)
    chosen = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert chosen.keys() == {name for name, _ in VARIABLE.findall(TEXT)}
    assert all(len(value) >= 12 for value in chosen.values())
    assert len(set(chosen.values())) == len(chosen)


def test_services_volumes_and_configs_that_are_used_exist(compose: Compose) -> None:
    services = compose.services.values()
    assert {volume.split(":")[0] for service in services for volume in service.volumes} == compose.volumes.keys()
    assert {one.source for service in services for one in service.configs} == compose.configs.keys()
    for service in services:
        for name, dependency in service.depends_on.items():
            other = compose.services[name]
            assert (other.healthcheck is not None) == (dependency.condition == "service_healthy")
            assert (other.restart == "on-failure") == (dependency.condition == "service_completed_successfully")
    assert (
        compose.services["mlflow"].configs[0].target
        == compose.services["mlflow"].environment["MLFLOW_AUTH_CONFIG_PATH"]
    )


def test_addresses_are_those_of_services(compose: Compose) -> None:
    texts = [word for service in compose.services.values() for word in words(service)]
    texts += [line.partition(" = ")[2] for line in compose.configs["basic-auth"].content.splitlines()]
    found = {
        (address.hostname, address.port)
        for text in texts
        for url in re.findall(r"(?:http|postgresql\+psycopg2)://\S+", text)
        for address in [urlsplit(url)]
    }
    assert found == {("store", PORTS["store"]), ("postgres", PORTS["postgres"])}
    for name in ("store", "mlflow"):
        service, port = compose.services[name], PORTS[name]
        assert service.ports == [f"127.0.0.1:{port}:{port}"]
        assert any(re.search(rf"(^|[:=]){port}$", part) for part in service.command)
        assert service.healthcheck is not None
        assert f"127.0.0.1:{port}/health" in service.healthcheck.test[-1]
    assert not compose.services["postgres"].ports


def test_mlflow_is_the_version_that_the_pipeline_uses_and_knows_its_options(compose: Compose) -> None:
    service = compose.services["mlflow"]
    assert service.image == f"ghcr.io/mlflow/mlflow:v{mlflow.__version__}-full"
    assert compose.services["buckets"].image == service.image
    program, command, *options = service.command
    assert (program, command) == ("mlflow", "server")
    from mlflow.cli import server  # its import takes over a second

    known = {name for option in server.params for name in option.opts}
    assert {option.partition("=")[0] for option in options} <= known
    assert len(options) > 3


def test_both_of_a_pair_have_the_same_password(compose: Compose) -> None:
    environments: dict[str, Any] = {name: service.environment for name, service in compose.services.items()}
    assert environments["postgres"]["POSTGRES_PASSWORD"] == environments["mlflow"]["PGPASSWORD"]
    for name in ("buckets", "mlflow"):
        assert environments[name]["AWS_ACCESS_KEY_ID"] == environments["store"]["ROOT_ACCESS_KEY_ID"]
        assert environments[name]["AWS_SECRET_ACCESS_KEY"] == environments["store"]["ROOT_SECRET_ACCESS_KEY"]


def test_an_engine_takes_it(tmp_path: Path) -> None:
    if not shutil.which("docker") or run("docker", "compose", "version", cwd=tmp_path, check=False).returncode:
        pytest.skip("no engine that runs compose.yaml is installed")
    chosen = {name: "x" * 12 for name, _ in VARIABLE.findall(TEXT)}
    command = ("docker", "compose", "--file", str(ROOT / "compose.yaml"), "config", "--quiet")
    run(*command, cwd=tmp_path, check=True, **chosen)
    refused = run(*command, cwd=tmp_path, check=False)
    assert refused.returncode
    assert "POSTGRES_PASSWORD" in refused.stderr
