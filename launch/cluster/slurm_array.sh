#!/usr/bin/env bash
# A study as a SLURM job array: every task takes runs that nobody else does, until none is left.
#
#   sbatch --array=0-7 --gpus=1 --time=12:00:00 launch/cluster/slurm_array.sh \
#     --config=configs/paper_inat2021.py --workdir=/shared/runs/inat --data_dir=/shared/data
#
# Submit it from the project's folder; all that follows the script's name goes to launch/study.py.
# --workdir lies on a file system that all nodes share. Two minutes before its time is up, or when it
# is preempted, a task saves and ends with exit code 75, as it does where its disk or network is lost;
# it is then queued again, and its run goes on. All other exit codes are the task's own: 1 a bug, 2 a
# mistake in the arguments, 3 runs that failed.
#
#SBATCH --job-name=fine2coarse
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
#SBATCH --output=slurm-%A_%a.out
set -uo pipefail

python=${PYTHON:-.venv/bin/python}
max_requeues=${MAX_REQUEUES:-50}
try_again=75  # EXIT_TRY_AGAIN in fine2coarse/errors.py

task=${SLURM_ARRAY_TASK_ID:?run this with sbatch, as its first lines show}
echo "task $task on $(hostname), start ${SLURM_RESTART_COUNT:-0}"

# srun passes SIGTERM on to the program. Without waiting for the others' runs, a task gives its node
# back as soon as there is nothing left for it to do; the last one writes the report.
srun "$python" launch/study.py "$@" --nowait
code=$?

if [ "$code" -eq "$try_again" ]; then
  if [ "${SLURM_RESTART_COUNT:-0}" -ge "$max_requeues" ]; then
    echo "stopped, and queued again $max_requeues times already: given up" >&2
    exit "$code"
  fi
  echo "saved; queued again"
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${task}"
  exit 0
fi
exit "$code"
