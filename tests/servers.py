"""Real servers on loopback: PostgreSQL, an S3 store, and MLflow as compose.yaml starts it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, clean_environment
from tests.tools.faults import free_port, is_listening

USER = "postgres"  # PostgreSQL refuses to run as root
REGION = "us-east-1"
SECONDS = 90  # for a server to start, on a busy machine
VARIABLE = re.compile(r"\$\{(\w+):\?([^}]+)\}")  # of compose.yaml: required, with what it is


class Servers(NamedTuple):
    """Where they are, and who may do what."""

    folder: Path  # with their logs
    store: str  # the address of the S3 server
    key: str
    secret: str
    mlflow: str
    password: str  # of MLflow's user admin

    def as_user(self, name: str, password: str = "") -> dict[str, str]:
        """Variables of a person who uses MLflow; the password is that of admin by default."""
        about = {"URI": self.mlflow, "USERNAME": name, "PASSWORD": password or self.password}
        return {f"MLFLOW_TRACKING_{key}": value for key, value in about.items()}

    def s3(self) -> Any:
        """A client of the store."""
        return s3_client(self.store, "s3", self.key, self.secret)


@contextmanager
def start_servers(folder: Path) -> Iterator[Servers]:
    """All three; they end with the block, however it ends."""
    password = secrets.token_urlsafe(12)
    with ExitStack() as stack:
        port = stack.enter_context(start_postgres(folder, password))
        store, key, secret = stack.enter_context(start_store(folder))
        chosen = {
            "POSTGRES_PASSWORD": password,
            "STORE_SECRET": secret,
            "MLFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
            "MLFLOW_SECRET_KEY": secrets.token_urlsafe(12),
        }
        addresses = {"postgres:5432": f"127.0.0.1:{port}", "http://store:9000": store}
        mlflow = stack.enter_context(start_mlflow(folder, chosen, addresses, key))
        yield Servers(folder, store, key, secret, mlflow, chosen["MLFLOW_ADMIN_PASSWORD"])


@contextmanager
def running(command: list[str], port: int, log: Path, **options: Any) -> Iterator[None]:
    """A server, from when it listens at its port; all its processes are killed at the end."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)
    try:
        deadline = time.monotonic() + SECONDS
        while not is_listening(port):
            assert process.poll() is None, f"{command[0]} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{command[0]} does not start:\n{log.read_text()}"
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def start_postgres(folder: Path, password: str) -> Iterator[int]:
    """The port of a PostgreSQL with an empty database `mlflow`, of the user of that name."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install postgresql", pytrace=False)
    port, data = free_port(), Path(tempfile.mkdtemp(prefix="reprogan-postgres-"))  # where its user may go
    options: dict[str, Any] = {"cwd": data, "env": clean_environment() | {"PGPASSWORD": password}}
    if not os.geteuid():
        options |= {"user": USER, "group": USER, "extra_groups": []}
        shutil.chown(data, USER, USER)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run([str(found[-1] / program), *arguments], capture_output=True, check=False, **options)
        assert not done.returncode, done.stderr.decode()

    try:
        (data / "password").write_text(password)
        (data / "password").chmod(0o644)
        how = ("--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--locale=C", "--no-sync")
        run("initdb", "--pgdata=cluster", "--username=mlflow", *how)
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
        command = [str(found[-1] / "postgres"), "-D", "cluster", "-p", str(port)]
        command += [part for setting in settings for part in ("-c", setting)]
        with running(command, port, folder / "postgres.log", **options):
            run("createdb", "--host=127.0.0.1", f"--port={port}", "--username=mlflow", "mlflow")
            yield port
    finally:
        shutil.rmtree(data)


@contextmanager
def start_store(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Address, access key and secret of an S3 store without buckets."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(ROOT / "tests/tools/s3_server.py"), str(port)]
    variables = clean_environment() | {"INITIAL_NO_AUTH_ACTION_COUNT": "3"}  # the three calls below
    with running(command, port, folder / "store.log", cwd=folder, env=variables):
        iam = s3_client(address, "iam", "none", "none")
        iam.create_user(UserName="reprogan")
        rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(UserName="reprogan", PolicyName="all", PolicyDocument=json.dumps(rights))
        made = iam.create_access_key(UserName="reprogan")["AccessKey"]
        yield address, made["AccessKeyId"], made["SecretAccessKey"]


def s3_client(address: str, service: str, key: str, secret: str) -> Any:
    """A client of one of the store's services."""
    where = {"endpoint_url": address, "region_name": REGION}
    return boto3.client(service, **where, aws_access_key_id=key, aws_secret_access_key=secret)


@contextmanager
def start_mlflow(folder: Path, chosen: Mapping[str, str], addresses: Mapping[str, str], key: str) -> Iterator[str]:
    """The address of MLflow as compose.yaml starts it, after its buckets were made; other servers are elsewhere."""
    compose, port, configuration = read_compose(), free_port(), folder / "basic-auth.ini"
    here = {**addresses, "--port=5000": f"--port={port}", "--host=0.0.0.0": "--host=127.0.0.1"}

    def moved(text: str) -> str:
        text = VARIABLE.sub(lambda match: chosen[match[1]], text)
        for address, other in here.items():
            text = text.replace(address, other)
        return text

    def of(service: str) -> tuple[list[str], dict[str, str]]:
        about = compose["services"][service]
        variables = {name: moved(value) for name, value in about["environment"].items()}
        return [moved(part) for part in about["command"]], clean_environment() | variables | {"AWS_ACCESS_KEY_ID": key}

    configuration.write_text(moved(compose["configs"]["basic-auth"]["content"]))
    command, variables = of("buckets")
    subprocess.run(command, env=variables, check=True)
    command, variables = of("mlflow")
    variables |= {"MLFLOW_AUTH_CONFIG_PATH": str(configuration), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command.append("--workers=1")  # a start takes some seconds of a core
    with running(command, port, folder / "mlflow.log", cwd=folder, env=variables):
        yield f"http://127.0.0.1:{port}"


def read_compose() -> Any:
    """compose.yaml as data, with its variables as they are written."""
    return YAML(typ="safe", pure=True).load(ROOT / "compose.yaml")


def print_logs(folder: Path, since: Mapping[str, int]) -> None:
    """What servers have written since their logs had these sizes: pytest shows it where a test failed."""
    for log in sorted(folder.glob("*.log")):
        with log.open("rb") as file:
            file.seek(since.get(log.name, 0))
            text = file.read().decode(errors="replace")
        print(f"--- {log.name}\n{text[-4000:]}")


def log_sizes(folder: Path) -> dict[str, int]:
    """Bytes in each log so far."""
    return {log.name: log.stat().st_size for log in folder.glob("*.log")}
