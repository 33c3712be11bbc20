"""Messages between the host and the worker slots on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.plugin_api.reference import ModelReference
from harness.workers.messages import Answer, FitTask


@dataclass(frozen=True)
class HostFile:
    """A file of the host that a cell needs.

    Attributes:
        path: Where it is on the host, and on a node that shares the storage.
        digest: sha256 of its content.
    """

    path: Path
    digest: str


@dataclass(frozen=True)
class Introduction:
    """What a worker slot says of itself.

    Attributes:
        pid: Of its process.
        host: Name of the machine.
        node: Of Ray's, by its id.
        device: What it computes on, as :func:`harness.training.devices.describe_device` tells.
        versions: Of Python and the libraries, as :func:`harness.training.devices.versions` tells.
        code: Versions of what the harness and plugins compute with: training, pixels, the plugins' distributions.
    """

    pid: int
    host: str
    node: str
    device: Mapping[str, Any]
    versions: Mapping[str, str]
    code: Mapping[str, str]


@dataclass(frozen=True)
class CellOrder:
    """A cell to be done by a worker slot; its paths are the host's.

    Attributes:
        label: What the run calls the model.
        model: Its name and plugin.
        task: What to do.
        log: Where the host keeps what the plugin prints.
        files: The files that the task, its options and the plugin name, and those of the stages.
        stages: The files of finished pre-trained stages that the model may need, by the stages' keys.
        checkpoint_mark: What is written in the checkpoint folder's file of the name :data:`MARK`, if there is a folder.
    """

    label: str
    model: ModelReference
    task: FitTask
    log: Path
    files: tuple[HostFile, ...]
    stages: Mapping[str, Sequence[HostFile]]
    checkpoint_mark: str

    def without_features(self) -> CellOrder:
        """Return the order for a node with other libraries, whose cells do not learn from the host's features.

        Stages and checkpoints need no such care: they are found by versions, or say theirs.
        """
        return replace(self, task=replace(self.task, features=None))


MARK = "shared"
"""File of a checkpoint folder by which a node sees that it has the very folder of the host."""


@dataclass(frozen=True)
class SavedPart:
    """A piece of a file that a model has saved; the pieces of a file come in order.

    Attributes:
        name: Path of the file, relative to the folder that the model was given.
        content: At most :data:`PART_BYTES`.
    """

    name: str
    content: bytes


@dataclass(frozen=True)
class Printed:
    """What a plugin has printed since its last cell."""

    content: bytes


@dataclass(frozen=True)
class SentStage:
    """A pre-trained stage that was finished on a node: the content of its files by name."""

    key: str
    files: Mapping[str, bytes]


PART_BYTES = 16 << 20
SAVED_BYTES = 2 << 30
"""What a model may save, all files together: it travels through the memory of node and host."""

Message = Answer | SavedPart | SentStage | Printed
