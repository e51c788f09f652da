"""A fan-out over a Ray cluster of two nodes, and over jobs of SLURM, ends with the bytes of a build at home."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from ruamel.yaml import YAML

from stages.cluster.worker import Task
from stages.config.errors import ParameterError
from stages.fan_out import check, check_shares, find_gpus, parser, run_tasks, submission, tell_what_waits
from tests.conftest import FEW_IMAGES, clean_environment, clone_repository, commit_all, run, set_parameters
from tests.datasets.pictures import write_pictures
from tests.tools.rebuilds import differences, hashes

FEWER = FEW_IMAGES | {
    "resume.every_seconds": 0.05,
    "tracking.enabled": False,
    "variants.mlp.images.smoke": 640,
    "variants.dcgan.images.smoke": 6400,  # long enough to be killed in
}
DIVERGES = "variants.mlp.regularizer.weight=1e39"  # infinite in float32
SBATCH = """sbatch() {  # runs an array's tasks here, one after the other, and prints its number as --parsable does
    for argument; do case "$argument" in
        --array=*) array=${argument#--array=} ;;
        --*) ;;
        *) break ;;
    esac; shift; done
    for number in $(seq ${array%-*} ${array#*-}); do
        (cd /; SLURM_SUBMIT_DIR="$home" SLURM_ARRAY_TASK_ID=$number bash "$home/$1" "${@:2}") >&2 || true
    done
    echo 4711
}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with two variants and few images, of which nothing is built, and with a folder as DVC's remote."""
    clone = clone_repository(tmp_path_factory.mktemp("cluster") / "home")
    write_pictures(clone.parent / "pictures", cats=60, dogs=60)
    every = YAML().load(clone / "params.yaml")["variants"]
    variants = {name: every[name] for name in ("mlp", "dcgan")}
    set_parameters(clone, {"variants": variants, "fetch.folder": str(clone.parent / "pictures")})
    set_parameters(clone, FEWER)
    run("dvc", "repro", "fetch", cwd=clone)  # DVC has no run-cache of an output that persists
    commit_all(clone, "two variants, few images")
    run("dvc", "remote", "add", "--local", "--default", "shared", "../remote", cwd=clone)
    return clone


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a Ray cluster: two nodes with one core each, started as people start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:  # sockets need short paths
        nodes = [start_node("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")]
        try:
            wait_for(lambda: answers(port))
            nodes.append(start_node(f"--address=127.0.0.1:{port}"))
            yield f"127.0.0.1:{port}"
        finally:
            for node in reversed(nodes):
                node.terminate()
            for node in nodes:
                node.wait(timeout=60)


def start_node(*options: str) -> subprocess.Popen[bytes]:
    """A node with one core; it ends with this process."""
    limits = ("--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--disable-usage-stats")
    command = ("ray", "start", "--block", *options, *limits)
    return subprocess.Popen(command, env=clean_environment(), cwd="/", stdout=subprocess.DEVNULL)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def find_training(scratch: Path, variant: str) -> psutil.Process | None:
    """The process that trains a variant in a clone in the scratch folder, once it could resume."""
    if not list(scratch.glob(f"*-{variant}/.cache/resume/{variant}/*/[0-9]*.safetensors")):
        return None
    of_all = psutil.process_iter(["cmdline", "cwd"])
    trainings = (one for one in of_all if (one.info["cmdline"] or [])[1:] == ["-m", "stages.train", variant])
    return next((one for one in trainings if Path(one.info["cwd"] or "/").is_relative_to(scratch)), None)


def stages_run(output: str) -> list[str]:
    """Each maybe twice: two nodes on one machine have the same logs, and both send their lines."""
    return re.findall(r"Running stage '([^']+)'", output)


def test_a_task_that_is_killed_goes_on_and_the_bytes_are_those_of_a_build_at_home(
    home: Path, address: str, tmp_path: Path
) -> None:
    twin, scratch = tmp_path / "twin", tmp_path / "scratch"
    run("git", "clone", "--quiet", str(home), str(twin), cwd=tmp_path)
    before = run("git", "status", "--short", cwd=home).stdout
    command = ("python", "-m", "stages.fan_out", "--address", address, "--scratch", str(scratch))
    with subprocess.Popen(command, cwd=home, env=clean_environment(), stdout=-1, stderr=-2, text=True) as fan_out:
        wait_for(lambda: find_training(scratch, "dcgan") or fan_out.poll() is not None)
        training = find_training(scratch, "dcgan")
        assert training, fan_out.communicate()[0]
        worker = next(parent for parent in training.parents() if parent.cmdline()[0].startswith("ray::"))
        worker.kill()
        wait_for(lambda: not training.is_running(), 5)  # it ends with its worker, before another one begins
        output, _ = fan_out.communicate()
    assert fan_out.returncode == 0, output
    assert "dcgan (seed 0): resumes at" in output
    of_variants = {f"{stage}@{name}" for stage in ("train", "sample", "evaluate") for name in ("mlp", "dcgan")}
    of_all = {"check", "fetch", "preprocess", "classifier", "reference", "report"}
    assert set(stages_run(output)) == of_variants | of_all
    assert re.search(r"^fan_out: 4 tasks on 2 nodes", output, re.M)
    assert run("git", "status", "--short", cwd=home).stdout == before  # the working tree was left alone
    assert not [path for path in scratch.iterdir() if path.is_dir() and path.name != "cache"]

    at_home = run("dvc", "repro", "--pull", cwd=home)
    assert stages_run(at_home.stdout) == []
    run("python", "-m", "stages.build", cwd=twin)
    assert list(differences(home, twin)) == []
    assert len(hashes(home)) > 40
    assert "evaluate@dcgan" in (home / "dvc.lock").read_text()
    commit_all(home, "built")


def test_an_experiment_that_diverges_fails_alone_and_is_named(home: Path, address: str, tmp_path: Path) -> None:
    values = ("-S", f"{DIVERGES.rpartition('=')[0]}=0.5,1e39")
    command = ("python", "-m", "stages.fan_out", "mlp", *values, "--address", address, "--scratch", str(tmp_path))
    done = run(*command, cwd=home, check=False)
    assert done.returncode == 1
    *_, reason, last = done.stderr.splitlines()
    assert last == "fan_out: failed: mlp weight=1e+39; see above"
    assert re.match(r"fan_out: mlp weight=1e\+39: mlp \(seed 0\) diverged by step 1 ", reason)
    assert done.stdout.count("evaluate: mlp") >= 2
    ways = re.findall(r"dvc (exp run .* -S \S+=0\.5 .*)", done.stdout)
    assert len(ways) == 1
    assert stages_run(run("dvc", *ways[0].split(), cwd=home).stdout) == []


def test_jobs_of_slurm_do_the_same(home: Path, tmp_path: Path) -> None:
    plan, scratch = str(tmp_path / "plan"), str(tmp_path / "scratch")
    changed = ("mlp", "-S", "variants.mlp.regularizer.weight=0.25")
    commands = run("python", "-m", "stages.fan_out", *changed, "--plan", plan, "--scratch", scratch, cwd=home).stdout
    assert re.search(r"^array1=.* --array=1-1 --dependency=afterany:\$array0 ", commands, re.M)
    early = run("python", "-m", "stages.run_task", plan, "1", cwd=home, check=False)
    assert (early.returncode, early.stderr) == (1, "run_task: not done: mlp\n")
    assert early.stdout == "mlp: not begun: it needs reference\n"
    submitted = run("bash", "-c", f"home={home}\n{SBATCH}\n{commands}", cwd=home)
    assert submitted.stdout == "4711 4711\n"
    assert set(stages_run(submitted.stderr)) == {"check", "train@mlp", "sample@mlp", "evaluate@mlp"}
    assert run("python", "-m", "stages.run_task", plan, cwd=home).stdout == "reference: done\nmlp: done\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--gpus", "-1"), "--gpus: -1 is not allowed: expected 0, 1, 2"),
        (("--gpus", "0.5", "--plan", "plan"), "--gpus: 0.5 is not allowed: expected 0, 1, 2"),
        (("--scratch", "here"), "--scratch: 'here' is not allowed: expected an absolute path"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], line: str) -> None:
    with pytest.raises(ParameterError, match=f"^{re.escape(line)}"):
        check(parser().parse_args(arguments))


