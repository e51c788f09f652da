#!/bin/bash
# Tasks of a plan as a job array: sbatch --array=<numbers> docs/examples/slurm.sh <plan> [<added to all numbers>].
# See docs/cluster.md.
# Options on sbatch's command line come before these. Add what your cluster asks for: a partition, an account.
#SBATCH --job-name=reprogan
#SBATCH --ntasks=1
#SBATCH --mem-per-cpu=4G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append

set -e
cd "$SLURM_SUBMIT_DIR" # sbatch runs a copy of this file, which is elsewhere
PATH="$PWD/.venv/bin:$PATH" exec python -m stages.run_task "$1" "$((SLURM_ARRAY_TASK_ID + ${2:-0}))"
