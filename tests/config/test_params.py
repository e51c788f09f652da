"""params.yaml: strict, without defaults, and one telling line for each mistake."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.config.components import BrokenComponent
from stages.config.errors import ParameterError, StageError
from stages.config.params import Params, load, validate
from tests.conftest import ROOT, put

RawParams = Callable[[], Any]


def mistakes(raw: Any) -> list[str]:
    """What is said of the content of a params.yaml that is not allowed, line by line."""
    with pytest.raises(ParameterError) as error:
        validate(Params, raw, "params.yaml", resolve=True)
    return str(error.value).splitlines()


@pytest.mark.parametrize("components", [True, False])
def test_what_a_stage_gets_is_what_the_file_says(raw_params: RawParams, components: bool) -> None:
    assert load(ROOT / "params.yaml", components=components).model_dump() == raw_params()


def test_a_larger_budget_is_no_shorter_training() -> None:
    lengths = {name: list(variant.images.model_dump().values()) for name, variant in load().variants.items()}
    assert len(lengths) >= 25
    assert {name: of_one for name, of_one in lengths.items() if of_one != sorted(of_one)} == {}


MISTAKES = [
    # key, value, what the line must say besides the key
    ("bugdet", "quick", "unknown key (did you mean 'budget'?); expected one of: budget, classifier"),
    ("variants.dcgan.batch_sise", 64, "unknown key (did you mean 'batch_size'?)"),
    ("variants.dcgan.network.base_chanels", 32, "unknown key (did you mean 'base_channels'?)"),
    ("variants.mlp.optimizers.generator.momentum", 0.9, "unknown key; expected one of: betas, learning_rate, name"),
    ("budget", "quik", "'quik' is not allowed (did you mean 'quick'?); expected one of: full, long, quick, smoke"),
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
    ("training.checkpoint", "bset", "'bset' is not allowed (did you mean 'best'?); expected one of: best, last"),
    ("training.log_steps", 10**7, "10000000 is not allowed"),
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
    ("sample.seed", 429, "429 is not allowed"),  # its last images would have the seeds of 0's first ones
    ("fetch.sources", [], "[] is not allowed"),
    ("fetch.sources", ["ftp"], "'ftp' is not allowed"),
    ("fetch.npm_package", "../evil", "'../evil' is not allowed"),
    ("evaluate.inception_splits", 20000, "must not exceed sample.count"),
    ("evaluate.neighbours", 10000, "must be below sample.count"),
    ("evaluate.kid_subset_size", 1, "1 is not allowed"),
    ("variants.dcgan.optimizers.generator.learning_rate", "1e-4", "'1e-4' is not allowed"),
    ("variants.dcgan.optimizers.generator.learning_rate", math.nan, "nan is not allowed"),
    ("variants.dcgan.optimizers.generator.learning_rate", math.inf, "inf is not allowed"),
    ("variants.dcgan.optimizers.generator.betas", [0.5], "[0.5] is not allowed"),
    ("variants.dcgan.optimizers.generator.betas", [0.5, 1.0], "1.0 is not allowed"),
    ("variants.dcgan.optimizers.generator.name", "adan", "adam"),
    ("variants.dcgan.summary", "", "'' is not allowed"),
    ("variants.dcgan.paper", "a | b", "'a | b' is not allowed"),
    ("variants.dcgan.optimizers.generator.learning_rate", -1e-3, "-0.001 is not allowed"),
    ("variants.dcgan.optimizers.generator.learning_rate", "fast", "'fast' is not allowed"),
    ("variants.dcgan.network.latent_size", 10**9, "1000000000 is not allowed"),
    ("variants.mlp.network.generator_widths", [10**9], "1000000000 is not allowed"),
    ("variants.mlp.network.generator_widths", 256, "256 is not allowed"),
    ("variants.dcgan.batch_size", 10**12, "1000000000000 is not allowed"),
    ("variants.dcgan.images.quick", 10**18, "1000000000000000000 is not allowed"),
    ("variants.dcgan.critic_steps", 0, "0 is not allowed"),
    ("training.seeds", [], "[] is not allowed"),
    ("training.seeds", [1, 1], "entries must be unique"),
    ("training.seeds", [-1], "-1 is not allowed"),
    ("variants.dcgan.regularizer.weight", math.nan, "nan is not allowed"),
    ("variants.dcgan.regularizer.interval", 0, "0 is not allowed"),
    ("variants.dcgan.regularizer", {"name": "weight_clip", "clip_value": 0.1}, "weight_clip does not fit"),
    ("training.learning_rate_decay_from", 0.0, "0.0 is not allowed"),
    ("variants.dcgan.objective.real_target", 0.4, "0.4 is not allowed"),
    ("variants.wgan.objective.real_target", 0.9, "unknown key"),
    ("training.noise_std", -1.0, "-1.0 is not allowed"),
    ("training.reuse_fakes", "stale", "'stale' is not allowed"),
    ("variants.conv.network.discriminator_strides", [3], "3 is not allowed"),
    ("threads", 0, "0 is not allowed"),
    ("training.processes", 0, "0 is not allowed"),
    ("sample.processes", 0, "0 is not allowed"),
    ("sample.truncation", 1.5, "1.5 is not allowed"),
    ("variants.dcgan.batch_size", 1, "1 is not allowed"),
    ("training.precision", "float16", "'float16' is not allowed (did you mean 'bfloat16'?)"),
    ("variants.dcgan.images", 1000, "1000 is not allowed"),
    ("variants.dcgan.network", "dcgan", "'dcgan' is not allowed"),
    ("variants.dcgan.network.name", "dcgna", "unknown network 'dcgna' (did you mean 'dcgan'?)"),
    ("variants.dcgan.network.name", "DCGAN", "unknown network 'DCGAN' (did you mean 'dcgan'?)"),
    ("variants.dcgan.network.name", "../train", "'../train' is not allowed"),
    ("variants.dcgan.objective.name", "hinged", "unknown objective 'hinged' (did you mean 'hinge'?)"),
    ("variants.dcgan.regularizer.weight", -0.1, "-0.1 is not allowed"),
    ("variants.dcgan.network.discriminator_norm", "group", "'group' is not allowed"),
    ("variants.mlp.network.generator_widths", [], "[] is not allowed"),
    ("variants.mlp.network.dropout", 1.0, "1.0 is not allowed"),
    ("variants.classifier", {}, "is none of: classifier"),
    ("variants.../x", {}, "lower-case letters"),
    ("variants.Dcgan", {}, "lower-case letters"),
    ("variants./tmp/x", {}, "lower-case letters"),
    ("dataset", "../train", "'../train' is not allowed"),
    (
        "variants.began.network.autoencoder.name",
        "conv",
        "'conv' is not allowed; expected one of: convolutional, ",
    ),
    (
        "variants.began.network.autoencoder.width",
        3,
        "unknown key (did you mean 'widths'?); expected one of: name,",
    ),
    ("variants.dcgan.gan.name", 3, "3 is not allowed"),
    ("variants.infogan.gan.categorys", 3, "unknown key (did you mean 'categories'?)"),
    (
        "variants.dcgan.gan",
        {"name": "dcgan"},
        "unknown gan 'dcgan' (did you mean 'acgan'?); expected one of: acgan",
    ),
    ("preprocess.channels", 2, "2 is not allowed; expected one of: 1, 3"),
    ("classifier.feature_size", 10000, "must be below sample.count"),
    ("evaluate.resamples", 1, "1 is not allowed"),
    ("downstream.images", {"smoke": 1, "quick": 1, "long": 1}, "missing; every parameter is in params.yaml"),
    ("variants.dcgan.regularizer", {"name": "r1", "weight": 0.1}, ".interval: missing; every parameter"),
    ("variants.dcgan.objective", {"real_target": 1.0}, ".name: missing; every parameter"),
    ("variants", [], "[] is not allowed"),
    ("variants", {}, "{} is not allowed"),
]


@pytest.mark.parametrize(("key", "value", "says"), MISTAKES, ids=[f"{key}={value}" for key, value, _ in MISTAKES])
def test_a_mistake_is_one_line_with_key_and_what_is_allowed(
    raw_params: RawParams, key: str, value: Any, says: str
) -> None:
    raw = raw_params()
    if key.startswith("variants.") and value == {}:  # a name that no variant may have
        raw["variants"][key.removeprefix("variants.")] = raw["variants"]["mlp"]
    else:
        put(raw, key, value)
    (line,) = mistakes(raw)
    assert line.startswith("params.yaml: ")
    assert says in line
    if "\n" not in key and says not in ("must not exceed sample.count", "weight_clip does not fit"):
        assert f": {key}" in line


MISFITS = [
    # variant, options of a component, or another one; what the line must say
    ("dcgan", "regularizer", {"name": "weight_clip", "clip_value": 0.01}, "weight_clip does not fit objective non_sat"),
    ("dcgan", "network", {"labels": "generator"}, "must show labels to both networks or to none"),
    ("acgan", "network", {"labels": "none"}, "gan acgan asks for labels: network dcgan must show them"),
    ("acgan", "network", {"labels": "both"}, "not to the discriminator"),
    ("infogan", "network", {"labels": "both"}, "must not see any labels"),
    ("progan", "gan", {"name": "standard"}, "network progan (growing) does not fit gan standard, which takes plain"),
    ("cyclegan", "gan", {"name": "standard"}, "network cyclegan (translating) does not fit gan standard"),
    ("began", "objective", {"name": "hinge"}, "gan began does not fit objective hinge; expected wasserstein"),
]


@pytest.mark.parametrize(("variant", "role", "options", "says"), MISFITS, ids=[says for *_, says in MISFITS])
def test_components_that_do_not_fit_are_named_in_one_line(
    raw_params: RawParams, variant: str, role: str, options: dict[str, Any], says: str
) -> None:
    raw = raw_params()
    own = raw["variants"][variant][role]
    raw["variants"][variant][role] = options if "name" in options else own | options
    (line,) = mistakes(raw)
    assert line.startswith(f"params.yaml: variants.{variant}: ")
    assert says in line


def test_inceptions_features_need_more_samples_than_dimensions(raw_params: RawParams) -> None:
    raw = raw_params()
    put(raw, "sample.count", 2048)
    validate(Params, raw, "params.yaml")
    put(raw, "evaluate.inception_weights", "download")
    (line,) = mistakes(raw)
    assert "sample.count must be above 2048 for evaluate.inception_weights" in line
    put(raw, "sample.count", 2049)
    validate(Params, raw, "params.yaml")


def test_all_mistakes_are_told_at_once_a_line_each(raw_params: RawParams) -> None:
    raw = raw_params()
    wrong = {
        "budget": "quik",
        "sample.count": 1,
        "training.precision": "float16",
        "variants.mlp.batch_size": "many",
        "variants.mlp.network.name": "lmp",
        "variants.mlp.objective.more": 1,
        "variants.dcgan.network.base_channels": 2.5,
        "variants.dcgan.optimizers.discriminator.betas": [2.0, 0.9],
    }
    for key, value in wrong.items():
        put(raw, key, value)
    del raw["variants"]["cgan"]["images"]["full"]
    found = [line.removeprefix("params.yaml: ").split(": ")[0] for line in mistakes(raw)]
    assert sorted(found) == sorted(
        [*(key for key in wrong if "betas" not in key), f"{list(wrong)[-1]}.0", "variants.cgan.images.full"]
    )


def test_a_component_is_known_by_its_stage_alone(raw_params: RawParams) -> None:
    """Stages that use no component do not look at them."""
    raw = raw_params()
    raw["variants"]["mlp"]["network"] = {"name": "elsewhere", "anything": 1}
    assert validate(Params, raw, "params.yaml").variants["mlp"].network.name == "elsewhere"
    raw["variants"]["mlp"]["batch_size"] = 1
    with pytest.raises(ParameterError, match=r"variants\.mlp\.batch_size: 1 is not allowed"):
        validate(Params, raw, "params.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "mapping"),
        (b"- 1", "mapping"),
        (b"42", "mapping"),
        (b"a: [", "not valid YAML"),
        (b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n", "line 2: a merge conflict"),
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
        (b"[" * 1000, "not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParameterError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        load(tmp_path / "params.yaml")


def test_a_variant_is_found_or_the_known_ones_are_listed() -> None:
    params = load(ROOT / "params.yaml")
    assert params.variant("dcgan") is params.variants["dcgan"]
    assert list(params.variants["dcgan"].components()) == ["gan", "network", "objective", "regularizer"]
    with pytest.raises(ParameterError, match=r"unknown variant 'dcgn' \(did you mean 'dcgan'\?\); expected one of: a"):
        params.variant("dcgn")


def test_a_variant_of_a_broken_file_is_refused_when_it_is_asked_for() -> None:
    params = load(ROOT / "params.yaml")
    broken = params.variants["dcgan"].model_copy(update={"network": BrokenComponent("stages/networks/dcgan.py: why")})
    changed = params.model_copy(update={"variants": params.variants | {"dcgan": broken}})
    with pytest.raises(StageError, match=r"stages/networks/dcgan\.py: why"):
        changed.variant("dcgan")
    assert changed.variant("mlp") is params.variants["mlp"]
