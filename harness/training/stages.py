"""Transfer stages: pre-training on source sets, cached and shared.

A stage's result is an artefact, keyed by all that made it: the plugin's source, the model's options, the network's
architecture and first weights, the stage before it, the source set, its division and pixels, schedule, device type,
precision, execution mode and threads. Folds, strata, seeds and models that start from the same stage share it.
No image of the data set takes part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from harness.cache import find_fault
from harness.plugin_api.model import EpochReport, FitContext, LabeledImages, Source
from harness.plugin_api.schedule import Schedule
from harness.training.architecture import describe_network
from harness.training.checkpoint import checkpoints_of
from harness.training.cost import training_seconds
from harness.training.devices import versions
from harness.training.feed import PixelFeed
from harness.training.frozen import refuse_fresh_frozen
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction, predict_probabilities
from harness.training.recipe import Recipe
from harness.training.version import TRAINING_VERSION
from harness.training.weights import (
    Weights,
    fingerprint,
    load_matching_weights,
    read_state,
    read_weights,
    save_state,
    without_counters,
)

_STAGE_SEED = 0  # a stage is shared by all seeds of a run, so it has one of its own
_SHOWN_KEY = 8
KIND, WEIGHTS, RECORD = "stages", "weights.safetensors", "stage.json"
"""Of the cache: the folder of finished stages, and the files of each: its network, and what is to be known of it."""


@dataclass(frozen=True)
class Stage:
    """Training on a source set before the training on the data set.

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
    """Where the training on the data set starts from.

    Attributes:
        weights: None for a fresh network.
        provenance: One line a stage, first stage first.
        inspection: What the model found in its network after each stage, by stage and name.
    """

    weights: Weights | None
    provenance: tuple[str, ...]
    inspection: Mapping[str, Mapping[str, float]]


class Transferable(Protocol):
    """What :func:`pretrain` asks of a model."""

    normalisation: Normalisation

    def network_for(self, classes: Sequence[str], size: int) -> nn.Module:
        """Build the network, freshly initialised, for images of a size and classes of these names."""

    def recipe(self) -> Recipe:
        """Return how it is trained."""

    def head(self, network: nn.Module) -> str:
        """Name of the module that classifies."""

    def initial_weights(self) -> str | None:
        """Say where the first stage's weights come from."""

    def pretraining(self) -> tuple[Stage, ...]:
        """Stages on source sets, in order."""

    def stage_options(self) -> Mapping[str, Any]:
        """Return the options that decide what a stage comes to, beside its own settings."""

    def allows_fresh_frozen(self) -> bool:
        """Say whether frozen layers may stay at random."""

    def inspect(self, network: nn.Module, images: torch.Tensor) -> Mapping[str, float]:
        """Say in numbers what is to be known of a trained network."""


def pretrain(model: Transferable, context: FitContext) -> StartingPoint:
    """Take a model through its stages, or as much of them as the cache does not hold."""
    where = model.initial_weights()
    weights = read_weights(where) if where else None
    provenance = [f"weights {Path(where).name}"] if where else []
    inspection = {}
    for stage in model.pretraining():
        folder = _artefact(model, stage, weights, context)
        weights = _result(folder)
        record = json.loads((folder / RECORD).read_text())
        provenance.append(_describe(record, folder.name))
        if record["inspection"]:
            inspection[stage.name] = record["inspection"]
    return StartingPoint(weights, tuple(provenance), inspection)


def stages_are_kept(model: Transferable, context: FitContext) -> bool:
    """Say whether the cache holds every stage of a model."""
    where = model.initial_weights()
    weights = read_weights(where) if where else None
    for stage in model.pretraining():
        folder = context.stages.folder / KIND / _begin(model, stage, weights, context)[2]
        if not folder.exists() or find_fault(folder):
            return False
        weights = _result(folder)
    return True


def outstanding_stages(model: Transferable, context: FitContext) -> dict[str, float]:
    """Return about how many seconds those of a model's stages will take that the cache does not hold.

    Returns:
        By what tells a stage from others: models that share a stage compute it once.
    """
    where, missing, seconds = model.initial_weights(), "", dict[str, float]()
    weights = read_weights(where) if where else None
    for stage in model.pretraining():
        network, _, key = _begin(model, stage, weights, context)
        folder = context.stages.folder / KIND / key
        if not missing and folder.exists() and not find_fault(folder):
            weights = _result(folder)
            continue
        missing += f"/{key}"  # what a missing stage will hand on is not known, so the way to it tells the next
        plan, source = _plan(model, stage, context), context.sources[stage.source]
        seconds[missing] = _expected_seconds(network, plan, source, context)
    return seconds


