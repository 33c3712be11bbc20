"""What the harness relies on in a model, a check each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from harness.plugin_api.conformance import (
    CheckError,
    as_numbers,
    load_failure,
    refuse_difference,
    refuse_other_predictions,
)
from harness.plugin_api.discovery import load_plugin
from harness.plugin_api.model import LabeledImages, ModelCard, Throughput
from harness.plugin_api.reference import PluginReference
from harness.plugin_api.schedule import FINAL_STAGE
from harness.processes import forkserver
from harness.synthetic.easy_images import easy_images
from harness.testing.outcomes import Check, NotApplicableError
from harness.testing.subject import CLASSES, SCHEDULE, SIZE, Subject, environment
from harness.training.torch_model import TorchModel

_LEARNED = 0.8
_SECONDS = 120
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def check_options(subject: Subject) -> None:
    """Options are a pydantic class whose values survive JSON, and that refuses what it does not know."""
    kind = subject.kind.Options
    try:
        made = kind.model_validate(subject.options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckError(
            "options that can be left out",
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            "give it a default, or say the option with -o",
        ) from None
    again = kind.model_validate(json.loads(json.dumps(made.model_dump(mode="json"))))
    if again != made:
        raise CheckError("options that are the same when read from JSON", f"{again} for {made}", "use plain types")
    try:
        kind.model_validate({**subject.options, "no-such-option": 1})
    except ValidationError:
        return
    raise CheckError("an unknown option to be refused", "it was taken", "derive Options from harness.Options")


def check_build(subject: Subject) -> None:
    """The same seed builds the same network, for two classes and for three."""
    model = _torch_model(subject)
    torch.manual_seed(0)
    network = model.network_for(CLASSES, SIZE)
    if not isinstance(network, nn.Module):
        raise CheckError("build() to return a torch.nn.Module", type(network).__name__, "return the network itself")
    torch.manual_seed(0)
    again = model.network_for(CLASSES, SIZE).state_dict()
    other = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, again[name])]
    if other:
        raise CheckError("the same weights from the same seed", f"another {other[0]}", "draw from torch's generator")
    _refuse_shape(model, 3, SIZE)


def check_sizes(subject: Subject) -> None:
    """Networks take images of 32, 45 and 224 pixels."""
    model = _torch_model(subject)
    for size in (32, 45, 224):
        _refuse_shape(model, 2, size)


def check_check(subject: Subject) -> None:
    """``check`` accepts a few random images."""
    sample = easy_images(SCHEDULE.batch_size, 5, SIZE)
    subject.make().check(sample, subject.context())


def check_probabilities(subject: Subject) -> None:
    """predict_proba returns a finite matrix whose rows are probabilities."""
    raw = subject.fitted.model.predict_proba(subject.test.images)
    found = np.asarray(raw)
    wanted = (len(subject.test), len(CLASSES))
    if found.shape != wanted or found.dtype.kind != "f":
        raise CheckError(
            f"floats of shape {wanted}", f"{found.dtype} of shape {found.shape}", "one row an image, a column a class"
        )
    if not np.isfinite(found).all():
        raise CheckError(
            "finite numbers", f"{int((~np.isfinite(found)).sum())} that are not", "a logarithm or a division by zero"
        )
    if (found < 0).any() or (abs(found.sum(1) - 1) > 1e-3).any():
        raise CheckError(
            "rows of probabilities that sum to 1",
            f"a row {found[abs(found.sum(1) - 1).argmax()]}",
            "logits are no probabilities: take their softmax",
        )


def check_one_seed_one_answer(subject: Subject) -> None:
    """Fitting twice from the same seed gives the same predictions, bit for bit."""
    one, other = (
        as_numbers(fitted.model.predict_proba(subject.test.images)) for fitted in (subject.fitted, subject.fit())
    )
    if not np.array_equal(one, other):
        raise CheckError(
            "the same predictions from the same seed",
            f"differences of up to {abs(one - other).max():.2g}",
            "a generator of its own that is not seeded with context.seed",
        )


def check_order(subject: Subject) -> None:
    """Another order of the images gives the same answers in that order."""
    order = torch.randperm(len(subject.test), generator=torch.Generator().manual_seed(6))
    model = subject.fitted.model
    straight = as_numbers(model.predict_proba(subject.test.images))
    shuffled = as_numbers(model.predict_proba(subject.test.images[order]))
    refuse_difference(
        straight[order.numpy()],
        shuffled,
        "the answer of an image wherever it stands",
        "rows in the order of the images",
    )


def check_batches(subject: Subject) -> None:
    """The answer of an image does not depend on which others are classified with it; one image will do."""
    model, images = subject.fitted.model, subject.test.images
    together = as_numbers(model.predict_proba(images))
    alone = np.concatenate([as_numbers(model.predict_proba(image[None])) for image in images[:4]])
    refuse_difference(
        together[:4],
        alone,
        "the answer of an image by itself",
        "batch norm in training mode, or statistics over the images given",
    )
    model.predict_proba(images)
    refuse_difference(
        together, as_numbers(model.predict_proba(images)), "the same answer twice", "a model that learns as it predicts"
    )


def check_saved_model(subject: Subject) -> None:
    """What was saved predicts the same in a process of its own, and holds no pickle."""
    folder = subject.scratch()
    fitted = subject.fitted.model
    fitted.save(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise CheckError("save() to leave a file", "none", "write arrays or text below the folder")
    if pickled := [path.name for path in files if _is_pickled(path)]:
        raise CheckError(
            "arrays and text",
            f"a pickle in {pickled[0]}",
            "reading it could execute anything: use safetensors or numpy.save",
        )
    again = _predicted_elsewhere(subject, folder)
    refuse_other_predictions(as_numbers(fitted.predict_proba(subject.test.images)), again)


def check_validation_is_for_choosing(subject: Subject) -> None:
    """Weights of every epoch are the same whatever the labels of the validation images are."""
    _torch_model(subject)
    turned = LabeledImages(subject.validation.images, 1 - subject.validation.labels)
    one, other = (subject.fit(validation).epochs for validation in (None, turned))
    losses = [[(epoch.stage, epoch.train_loss) for epoch in epochs] for epochs in (one, other)]
    if losses[0] != losses[1]:
        raise CheckError(
            "training that validation labels do not change",
            "other training losses",
            "weights are fitted on validation images",
        )


def check_learns(subject: Subject) -> None:
    """Images that anybody can tell apart are told apart."""
    schedule = SCHEDULE.model_copy(update={"epochs": 20})
    predicted = as_numbers(subject.fit(schedule=schedule).model.predict_proba(subject.test.images)).argmax(1)
    labels = subject.test.labels.numpy()
    accuracy = float(np.mean([(predicted[labels == label] == label).mean() for label in (0, 1)]))
    if accuracy < _LEARNED:
        raise CheckError(
            f"a balanced accuracy of {_LEARNED:.0%} after 20 epochs on stripes of two widths",
            f"{accuracy:.0%}",
            "a softmax before the loss, weights without gradients, classes in another order, a rate far off",
        )


def check_card(subject: Subject) -> None:
    """describe() counts what is there."""
    fitted = subject.fitted.model
    card = fitted.describe()
    if type(card) is not ModelCard:
        raise CheckError(
            "describe() to return a harness.ModelCard", type(card).__name__, "return ModelCard(parameters=...)"
        )
    if isinstance(fitted, TorchModel):
        counted = sum(parameter.numel() for parameter in fitted._network.parameters())  # noqa: SLF001 - what was trained
        if card.parameters != counted:
            raise CheckError(f"{counted} parameters", str(card.parameters), "describe() is overridden; leave it out")


def check_history(subject: Subject) -> None:
    """Epochs are reported in order, with shares between 0 and 1 and counts that grow."""
    epochs = [epoch for epoch in subject.fitted.epochs if epoch.stage == FINAL_STAGE]
    if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise CheckError(
            "epochs 1, 2, 3, ...", str([epoch.epoch for epoch in epochs]), "call context.report once an epoch"
        )
    seen = [(epoch.images_seen, epoch.train_seconds) for epoch in epochs]
    if seen != sorted(seen) or any(count <= 0 for count, _ in seen):
        raise CheckError("images and seconds since the start of the stage", str(seen), "they add up over epochs")
    for epoch in epochs:
        for name in (
            "train_accuracy",
            "train_balanced_accuracy",
            "validation_accuracy",
            "validation_balanced_accuracy",
        ):
            if not 0 <= getattr(epoch, name) <= 1:
                raise CheckError(f"{name} between 0 and 1", str(getattr(epoch, name)), "shares, not percent")


def check_nothing_else_is_changed(subject: Subject) -> None:
    """Fitting and predicting leave folder, environment and torch's settings as they were."""
    before = environment()
    subject.fit().model.predict_proba(subject.test.images)
    changed = [what for what, value in environment().items() if value != before[what]]
    if changed:
        raise CheckError("nothing changed outside the model", changed[0], "put it back, or do without")


