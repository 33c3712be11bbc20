"""A stand-in for sbatch that runs jobs at once, on this machine."""

import os
import sys
from pathlib import Path

SBATCH = """#!/bin/bash
# Runs a job at once: every task of an array, or what --wrap says; writes down what it was asked for.
set -u
echo "$@" >> "$SBATCH_LOG"
for word in "$@"; do
  case "$word" in
    --wrap=*) bash -c "${word#--wrap=}"; exit 0 ;;
  esac
done
script="${@: -1}"
last=$(sed -n 's/^#SBATCH --array=1-//p' "$script")
for task in $(seq 1 "$last"); do
  SLURM_ARRAY_TASK_ID=$task bash "$script" 1>&2
done
echo "4711;cluster"
"""


def environment_with_sbatch(folder):
    """Return an environment in which ``sbatch`` is the stand-in, which writes what it is asked for to ``log``."""
    (folder / "sbatch").write_text(SBATCH)
    (folder / "sbatch").chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "SBATCH_LOG": str(folder / "log")}
