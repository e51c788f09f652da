"""Tune a variant with Optuna: each trial is a DVC experiment. Run it again to go on. See docs/compare.md."""

import argparse
import json
import statistics
import subprocess
from pathlib import Path

import dvc.api
import optuna

STORAGE = Path(".cache/optuna.db")  # git ignores .cache


def suggest(trial: optuna.Trial, variant: str) -> dict[str, float]:
    """Keys of params.yaml and their values in this trial: the search space. Edit it."""
    rates = {
        f"variants.{variant}.optimizers.{network}.learning_rate": trial.suggest_float(network, 3e-4, 1e-2, log=True)
        for network in ("generator", "discriminator")
    }
    if "weight" not in dvc.api.params_show()["variants"][variant]["regularizer"]:
        return rates
    return {**rates, f"variants.{variant}.regularizer.weight": trial.suggest_float("weight", 0.05, 5.0, log=True)}


def run_trial(trial: optuna.Trial, variant: str, budget: str) -> float:
    """FID to validation images of one experiment, the mean over seeds; a training that diverged counts as pruned."""
    name = f"{trial.study.study_name}-{trial.number}"
    values = {"budget": budget, **suggest(trial, variant)}
    settings = [part for key, value in values.items() for part in ("-S", f"{key}={value}")]
    # --temp runs in a copy: the working tree stays as it is
    subprocess.run(["dvc", "exp", "run", "--temp", "--name", name, *settings, f"evaluate@{variant}"], check=True)
    trial.set_user_attr("experiment", name)
    models = json.loads(dvc.api.read(f"metrics/variants/{variant}/scores.json", rev=name))["models"]
    if not models:
        raise optuna.TrialPruned
    return statistics.mean(model["scores"]["validation_fid"]["value"] for model in models)


def main() -> None:
    """Run more trials of a study, and print the best one so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=dvc.api.params_show()["variants"], help="a variant in params.yaml")
    parser.add_argument("--trials", type=int, default=10, help="how many more")
    parser.add_argument("--budget", default="quick", choices=["smoke", "quick", "long", "full"])
    options = parser.parse_args()
    STORAGE.parent.mkdir(exist_ok=True)
    name = f"tune-{options.variant}-{options.budget}"
    study = optuna.create_study(study_name=name, storage=f"sqlite:///{STORAGE}", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # the same trials on every machine
    failed = (subprocess.CalledProcessError,)  # the study goes on
    study.optimize(lambda trial: run_trial(trial, options.variant, options.budget), options.trials, catch=failed)
    if study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        best = study.best_trial
        print(f"best: {best.user_attrs['experiment']}: FID to validation images {best.value:.2f}, {best.params}")


if __name__ == "__main__":
    main()