def check_throughput(subject: Subject) -> None:
    """Speed can be measured, or epochs are reported from which it can be told."""
    found = subject.make().measure_throughput(easy_images(SCHEDULE.batch_size, 7, SIZE), subject.context())
    if found is None:
        if subject.fitted.epochs:
            raise NotApplicableError("it trains in a loop of its own; its speed is told from its reports with --jobs 1")
        raise NotApplicableError("it does not train in steps")
    if type(found) is not Throughput or not (found.images_per_second > 0 and found.predictions_per_second > 0):
        raise CheckError("a harness.Throughput of positive speeds", str(found), "images divided by seconds")


CHECKS: Mapping[str, Check] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_options,
        check_build,
        check_sizes,
        check_check,
        check_probabilities,
        check_order,
        check_batches,
        check_card,
        check_history,
        check_throughput,
        check_saved_model,
        check_one_seed_one_answer,
        check_nothing_else_is_changed,
        check_validation_is_for_choosing,
        check_learns,
    )
}
"""By name, the cheap ones first."""


def _torch_model(subject: Subject) -> TorchModel:
    model = subject.make()
    if not isinstance(model, TorchModel):
        raise NotApplicableError("it is no TorchModel")
    return model


def _refuse_shape(model: TorchModel, n_classes: int, size: int) -> None:
    network = model.network_for([str(place) for place in range(n_classes)], size).eval()
    with torch.no_grad():
        found = tuple(network(model.normalisation.apply(easy_images(2, 8, size).images)).shape)
    if found != (2, n_classes):
        raise CheckError(
            f"logits of shape (2, {n_classes}) for two images of {size} pixels",
            str(found),
            "build(n_classes) does not use n_classes, or a layer's size is written down: pool adaptively",
        )


