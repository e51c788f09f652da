"""Run one task of a plan that `stages.fan_out --plan` wrote. Without a number, say what became of all of them."""

import argparse
import sys
from pathlib import Path

from stages.cluster.plan_folder import read_outcome, read_tasks, run_planned
from stages.cluster.worker import DONE
from stages.config.errors import errors_as_lines


def main() -> None:
    """Run, or look; the exit code is 1 where a task is not done, and the last line says which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="its folder")
    parser.add_argument("number", type=int, nargs="?", help="of the task: SLURM_ARRAY_TASK_ID")
    options = parser.parse_args()
    with errors_as_lines():
        if options.number is not None:
            outcomes = [run_planned(options.plan, options.number)]
        else:
            tasks = read_tasks(options.plan)
            outcomes = [read_outcome(options.plan, tasks, number) for number in range(len(tasks))]
    for outcome in outcomes:
        print(": ".join(part for part in (outcome["name"], outcome["state"], outcome["reason"]) if part))
    if left := [outcome["name"] for outcome in outcomes if outcome["state"] != DONE]:
        sys.exit(f"run_task: not done: {', '.join(left)}")


if __name__ == "__main__":
    main()
