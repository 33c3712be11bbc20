"""Feature sets: what the frozen first layers of a network make of images, kept on disk for all cells that share them.

A set knows its images by their pixels and its layers by all that decides their output. It holds no label and no side,
and a cell that would make other features than those in it does not find its own key there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.pixels import new_array
from harness.training.architecture import describe_network
from harness.training.devices import describe_device, versions
from harness.training.normalisation import Normalisation
from harness.training.prefix import FrozenPrefix
from harness.training.version import TRAINING_VERSION
from harness.training.weights import fingerprint

FEATURES, IMAGES, FACTS = "features.npy", "images.npy", "set.json"
_DIGEST_BYTES, _ROWS = 32, 256
_NUMPY_TYPES = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.int16}
"""What features are stored as; NumPy has no bfloat16, so its bits stand as whole numbers."""


@dataclass(frozen=True)
class FeatureSet:
    """The features of some images, memory-mapped.

    Attributes:
        features: (M, V, ...), maps with their channels last; on the CPU, whatever the network's device.
        seconds_per_image: What those of one image cost a model that makes them alone, all views together.
        place_by_digest: Where an image stands, by sha256 of its pixels.
    """

    features: torch.Tensor
    seconds_per_image: float
    place_by_digest: Mapping[bytes, int]

    @classmethod
    def read(cls, folder: Path, prefix: str) -> FeatureSet | None:
        """Open a set, or return None where it is that of another prefix.

        Args:
            folder: What :func:`new_set` began and :func:`finish_set` ended.
            prefix: Key of the layers, from :func:`prefix_key`.

        Raises:
            OSError: It is not there any more.
            ValueError: It is not what it should be.
        """
        facts = json.loads(folder.joinpath(FACTS).read_text(encoding="utf-8"))
        if facts["prefix"] != prefix:
            return None
        stored = torch.from_numpy(np.load(folder / FEATURES, mmap_mode="c"))  # "c": nothing written reaches the file
        places = {digest.tobytes(): place for place, digest in enumerate(np.load(folder / IMAGES))}
        return cls(stored.view(getattr(torch, facts["dtype"])), facts["seconds_per_image"], places)

    def places_of(self, images: torch.Tensor) -> torch.Tensor | None:
        """Return where uint8 images (N, 3, S, S) stand, int64 (N,); None where one of them is missing."""
        places = [self.place_by_digest.get(digest) for digest in image_digests(images.cpu().numpy())]
        return None if None in places else torch.tensor(places, dtype=torch.int64)


def image_digests(images: Iterable[NDArray[np.uint8]]) -> list[bytes]:
    """Return sha256 of the pixels of each image, uint8 (3, S, S)."""
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def prefix_key(prefix: FrozenPrefix, normalisation: Normalisation, precision: str, batch: int) -> str:
    """Hash all that decides what a prefix makes of given pixels on a machine, the code of its plugin excepted.

    Args:
        prefix: On its device, in the mode of training.
        normalisation: Of its input.
        precision: ``bf16`` or ``float32``.
        batch: Images at once: the order of sums depends on it.

    Raises:
        UsageError: The network holds something that cannot be described.
    """
    begun, network = set(prefix.begun), prefix.network
    names = {name for name, module in network.named_modules() if module in begun}
    state = {name: tensor for name, tensor in network.state_dict().items() if name.rpartition(".")[0] in names}
    device = next(network.parameters()).device
    ingredients = [
        TRAINING_VERSION,
        describe_network(network, names),
        [name for name, module in network.named_modules() if module is prefix.last],
        fingerprint(state),
        asdict(normalisation),
        precision,
        batch,
        _machine(device),
    ]
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()


def new_set(folder: Path, digests: list[bytes], shape: tuple[int, ...], dtype: torch.dtype) -> Path:
    """Begin a set: its images, and room for their features.

    Args:
        folder: An empty one.
        digests: Of M images, from :func:`image_digests`.
        shape: Of one image's features in all views, (V, ...).
        dtype: Of the features.

    Returns:
        The file of the array (M, V, ...) to be filled.

    Raises:
        OSError: There is no room.
    """
    np.save(folder / IMAGES, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _DIGEST_BYTES))
    return new_array(folder / FEATURES, (len(digests), *shape), _NUMPY_TYPES[dtype])


def finish_set(
    folder: Path,
    digests: list[bytes],
    prefix: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    seconds_per_image: float,
) -> None:
    """Say what a set is of, after making sure that those who have filled it have left it as it was begun.

    Args:
        folder: From :func:`new_set`, with ``digests``, ``shape`` and ``dtype``.
        digests: See there.
        prefix: Key of the layers.
        shape: See there.
        dtype: See there.
        seconds_per_image: What the features of an image cost a model, all views together.

    Raises:
        ValueError: It is not whole, or there is a number in it that is none.
    """
    stored, images = np.load(folder / FEATURES, mmap_mode="r"), np.load(folder / IMAGES)
    if images.tobytes() != b"".join(digests) or stored.shape != (len(digests), *shape):
        raise ValueError("the files of the set are not those that were begun")
    features = torch.from_numpy(np.load(folder / FEATURES, mmap_mode="c")).view(dtype)
    if not all(torch.isfinite(features[start : start + _ROWS]).all() for start in range(0, len(features), _ROWS)):
        raise ValueError("some features are not finite")
    facts = {"prefix": prefix, "dtype": str(dtype).removeprefix("torch."), "seconds_per_image": seconds_per_image}
    folder.joinpath(FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _machine(device: torch.device) -> list[Any]:
    """Name what chooses among kernels that differ in their last bits, and what brings a network's code."""
    capability, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return [versions(), cudnn, describe_device(device), capability, threads]
