"""Checkpoints of a training, exact to the bit on the CPU."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.durable import replacing
from harness.errors import DataError
from harness.plugin_api.model import EpochReport, FitContext
from harness.training.devices import versions
from harness.training.weights import State, fingerprint, read_state, save_state

_VERSION = 4
_BEST = "best."


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        history: The epochs so far.
        best: The network's tensors after the best of them, by name.
    """

    history: list[EpochReport] = field(default_factory=list)
    best: State = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """The epoch of highest balanced accuracy on validation, ties by lower loss, then the earlier; 0 before any."""
        return max(self.history, key=_score).epoch if self.history else 0

    def add(self, latest: EpochReport, network: State) -> None:
        """Take in an epoch and the network's tensors after it."""
        self.history.append(latest)
        if self.best_epoch == latest.epoch:
            self.best = {name: tensor.clone() for name, tensor in network.items()}


@dataclass(frozen=True)
class Snapshot:
    """A training between two epochs.

    Attributes:
        progress: How far it is.
        tensors: Everything else that later epochs depend on, by name: weights, momentum, random generators.
    """

    progress: Progress
    tensors: State


class Checkpoints:
    """Keeps the latest snapshot of one training in a folder.

    Args:
        folder: Where; made when the first one is kept.
        name: Of the training, unique in the folder.
        seconds: Between two snapshots, at least.
    """

    def __init__(self, folder: Path, name: str, seconds: float) -> None:
        self._file = folder / f"{name}.safetensors"
        self._seconds, self._kept = seconds, time.monotonic()

    @property
    def due(self) -> bool:
        """Whether so much time has passed since the last snapshot that another is wanted."""
        return time.monotonic() - self._kept >= self._seconds

    def keep(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place of the one before, whole or not at all."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {**snapshot.tensors, **{f"{_BEST}{name}": best for name, best in snapshot.progress.best.items()}}
        history = [asdict(epoch) for epoch in snapshot.progress.history]
        message = {"version": _VERSION, "libraries": versions(), "history": history, "sha256": fingerprint(tensors)}
        with replacing(self._file) as beside:
            save_state(tensors, beside, {"training": json.dumps(message)})
        self._kept = time.monotonic()

    def latest(self) -> Snapshot | None:
        """Return the last snapshot; None where there is none that is as it was written, and training begins anew.

        One of other libraries is none: a cell's record names those that all of its training was done with.
        """
        try:
            tensors, header = read_state(self._file)
            message: dict[str, Any] = json.loads(header["training"])
            if message["version"] != _VERSION or message["libraries"] != versions():
                return None
            if message["sha256"] != fingerprint(tensors):
                return None
            best = {name.removeprefix(_BEST): tensors.pop(name) for name in list(tensors) if name.startswith(_BEST)}
            return Snapshot(Progress([EpochReport(**epoch) for epoch in message["history"]], best), tensors)
        except (DataError, KeyError, TypeError, ValueError):
            return None

    def drop(self) -> None:
        """Forget the snapshot: the training is done."""
        self._file.unlink(missing_ok=True)


def checkpoints_of(context: FitContext, stage: str) -> Checkpoints | None:
    """Return where a stage of a cell keeps its snapshots, if the cell keeps any."""
    return Checkpoints(context.checkpoint, stage, context.checkpoint_seconds) if context.checkpoint else None


def _score(epoch: EpochReport) -> tuple[float, float, int]:
    return epoch.validation_balanced_accuracy, -epoch.validation_loss, -epoch.epoch


def generator_states(shuffles: torch.Generator, device: torch.device) -> State:
    """Return the random generators that a training draws from, by name: uint8 each."""
    states = {"generator.shuffles": shuffles.get_state(), "generator.host": torch.get_rng_state()}
    return states | ({"generator.device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_generators(states: State, shuffles: torch.Generator, device: torch.device) -> None:
    """Put the random generators back to where they were."""
    shuffles.set_state(states["generator.shuffles"])
    torch.set_rng_state(states["generator.host"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["generator.device"], device)