@pytest.mark.parametrize(("gpus", "processes"), [(1.5, 1), (0.5, 2), (1.5, 2)])
def test_a_part_of_a_gpu_that_no_task_can_use_is_refused(gpus: float, processes: int) -> None:
    tasks: Any = [{"processes": 1}, {"processes": processes}]
    with pytest.raises(ParameterError, match=rf"^--gpus: {gpus} is not allowed: a task has {processes} processes; exp"):
        check_shares(gpus, tasks)
    for allowed in (0, 1, 2):
        check_shares(allowed, tasks)
    check_shares(0.25, tasks[:1])


def test_a_task_that_no_node_can_take_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [("CPU", 2, True), ("GPU", 1, True), ("CPU", 64, False)]  # the last has left
    ray: Any = SimpleNamespace(nodes=lambda: [{"Alive": alive, "Resources": {of: n}} for of, n, alive in nodes])
    large = {"processes": 2, "threads": 2}
    tasks: Any = [{"name": "dcgan", "processes": 2, "threads": 1}, {"name": "mlp", **large}, {"name": "conv", **large}]
    tell_what_waits(ray, tasks, 0)
    assert capsys.readouterr().err == "fan_out: no node has 4 cores: waiting for one: mlp, conv\n"
    tell_what_waits(ray, tasks[:1], 1)
    assert capsys.readouterr().err == "fan_out: no node has 2 cores and 2 GPUs: waiting for one: dcgan\n"


