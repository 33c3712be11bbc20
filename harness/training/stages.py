"""Transfer stages: pre-training on source sets, computed once and shared by every cell that starts from the result.

A stage's result is keyed by all that made it: the plugin's source, the network's architecture, the stage before it, the
source set and its division, the pixels, schedule, device type, precision and threads. No BreakHis image takes part.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import filelock
import safetensors.torch
import torch
from torch import nn

from harness.plugin_api.model import EpochReport, FitContext
from harness.plugin_api.schedule import Schedule
from harness.training.loop import Trainer, TrainingPlan, resolve_precision
from harness.training.normalisation import Normalisation
from harness.training.version import TRAINING_VERSION
from harness.training.weights import State, load_by_name, read_weights, save_state

_STAGE_SEED = 0  # a stage is shared by all seeds of a run, so it has one of its own


@dataclass(frozen=True)
class Stage:
    """Training on a source set before the training on BreakHis.

    Attributes:
        name: As the history calls it.
        source: Name of the source set in the config.
        schedule: The stage's own budget.
        frozen: Names of modules that it leaves as they are.
    """

    name: str
    source: str
    schedule: Schedule
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class StartingPoint:
    """Where the training on BreakHis starts from.

    Attributes:
        state: Tensors by name, or None for a fresh network.
        provenance: One line a stage, first stage first.
    """

    state: State | None
    provenance: tuple[str, ...]


class Transferable(Protocol):
    """What :func:`pretrain` asks of a model."""

    normalisation: Normalisation

    def build(self, n_classes: int) -> nn.Module:
        """Make the network, freshly initialised."""

    def head(self, network: nn.Module) -> str:
        """Name of the module that classifies."""

    def initial_weights(self) -> str | None:
        """Say where the first stage's weights come from."""

    def pretraining(self) -> tuple[Stage, ...]:
        """Stages on source sets, in order."""


def pretrain(model: Transferable, context: FitContext) -> StartingPoint:
    """Take a model through its stages, or as much of them as the cache does not hold."""
    weights = model.initial_weights()
    state = read_weights(weights) if weights else None
    provenance = [f"weights {Path(weights).name}"] if weights else []
    for stage in model.pretraining():
        folder = context.cache / "stages" / _stage_key(model, stage, state, context)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if folder.exists():
                _report_again(folder, context)
            else:
                _write_whole(folder, _trained_stage(model, stage, state, context))
        state = safetensors.torch.load_file(folder / "weights.safetensors")
        provenance.append(_told(stage, folder))
    return StartingPoint(state, tuple(provenance))


def _report_again(folder: Path, context: FitContext) -> None:
    """Report a finished stage's epochs, so that every cell's history tells what its weights have cost."""
    for epoch in json.loads((folder / "stage.json").read_text())["history"]:
        context.report(EpochReport(**epoch))


def _trained_stage(
    model: Transferable, stage: Stage, state: State | None, context: FitContext
) -> Callable[[Path], None]:
    """Train a stage and return what writes it into a folder."""
    source = context.sources[stage.source]
    torch.manual_seed(_STAGE_SEED)
    network = model.build(len(source.classes))
    fresh = load_by_name(network, state, model.head(network)) if state is not None else list(network.state_dict())
    plan = TrainingPlan(
        stage.name, stage.schedule, stage.frozen, model.normalisation, n_classes=len(source.classes), seed=_STAGE_SEED
    )
    history: list[EpochReport] = []

    def report(epoch: EpochReport) -> None:
        history.append(epoch)
        context.report(epoch)

    Trainer(network.to(context.device), plan, source.train()).fit(source.validation(), report)

    def write(folder: Path) -> None:
        save_state(network.state_dict(), folder / "weights.safetensors")
        record: dict[str, Any] = {
            "stage": stage.name,
            "source": source.fingerprint,
            "classes": source.classes,
            "fresh": fresh,
        }
        record["history"] = [asdict(epoch) for epoch in history]
        (folder / "stage.json").write_text(json.dumps(record, indent=1))

    return write


def _stage_key(model: Transferable, stage: Stage, before: State | None, context: FitContext) -> str:
    torch.manual_seed(_STAGE_SEED)
    ingredients: list[Any] = [
        TRAINING_VERSION,
        context.code,
        repr(model.build(2)),
        asdict(model.normalisation),
        _fingerprint(before or {}),
        stage.schedule.model_dump(),
        stage.frozen,
        context.sources[stage.source].fingerprint,
        context.pixels,
        context.device.type,
        resolve_precision(stage.schedule, context.device),
        context.threads,
    ]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]


def _fingerprint(state: State) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _told(stage: Stage, folder: Path) -> str:
    history = json.loads((folder / "stage.json").read_text())["history"]
    best = max(epoch["validation_balanced_accuracy"] for epoch in history)
    return f"{stage.name}: {len(history)} epochs on {stage.source}, validation balanced accuracy {best:.3f}"


def _write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Write beside the folder, then rename, so that a stage is there whole or not at all."""
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        write(building)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
