"""Train one variant: data/processed/train -> models/<variant>, its loss curve and grids along training in metrics."""

import contextlib
import hashlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import nn

from stages.config.command import run_stage
from stages.config.components import FOLDERS
from stages.config.errors import StageError
from stages.config.params import Params, Variant
from stages.config.registry import CODE
from stages.contracts.generator import Generator, ImageShape
from stages.storage.files import json_to_bytes, write_bytes
from stages.storage.images import GRID, Split, data_digest, read_split
from stages.storage.paths import (
    ANIMATION,
    CONFIG,
    DISCRIMINATOR,
    GENERATOR,
    LOSSES,
    MODELS,
    SNAPSHOTS,
    TRAINING,
    VARIANTS,
    seed_folder,
)
from stages.storage.weights import weights_to_bytes
from stages.tracking.event_log import EventLog
from stages.tracking.progress import Progress
from stages.training import processes
from stages.training.batches import Batches, place
from stages.training.checkpoints import Checkpoints, hash_files, key_of
from stages.training.device import environment, prepare
from stages.training.launch import is_launched, launch
from stages.training.live_files import LiveFiles, Row, samples_to_gif
from stages.training.receptive_field import receptive_field
from stages.training.session import DivergedError, Observer, Plan, Session
from stages.training.trainer import Hyperparameters, Trainer

SHARED_CODE = ("contracts", "storage", "training")  # folders that every training runs


class Prepared(NamedTuple):
    """A training that can begin, and what describes it."""

    trainer: Trainer
    plan: Plan
    checkpoints: Checkpoints
    config: dict[str, Any]  # of config.json
    environment: dict[str, str]
    digest: str  # of the data


class Trained(NamedTuple):
    """What the training of one seed gives: the model's files by name, and where it could have resumed."""

    files: dict[str, bytes]
    checkpoints: Checkpoints


def main(params: Params, name: str) -> None:
    """Train under the budget, once for each seed; no model is written before all are done."""
    params.variant(name)
    if params.training.processes > 1 and not is_launched():
        launch(params.training.processes, "stages.train", name)
    elif processes.is_first():
        train(params, name)
    else:
        help_train(params, name)


def train(params: Params, name: str) -> None:
    """Train and write; of several processes only the first one does."""
    seeds, rows = params.training.seeds, list[Row]()
    trained = {}
    for seed in seeds:
        live = LiveFiles(VARIANTS / name / LOSSES, seed_folder(TRAINING / name, seeds, seed), seed, rows)
        trained[seed] = train_seed(params, name, seed, live)
        live.close()
        rows = live.rows
    for seed, of_seed in trained.items():
        for file, content in of_seed.files.items():
            write_bytes(seed_folder(MODELS / name, seeds, seed) / file, content)
    for of_seed in trained.values():
        of_seed.checkpoints.remove()


def help_train(params: Params, name: str) -> None:
    """Train this process's share."""
    for seed in params.training.seeds:
        training = prepare_training(params, name, seed)
        session = Session(training.trainer, training.plan, [], training.checkpoints)
        with contextlib.suppress(DivergedError):
            session.resume()
            session.run(lambda seen, scalars: None)


def train_seed(params: Params, name: str, seed: int, live: Observer) -> Trained:
    """Train both networks, from where an earlier training like this one was broken off, if one was."""
    training = prepare_training(params, name, seed)
    try:
        files = run_session(params, training, live)
    except DivergedError as error:  # a result, too: the report has a row for it, and the other variants go on
        print(f"train: {error}", file=sys.stderr)
        files = {CONFIG: json_to_bytes(training.config | {"diverged": str(error)})}
    return Trained(files, training.checkpoints)


def prepare_training(params: Params, name: str, seed: int) -> Prepared:
    """Read the data, build new networks, and find out what the training's bytes depend on."""
    variant = params.variant(name)
    device = prepare(params, seed)
    processes.join(device)
    data = read_split("train")
    machine, digest, code = environment(device), data_digest(data), hash_code(variant)
    processes.require_same({"parameters": settings(params, variant), "code": code, "training images": digest})
    trainer = build_trainer(params, variant, data, device)
    config = describe(params, variant, trainer, data, seed, device)
    # the other seeds do not matter to this one
    key = key_of(config | {"seeds": None, "processes": None}, code, digest, machine)
    checkpoints = Checkpoints(name, key, params.resume.every_seconds)
    plan = Plan(name, seed, config["variant"]["images"], params.training)
    return Prepared(trainer, plan, checkpoints, config, machine, digest)


