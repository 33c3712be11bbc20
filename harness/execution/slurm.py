"""A run in shards as a job array of SLURM."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.execution.estimate import Estimate
from harness.text import duration, printable

_MINUTES_TO_BEGIN = 15
"""For reading the images, timing each model alone and trying it."""

_HOST_MB = 2000
_CELL_ON_CUDA_MB = 4000
"""Of a process beside the device's memory: libraries, and its part of the images."""

_SAFETY = 2.0
_MERGE = ("--time=30", "--mem=4000M")
_TASK = '"$SLURM_ARRAY_TASK_ID"'


@dataclass(frozen=True)
class JobArray:
    """What a job array is made of.

    Attributes:
        name: Of the config.
        run: The folder of the whole run.
        shards: The folders of its shards.
        words: What ``harness run`` is given, but for shard and folder.
        estimate: Of the whole run.
        device_type: ``cpu`` or ``cuda``.
        threads: CPU threads of a cell.
    """

    name: str
    run: Path
    shards: Sequence[Path]
    words: Sequence[str]
    estimate: Estimate
    device_type: str
    threads: int

    @property
    def shard_seconds(self) -> float:
        """Of the shard that takes longest, as far as it is known."""
        dealt = sum(
            math.ceil(model.cells / len(self.shards)) * (model.seconds or 0) / model.cells
            for model in self.estimate.models
        )
        stages = {key: seconds for model in self.estimate.models for key, seconds in model.pretraining_seconds.items()}
        return dealt / self.estimate.jobs + sum(stages.values())

    @property
    def memory_mb(self) -> int:
        """Main memory of a shard."""
        peak = max((model.memory_mb for model in self.estimate.models), default=0.0)
        cell = _CELL_ON_CUDA_MB + self.estimate.image_mb if self.device_type == "cuda" else 1.5 * peak
        return math.ceil(_HOST_MB + self.estimate.jobs * cell)


def render_script(array: JobArray) -> str:
    """Return the script: by itself it submits its shards and the merge after them; as a job it computes a shard."""
    count = len(array.shards)
    shard = [sys.executable, "-m", "harness", "run", *array.words]
    merge = [sys.executable, "-m", "harness", "merge", str(array.run), *map(str, array.shards)]
    here, whole = shlex.quote(str(Path.cwd())), shlex.quote(shlex.join(merge))
    run, name = shlex.quote(str(array.run)), shlex.quote(array.name)
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"# {printable(line)}" for line in _explanation(array)),
            *(f"#SBATCH {option}" for option in _options(array)),
            "set -euo pipefail",
            'if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then',
            f"  exec {shlex.join(shard)} --shard {_TASK}/{count} --out {run}-{_TASK}-of-{count}",
            "fi",
            'shards=$(sbatch --parsable "$0")',
            f'sbatch --job-name={name}-merge --dependency="afterany:${{shards%%;*}}" {" ".join(_MERGE)} \\',
            f"  --chdir={here} --output={run}-merge.log --wrap={whole}",
            "",
        ]
    )


def _options(array: JobArray) -> list[str]:
    minutes = math.ceil(_SAFETY * array.shard_seconds / 60) + _MINUTES_TO_BEGIN
    return [
        f"--job-name={shlex.quote(array.name)}",
        f"--array=1-{len(array.shards)}",
        f"--time={minutes // 60}:{minutes % 60:02d}:00",
        f"--mem={array.memory_mb}M",
        f"--cpus-per-task={array.estimate.jobs * array.threads + 1}",
        *(["--gres=gpu:1"] if array.device_type == "cuda" else []),
        "--requeue",
        "--open-mode=append",
        f"--chdir={shlex.quote(str(Path.cwd()))}",
        f"--output={shlex.quote(f'{array.run}-%a-of-{len(array.shards)}.log')}",
    ]


def _explanation(array: JobArray) -> list[str]:
    found = array.estimate
    untimed = [model.label for model in found.models if model.seconds is None]
    on_device = max((model.memory_mb for model in found.models), default=0.0) * found.jobs
    return [
        f"{found.cells} cells of {array.name} in {len(array.shards)} shards of about {duration(array.shard_seconds)}.",
        f"Twice as much is asked for, and {_MINUTES_TO_BEGIN} minutes to begin.",
        *([f"Without the time of {', '.join(untimed)}, which do not train in steps."] if untimed else []),
        *([f"Takes {on_device:,.0f} MB of a GPU's memory."] if array.device_type == "cuda" else []),
        "Run it with bash: it submits the shards as a job array, and the merge after them, whatever becomes of them.",
        "Submitted again it goes on: what is finished is kept, and a cell goes on from its checkpoint.",
    ]