def _is_pickled(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        return any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())
    with path.open("rb") as file:
        return file.read(2) in _PICKLED


def _predicted_elsewhere(subject: Subject, folder: Path) -> NDArray[np.float64]:
    """Load the saved model in a process of its own, and return what it predicts of the test images."""
    context = forkserver()
    ours, theirs = context.Pipe(duplex=False)
    given = (subject.registered.plugin, subject.kind.name, subject.options, folder, subject.test.images.numpy(), theirs)
    process = context.Process(target=_load_and_predict, args=given)
    process.start()
    theirs.close()
    try:
        answer: Any = ours.recv() if ours.poll(_SECONDS) else f"no answer within {_SECONDS} s"
    except EOFError:
        answer = "the process has ended without an answer"
    process.join(_SECONDS)
    if isinstance(answer, str):
        raise load_failure(answer)
    return as_numbers(answer)


def _load_and_predict(
    plugin: PluginReference, name: str, options: dict[str, Any], folder: Path, images: NDArray[np.uint8], answer: Any
) -> None:
    try:
        kind = load_plugin(plugin).models[name]
        model = kind(kind.Options.model_validate(options))
        model.load(folder, torch.device("cpu"), len(CLASSES))
        answer.send(as_numbers(model.predict_proba(torch.from_numpy(images))))
    except Exception as error:  # noqa: BLE001 - a plugin's own code
        answer.send(f"{type(error).__name__}: {error}")
