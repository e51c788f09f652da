"""Seconds of training until the FID of the generator's EMA to validation images has fallen to a value.

The clock runs from the first step, and from the start of this process; it stands while samples are scored.
Scores are those of the pipeline, by its own classifier: `dvc repro reference` builds what they need.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from stages.config.errors import errors_as_lines
from stages.config.params import load
from stages.contracts.generator import labels_like
from stages.evaluation.feature_network import images_to_features, load_classifier
from stages.scoring.frechet import features_to_fid
from stages.storage.files import read_array
from stages.storage.images import read_split
from stages.storage.paths import CLASSIFIER, REFERENCE
from stages.storage.pixels import to_uint8
from tests.tools.benchmarks.process import age
from tests.tools.benchmarks.training import build_trainer, describe


def main() -> None:
    """Train, look now and then, and stop where the value is reached; exit code 1 where it never is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", nargs="?", default="dcgan")
    parser.add_argument("--fid", type=float, default=10.0)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--looks", type=int, default=40, help="how many times, evenly over the training")
    asked = parser.parse_args()
    params, train = load(), read_split("train")
    variant = params.variant(asked.variant)
    trainer = build_trainer(params, asked.variant, train, params.training.seeds[0])
    device = trainer.device
    classifier = load_classifier(CLASSIFIER, device)
    validation = read_array(REFERENCE / "validation_features.npy")
    total = getattr(variant.images, params.budget)
    wanted = labels_like(trainer.ema.module, trainer.batches.labels, asked.samples)
    print(f"{asked.variant}, {params.budget} budget, on {describe(params)}")
    before_first_step = age()
    trained = 0.0
    looks = 0
    started = time.perf_counter()
    for seen in trainer.train(total):
        if seen * asked.looks < total * (looks + 1):
            continue
        looks = seen * asked.looks // total
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # steps were only queued
        trained += time.perf_counter() - started
        average, data = trainer.ema.module, trainer.batches.images
        samples = to_uint8(trainer.gan.sample(average, wanted, data, seed=params.sample.seed))
        features, _ = images_to_features(classifier, samples.cpu().numpy(), device)
        fid = features_to_fid(features, validation)
        print(f"{seen:,} images, {trained:.1f} s: FID {fid:.2f}", flush=True)
        if fid <= asked.fid:
            whole = before_first_step + trained
            print(f"FID {asked.fid:g} after {trained:.1f} s from the first step, {whole:.1f} s from process start")
            return
        started = time.perf_counter()
    sys.exit(f"FID {asked.fid:g} was not reached in {total:,} images")


if __name__ == "__main__":
    with errors_as_lines():
        main()