def run_session(params: Params, training: Prepared, live: Observer) -> dict[str, bytes]:
    """Train to the end, watched: the model's files by name. Raises DivergedError."""
    trainer, plan, config = training.trainer, training.plan, training.config
    about = config | {"environment": training.environment}
    with EventLog(params.tracking, plan.name) as event_log:
        session = Session(trainer, plan, [event_log, live], training.checkpoints)
        session.resume()
        if trainer.images_seen < plan.images:
            event_log.begin_run(plan.name, about)
            event_log.dataset("data/processed/train", len(trainer.batches.images), training.digest)
        else:  # whole: its run is most likely there
            sha256 = hashlib.sha256(weights_to_bytes(trainer.ema.module)).hexdigest()
            event_log.join_run(plan.name, sha256, config["checkpoint"], otherwise=about)
        progress = Progress(plan.name, plan.images, trainer.images_seen)
        session.run(progress.update)
        progress.close()
        generator = weights_to_bytes(trainer.ema.module)
        served = {CONFIG: json_to_bytes(config), GENERATOR: generator}
        event_log.model(served, hashlib.sha256(generator).hexdigest())
    discriminator, snapshots = weights_to_bytes(trainer.gan.discriminator), save(session.snapshots)
    animation = samples_to_gif(session.snapshots["samples"][:, :GRID].numpy())
    return {**served, DISCRIMINATOR: discriminator, SNAPSHOTS: snapshots, ANIMATION: animation}


def build_trainer(params: Params, variant: Variant, train: Split, device: torch.device) -> Trainer:
    """A GAN with new networks, and what trains it."""
    gan = variant.gan.build(
        variant.network, variant.objective, variant.regularizer, train.image_shape, len(train.classes)
    )
    images = place(variant.gan.training_images(torch.from_numpy(train.images)), device)
    batch_size = largest_batch(variant, len(images))
    labels = torch.from_numpy(train.labels)[: len(images)].to(device)
    return Trainer(gan, Batches(images, labels, batch_size), hyperparameters(params, variant))


def hyperparameters(params: Params, variant: Variant) -> Hyperparameters:
    """The trainer's settings: the variant's own, and those of all variants."""
    return Hyperparameters(
        optimizers=variant.optimizers,
        critic_steps=variant.critic_steps,
        learning_rate_decay_from=params.training.learning_rate_decay_from,
        ema_halflife_images=variant.ema_halflife_images,
        ema_rampup=params.training.ema_rampup,
        precision=params.training.precision,
        reuse_fakes=params.training.reuse_fakes,
        noise_std=params.training.noise_std,
        noise_until=params.training.noise_until,
        augment=params.training.augment,
        cuda_graphs=params.cuda_graphs,
    )


def largest_batch(variant: Variant, images: int) -> int:
    """The variant's batch size, or, of fewer images, the largest one that fits the GAN and the number of processes.

    Raises StageError where none does, and where torchrun's processes cannot share the batch size equally.
    """
    count = processes.world_size()
    if variant.batch_size % count:
        raise StageError(
            f"{count} processes: not allowed; expected a number that divides batch_size {variant.batch_size}"
        )
    for share in range(min(variant.batch_size, images) // count, 0, -1):
        with contextlib.suppress(ValueError):
            variant.gan.check_batch_size(share)
            return share * count
    raise StageError(f"{images} training images: too few for a batch of this variant, in {count} processes")


def describe(
    params: Params, variant: Variant, trainer: Trainer, train: Split, seed: int, device: torch.device
) -> dict[str, Any]:
    """config.json of a model: what it was built from, and what it is."""
    gan = trainer.gan
    return {
        **settings(params, variant),
        "processes": processes.world_size(),
        "seed": seed,
        "device": device.type,
        "image_shape": list(train.image_shape),
        "classes": list(train.classes),
        "training_images": len(trainer.batches.images),
        **describe_generator(gan.generator, train.image_shape),
        "parameters": {name: _count(getattr(gan, name)) for name in ("generator", "discriminator")},
        "receptive_field": list(receptive_field(gan, train.image_shape)),  # of a logit, in pixels
    }


def settings(params: Params, variant: Variant) -> dict[str, Any]:
    """The parameters of all seeds' trainings."""
    about = variant.model_dump(exclude={"summary", "paper", "images", *FOLDERS})
    components = {role: component.model_dump() for role, component in variant.components().items()}
    return {
        "variant": components | about | {"images": getattr(variant.images, params.budget)},
        "training": params.training.model_dump(exclude={"seeds", "checkpoint", "processes"}),
        "seeds": list(params.training.seeds),
        "budget": params.budget,
        "checkpoint": params.training.checkpoint,
        "threads": params.threads,
    }


def describe_generator(generator: Generator, image_shape: ImageShape) -> dict[str, Any]:
    """What config.json says of a generator: what it starts from, what labels mean, and what scores may ask of it."""
    return {
        "label_meaning": generator.label_meaning,
        "categories": generator.categories,
        "starts_from": generator.starts_from,
        "source_shape": generator.source_shape(image_shape),
        "offers": list(generator.offers),
    }


def hash_code(variant: Variant) -> str:
    """Hash of the code that a training of this variant runs."""
    shared = [file for folder in SHARED_CODE for file in sorted((CODE / folder).glob("[!.]*.py"))]
    components = [CODE / folder / f"{getattr(variant, role).name}.py" for role, folder in FOLDERS.items()]
    return hash_files([Path(__file__), *shared, CODE / "networks" / "layers.py", *components])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
