"""Reading weights from outside, and fitting them into a network by name."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import timm
import torch
from torch import nn

from harness.errors import DataError, UsageError

State = dict[str, torch.Tensor]
HUB = "hub:"
"""Prefix of weights that are to be downloaded: ``hub:densenet121.tv_in1k`` is timm's model of that name."""


def read_weights(where: str) -> State:
    """Read a network's weights.

    Args:
        where: A ``.safetensors`` file, a PyTorch state-dict file (read with ``weights_only``, so nothing in it is
            executed), or ``hub:<timm model>``.

    Returns:
        Tensors by name; floating-point ones as float32.

    Raises:
        DataError: The file is missing, damaged or holds more than tensors; or the hub cannot be reached.
    """
    state = _from_hub(where.removeprefix(HUB)) if where.startswith(HUB) else _from_file(Path(where))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_by_name(network: nn.Module, state: State, head: str) -> list[str]:
    """Load every tensor of the network that the weights have under its name, except the head's.

    Args:
        network: Changed in place.
        state: Tensors by name; names that the network does not have are ignored.
        head: Name of the module that classifies; it stays fresh, since another task's classes mean nothing here.

    Returns:
        Names of the tensors that stay as they were, the head's included.

    Raises:
        UsageError: A tensor has another shape than the network's, or nothing fits at all.
    """
    own = network.state_dict()
    fitting = {name: state[name] for name in own if name in state and not name.startswith(f"{head}.")}
    for name, tensor in fitting.items():
        if tensor.shape != own[name].shape:
            raise UsageError(
                f"weights do not fit: {name} is {list(tensor.shape)}, the network has {list(own[name].shape)}"
            )
    if not fitting:
        raise UsageError(f"weights do not fit: no tensor name in common; they have {', '.join(list(state)[:3])}, ...")
    network.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


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


def save_state(state: State, file: Path) -> None:
    """Write tensors as safetensors, on the CPU and contiguous."""
    safetensors.torch.save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, file)


def _from_file(file: Path) -> State:
    if not file.is_file():
        raise DataError(f"no such weights file: {file}")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles that it then refuses
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DataError(f"cannot read weights {file}: {str(error).splitlines()[0]}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not (isinstance(state, dict) and all(isinstance(tensor, torch.Tensor) for tensor in state.values())):
        raise DataError(f"{file} holds no state dict: expected tensors by name")
    return state


def _from_hub(name: str) -> State:
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # timm, its hub client and the network underneath each raise their own kinds
        raise DataError(f"cannot get weights of {name} from timm's hub: {error}") from error
