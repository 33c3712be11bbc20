"""The parts of the record: what each measures, what it does not show, and about how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import command_parts
import machine_parts
import prediction_parts
import training_parts
from setting import FROZEN, WHOLE, Setting


@dataclass(frozen=True)
class Part:
    """A part of the record, measured in a process of its own.

    Attributes:
        title: Its heading.
        seconds: About how long it takes on one GPU of a data centre; it is ended after three times that.
        shows: What the table says.
        blind: What the table does not say.
        measure: Gives the rows of the table, one after the other.
    """

    title: str
    seconds: int
    shows: str
    blind: str
    measure: Callable[[Setting], Iterator[dict[str, Any]]]


_RANDOM = "Images are random numbers on fresh weights: nothing is said of accuracy."
_BENCH = (
    "`harness bench train`, in turns in one process: a plain loop, the shared loop, several cells at once, and what "
    "frozen layers save. The first row is what the others are held against."
)
_BENCH_BLIND = (
    f"{_RANDOM} The data loader reads files from a warm cache; the plain loop is not compiled. Nothing is said of "
    "other networks, sizes of images or batches."
)

PARTS: dict[str, Part] = {
    "tests": Part(
        "Tests that need a CUDA device",
        60,
        "Every test that is marked `cuda`.",
        "Tests pass on small networks; what a network of full size does is in the tables below.",
        command_parts.cuda_tests,
    ),
    "ceilings": Part(
        "Ceilings of the machine",
        20,
        "How fast this machine moves bytes and multiplies, which no training step can pass.",
        "One size of each; a step of training reaches neither.",
        machine_parts.ceilings,
    ),
    "losses": Part(
        "Losses of captured steps against eager ones",
        90,
        "The same training twice eagerly, and captured. Zero means the same losses to the bit; `eager` is what two "
        "trainings alike differ by.",
        "One batch is shown again and again, so nothing is said of long trainings. Equal losses do not prove equal "
        "weights.",
        training_parts.captured_losses,
    ),
    "train": Part(
        "Training, captured",
        60,
        _BENCH,
        _BENCH_BLIND,
        partial(command_parts.bench_train, label=WHOLE, mode="captured"),
    ),
    "train-frozen": Part(
        "Training behind frozen layers, captured",
        60,
        _BENCH,
        f"{_BENCH_BLIND} Features are made before the clock runs.",
        partial(command_parts.bench_train, label=FROZEN, mode="captured"),
    ),
    "prediction": Part(
        "Prediction by images a step",
        80,
        "The whole network classifies images that lie on the device, without gradients.",
        f"{_RANDOM} Images that stay in the host's memory are slower. What else runs on the device takes memory too.",
        prediction_parts.prediction,
    ),
    "features": Part(
        "Features of frozen layers by images a step",
        40,
        "The frozen layers alone turn images on the device into features.",
        f"{_RANDOM} Reading features from a file, and writing them, is not in it.",
        prediction_parts.features,
    ),
    "cudnn": Part(
        "cuDNN's choices",
        90,
        "Captured steps with repeatable kernels (the first row, as the harness trains) and with others, each in a "
        "process of its own; by how much the losses of two trainings alike differ under each.",
        "One network and size. A difference of zero on these steps does not prove that a choice is repeatable.",
        training_parts.cudnn_choices,
    ),
    "streamed": Part(
        "Images in the host's memory",
        60,
        "Training on images that lie on the device, and on images that do not fit there.",
        "The set is small, so the host reads it from its caches; nothing else uses the way to the device.",
        training_parts.streamed_images,
    ),
    "cells": Part(
        "Cells at once",
        120,
        "Trainings of the same network at the same time, captured: a process each, as the harness has it, and on "
        "streams of one process. The start is until all of them are captured; the first row's loads libraries for all.",
        f"{_RANDOM} Cells of a run also read images, predict and write; what memory allows depends on the network. "
        "Trainings of one process share its random generators, and one that fails may end all.",
        training_parts.cells_at_once,
    ),
    "matrix": Part(
        "A run",
        200,
        "`harness run` with captured steps, several cells at once: how each model was executed, and the medians of its "
        "cells.",
        "A few epochs on a few images: accuracy says nothing, and starting a process weighs more than in a run of full "
        "length.",
        command_parts.matrix,
    ),
    "train-compiled": Part(
        "Training, compiled and captured",
        300,
        f"{_BENCH} The start-up in `how` is without compiled kernels on the disk, the column's with them.",
        _BENCH_BLIND,
        partial(command_parts.bench_train, label=WHOLE, mode="compiled"),
    ),
    "losses-compiled": Part(
        "Losses of compiled steps against eager ones",
        240,
        "The same training eagerly, and compiled and captured, without dropout. Compiled kernels round otherwise, so "
        "zero is not expected.",
        "One batch is shown again and again; small differences grow in long trainings.",
        training_parts.compiled_losses,
    ),
}
"""By name, in the order in which they are measured: what is most needed first, what compiles last."""