def describe_fresh(names: Sequence[str]) -> str:
    """Say in brief which tensors start afresh, by the modules that hold them."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    shown = ", ".join(modules[-1:] + modules[:2] if len(modules) > 3 else modules)
    more = f" and {len(modules) - 3} more modules" if len(modules) > 3 else ""
    return f"fresh {shown}{more}" if modules else "nothing fresh"


def _result(folder: Path) -> Weights:
    return Weights(read_state(folder / WEIGHTS)[0])


def _artefact(model: Transferable, stage: Stage, before: Weights | None, context: FitContext) -> Path:
    """Return the folder that holds a stage's result, made first where it is not there."""
    network, fresh, key = _begin(model, stage, before, context)
    trained = False

    def make(folder: Path) -> None:
        nonlocal trained
        trained = True
        record = _train(model, network, stage, fresh, context)
        save_state(network.state_dict(), folder / WEIGHTS)
        (folder / RECORD).write_text(json.dumps(record, indent=1))

    folder = context.stages.get(KIND, key, make)
    if not trained:
        _report_again(folder, context)
    return folder


def _begin(
    model: Transferable, stage: Stage, before: Weights | None, context: FitContext
) -> tuple[nn.Module, list[str], str]:
    """Return a stage's network as it starts, the tensors that start afresh, and the key of its result."""
    torch.manual_seed(_STAGE_SEED)
    source = context.sources[stage.source]
    network = model.network_for(source.classes, context.size)
    fresh = without_counters(network.state_dict())
    if before is not None:
        fresh = load_matching_weights(network, before, model.head(network))
    if stage.frozen and not model.allows_fresh_frozen():
        images = model.normalisation.apply(source.validation().images[:2].to(context.device))
        refuse_fresh_frozen(network.to(context.device), fresh, stage.frozen, images)
    return network, fresh, _key(model, network, stage, context)


def _expected_seconds(network: nn.Module, plan: TrainingPlan, source: Source, context: FitContext) -> float:
    train, validation, schedule = source.train(), source.validation(), plan.schedule
    sample = LabeledImages(train.images[: schedule.batch_size], train.labels[: schedule.batch_size])
    speed = Trainer(network.to(context.device), plan, sample).measure()
    return training_seconds(speed, schedule, len(train), len(validation))


def _plan(model: Transferable, stage: Stage, context: FitContext) -> TrainingPlan:
    return TrainingPlan(
        stage.name,
        stage.schedule,
        stage.frozen,
        model.normalisation,
        n_classes=len(context.sources[stage.source].classes),
        seed=_STAGE_SEED,
        execution_mode=context.execution_mode,
        recipe=model.recipe(),
    )


def _report_again(folder: Path, context: FitContext) -> None:
    """Report a finished stage's epochs, so that every cell's history tells what its weights have cost."""
    for epoch in json.loads((folder / RECORD).read_text())["history"]:
        context.report(EpochReport(**epoch))


def _train(
    model: Transferable, network: nn.Module, stage: Stage, fresh: list[str], context: FitContext
) -> dict[str, Any]:
    """Train a stage's network and return what is to be known of it."""
    source, plan = context.sources[stage.source], _plan(model, stage, context)
    history: list[EpochReport] = []

    def report(epoch: EpochReport) -> None:
        history.append(epoch)
        context.report(epoch)

    trainer = Trainer(network.to(context.device), plan, source.train())
    trainer.fit(source.validation(), report, checkpoints_of(context, stage.name))
    how = Prediction(plan.n_classes, trainer.precision, plan.execution_mode)
    return {
        "stage": stage.name,
        "source": stage.source,
        "source_fingerprint": source.fingerprint,
        "classes": source.classes,
        "frozen": stage.frozen,
        "fresh": fresh,
        "execution_mode": trainer.execution_mode,
        "torch": torch.__version__,
        "held_out": {name: _accuracy(network, plan, how, load()) for name, load in source.held_out.items()},
        "inspection": trainer.inspected(model.inspect),
        "history": [asdict(epoch) for epoch in history],
    }


def _accuracy(network: nn.Module, plan: TrainingPlan, how: Prediction, held_out: LabeledImages) -> float:
    feed = PixelFeed(network, held_out.images, plan.normalisation)
    probabilities = predict_probabilities(network, feed, len(held_out), how)
    return float((probabilities.argmax(1) == held_out.labels.cpu().numpy()).mean())


def _key(model: Transferable, network: nn.Module, stage: Stage, context: FitContext) -> str:
    plan, source = _plan(model, stage, context), context.sources[stage.source]
    ingredients: list[Any] = [
        TRAINING_VERSION,
        context.code,
        dict(model.stage_options()),
        describe_network(network),
        asdict(plan.normalisation),
        fingerprint(network.state_dict()),
        plan.schedule.model_dump(),
        plan.frozen,
        plan.execution_mode,
        source.fingerprint,
        source.pixels,
        context.device.type,
        context.threads,
        versions(),
    ]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]


def _describe(record: dict[str, Any], key: str) -> str:
    history = record["history"]
    best = max(epoch["validation_balanced_accuracy"] for epoch in history)
    held_out = "".join(f", accuracy on {name} {share:.3f}" for name, share in record["held_out"].items())
    return (
        f"{record['stage']} {key[:_SHOWN_KEY]}: {len(history)} epochs on {record['source']} "
        f"({len(record['classes'])} classes), validation balanced accuracy {best:.3f}{held_out}; "
        f"{len(record['frozen'])} modules frozen, {describe_fresh(record['fresh'])}"
    )
