"""Run one task of a plan that `stages.fan_out --plan` wrote. Without a number, print the state of each task."""

import argparse
import sys
from pathlib import Path

from stages.cluster.plan_folder import read_outcome, read_tasks, run_planned
from stages.cluster.worker import DONE
from stages.config.errors import errors_as_lines


def main() -> None:
    """Run a task, or print all states; the exit code is 1 if a task is not done, and the last line names it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="folder of the plan")
    parser.add_argument("number", type=int, nargs="?", help="number of the task: SLURM_ARRAY_TASK_ID")
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
