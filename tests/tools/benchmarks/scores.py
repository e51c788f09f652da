"""Seconds and memory of every score, compared with torch-fidelity's and torchmetrics' on the same features.

Each figure comes from a process of its own: what it takes beyond loading the libraries and the features.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.tools.benchmarks.process import forget_peak, peak

COUNTS = (10_000, 50_000)  # samples
REFERENCE = 10_000  # test images
DIMS, CLASSES = 128, 10
THREADS = 2
LIMIT = 8  # GiB that a computation may take
LIBRARIES = ("reprogan", "torch-fidelity", "torchmetrics")
Computation = Callable[[np.ndarray, np.ndarray], Any]
SCORES = ("FID", "inception score", "KID", "precision, recall (density, coverage)")


def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 features of samples (count, DIMS) and of the reference, never negative as those behind a ReLU."""
    random = np.random.default_rng(0)
    samples = random.gamma(1.9, 0.95, (count, DIMS)).astype(np.float32)
    return samples, random.gamma(2.0, 1.0, (REFERENCE, DIMS)).astype(np.float32)


def ours(score: str) -> Computation:
    """How reprogan computes a score."""
    from stages.evaluation.manifold import features_to_manifold, manifolds_to_votes
    from stages.scoring.frechet import features_to_fid
    from stages.scoring.inception_score import logits_to_inception_score
    from stages.scoring.kid import features_to_kid

    def neighbours(samples: np.ndarray, reference: np.ndarray) -> Any:
        return manifolds_to_votes(features_to_manifold(samples, 5), features_to_manifold(reference, 5), 5)

    computations: dict[str, Computation] = {
        "FID": features_to_fid,
        "inception score": lambda samples, _: logits_to_inception_score(samples[:, :CLASSES], 10, 0),
        "KID": functools.partial(features_to_kid, subsets=100, subset_size=1000, seed=0),
        SCORES[3]: neighbours,
    }
    return computations[score]


def fidelity(score: str) -> Computation:
    """torch-fidelity's."""
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    tensor = torch.from_numpy
    return {
        "FID": lambda *sets: fid_statistics_to_metric(
            *(fid_features_to_statistics(tensor(points)) for points in sets), verbose=False
        ),
        "inception score": lambda samples, _: isc_features_to_metric(tensor(samples[:, :CLASSES]), 10),
        "KID": lambda *sets: kid_features_to_metric(
            *map(tensor, sets), kid_subsets=100, kid_subset_size=1000, verbose=False
        ),
        SCORES[3]: lambda *sets: prc_features_to_metric(*map(tensor, sets), prc_neighborhood=5, verbose=False),
    }[score]


def torchmetrics(score: str) -> Computation | None:
    """torchmetrics'; it has no precision and recall of this kind."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Identity):
        num_features = DIMS

    def compare(metric: Any, samples: np.ndarray, reference: np.ndarray) -> Any:
        metric.update(torch.from_numpy(samples), real=False)
        metric.update(torch.from_numpy(reference), real=True)
        return metric.compute()

    def inception(samples: np.ndarray, _: np.ndarray) -> Any:
        metric = InceptionScore(feature=Given(), splits=10)
        metric.update(torch.from_numpy(samples[:, :CLASSES]))
        return metric.compute()

    return {
        "FID": lambda *sets: compare(FrechetInceptionDistance(feature=Given()), *sets),
        "inception score": inception,
        "KID": lambda *sets: compare(KernelInceptionDistance(feature=Given(), subsets=100, subset_size=1000), *sets),
    }.get(score)


def measure(library: str, score: str, count: int) -> None:
    """Print seconds and MiB of one computation as JSON, null where the library does not have it."""
    import torch

    torch.set_num_threads(THREADS)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT * 2**30, LIMIT * 2**30))
    compute = {"reprogan": ours, "torch-fidelity": fidelity, "torchmetrics": torchmetrics}[library](score)
    if compute is None:
        print("null")
        return
    few = draw(2000)
    compute(few[0], few[1][:2000])  # libraries load and warm up
    samples, reference = draw(count)
    before, start = forget_peak(), time.perf_counter()
    compute(samples, reference)
    print(json.dumps({"seconds": time.perf_counter() - start, "MiB": peak() - before}))


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=3, metavar=("LIBRARY", "SCORE", "COUNT"))
    if asked := parser.parse_args().measure:
        measure(asked[0], asked[1], int(asked[2]))
        return
    print(f"Seconds / MiB on {THREADS} threads, {DIMS} features, against {REFERENCE:,} reference images", end="\n\n")
    print("| score | samples |", " | ".join(LIBRARIES), "|")
    print("|---|--:|" + "--:|" * len(LIBRARIES))
    for score in SCORES:
        for count in COUNTS:
            cells = []
            for library in LIBRARIES:
                command = [
                    sys.executable,
                    "-m",
                    "tests.tools.benchmarks.scores",
                    "--measure",
                    library,
                    score,
                    str(count),
                ]
                env = os.environ | {"OPENBLAS_NUM_THREADS": str(THREADS)}  # NumPy reads it when it is imported
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
                found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
                over = "alloc" in done.stderr.lower()  # as NumPy's and torch's errors say
                failed = f"over {LIMIT} GiB" if over else f"ended with {done.returncode}" if done.returncode else ""
                cells.append(f"{found['seconds']:.2f} / {found['MiB']:.0f}" if found else failed)
            print(f"| {score} | {count:,} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
