"""A run in shards, as a script for SLURM."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from harness.api.runs import RunOptions, RunRequest
from harness.execution.slurm import JobArray, render_script
from harness.locations import results_folder
from harness.planning.observer import Observer
from harness.store.shards import Shard


def slurm_script(
    config: str | Path, shards: int, observer: Observer | None = None, **options: Unpack[RunOptions]
) -> str:
    """Return a script that submits a run to SLURM in shards, and their merge.

    What the shards hold to (kind of device, precision, images, plugins, libraries) is settled here and now, so this
    belongs on a machine like those that will compute.

    Args:
        config: A path, or the name of a shipped config.
        shards: How many.
        observer: Is told of every step.
        **options: As :func:`harness.run` takes them; ``out`` is the folder of the whole run.

    Raises:
        HarnessError: As :func:`harness.estimate`; also where there are fewer cells than shards.
    """
    request = RunRequest.of(config, observer or Observer(), {**options, "shard": f"1/{shards}"})
    whole = Path(options.get("out") or results_folder() / request.name).absolute()
    plan, estimate = request.settle_shards(whole)
    folders = [Shard(number, shards).folder(whole) for number in range(1, shards + 1)]
    words = _words(str(config), options)
    return render_script(JobArray(request.name, whole, folders, words, estimate, plan.device.type, plan.config.threads))


def _words(config: str, options: RunOptions) -> list[str]:
    """Return what ``harness run`` is given, with paths that hold from anywhere."""
    file, data, models = Path(config), options.get("data"), options.get("models")
    given = {"--device": options.get("device"), "--jobs": options.get("jobs"), "--limit": options.get("limit")}
    return [
        str(file.absolute()) if file.is_file() else config,
        *(word for override in options.get("overrides", ()) for word in ("-o", override)),
        *(["--data", str(Path(data).absolute())] if data else []),
        *(["--models", ",".join(models)] if models else []),
        *(word for name, value in given.items() if value is not None for word in (name, str(value))),
        *(word for plugin in options.get("plugins", ()) for word in ("--plugin", str(plugin.absolute()))),
    ]