def test_no_array_has_numbers_that_slurm_refuses() -> None:
    tasks: Any = [{"stage": "reference"}, *[{"stage": "evaluate@mlp"}] * 2250, {"stage": "report"}]
    *lines, last = submission(Path("plan"), [task | {"processes": 1, "threads": 1} for task in tasks], None).split("\n")
    assert last == "echo $array0 $array1 $array2 $array3 $array4"
    shown = r"array(\d)=.*plan/(\S+) --array=(\d+)-(\d+)(?: --dependency=afterany:(\S+))? \S+slurm.sh plan ?(\d*)\)"
    found = [re.fullmatch(shown, line) for line in lines]
    assert [match and match.groups() for match in found] == [
        ("0", "task-%a.log", "0", "0", None, ""),
        ("1", "task-%a.log", "1", "999", "$array0", ""),
        ("2", "task-1%3a.log", "0", "999", "$array0", "1000"),
        ("3", "task-2%3a.log", "0", "250", "$array0", "2000"),
        ("4", "task-2%3a.log", "251", "251", "$array1:$array2:$array3", "2000"),
    ]


def test_a_plan_is_never_written_over(home: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").touch()
    ended = run("python", "-m", "stages.fan_out", "--plan", str(tmp_path), cwd=home, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {tmp_path} has a plan already: ")


def test_nobody_else_and_not_git_reads_the_credentials_of_a_plan(home: Path) -> None:
    before = run("git", "status", "--short", cwd=home).stdout
    plan = home / "plan"
    plan.mkdir(mode=0o755)
    run("python", "-m", "stages.fan_out", "mlp", "--plan", "plan", "--scratch", str(home), cwd=home)
    assert (plan / "repository.tar.gz").exists()
    assert plan.stat().st_mode & 0o077 == 0
    assert run("git", "status", "--short", cwd=home).stdout == before
    shutil.rmtree(plan)


def test_a_cluster_that_is_not_there_is_one_line(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ended = run("python", "-m", "stages.fan_out", "--address", address, cwd=home, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: no Ray cluster answers at {address}: ")


def test_without_ray_a_line_says_how_to_get_it(home: Path) -> None:
    code = "import runpy, sys; sys.modules['ray'] = None; runpy.run_module('stages.fan_out', run_name='__main__')"
    ended = run("python", "-c", code, cwd=home, check=False)
    assert (ended.returncode, ended.stderr) == (1, "error: Ray is not installed: pip install '.[cluster]'\n")


def test_machines_get_the_variables_of_mlflow_and_the_remote_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI", "MY_TOKEN"):
        monkeypatch.setenv(name, "x")
    sent: list[Any] = []
    placed = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *given: sent.append(given)))
    ray = SimpleNamespace(put=bytes, get=lambda result: result, remote=lambda _: placed)
    task = Task(name="mlp", stage="", overrides=[], stages=[], needs=[], folder="", processes=1, threads=1)
    run_tasks(ray, b"", [task], "/scratch", 0)
    ((_, _, _, variables),) = sent
    assert {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"} <= variables.keys()
    assert "MY_TOKEN" not in variables


@pytest.mark.parametrize(("device", "cards", "gpus"), [("auto", 2, 1), ("auto", 0, 0), ("cuda", 0, 1), ("cpu", 2, 0)])
def test_a_process_gets_a_card_where_stages_would_use_one(device: str, cards: int, gpus: float) -> None:
    ray = SimpleNamespace(cluster_resources=lambda: {"GPU": cards})
    experiment: Any = SimpleNamespace(params=SimpleNamespace(device=device))
    assert find_gpus(ray, [experiment]) == gpus
