"""Grad-CAM: where in images a network finds evidence for a class (Selvaraju et al., arXiv 1610.02391)."""

from __future__ import annotations

from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.errors import EnvironmentMissingError, UsageError
from harness.training.feed import PixelFeed

_BATCH = 16  # a backward pass keeps the maps of every layer
_MAPS, _TOKENS = 4, 3  # dimensions of a batch of maps (N, C, H, W) and of one of tokens (N, T, C)


def captum_version() -> str:
    """Return the version of captum that is installed.

    Raises:
        EnvironmentMissingError: There is none.
    """
    try:
        return version("captum")
    except PackageNotFoundError:
        raise EnvironmentMissingError(
            "overlays are computed by captum, which is not installed - pip install 'breakhis-harness[explain]'"
        ) from None


def grad_cam(feed: PixelFeed, classes: NDArray[np.int64], layer: nn.Module) -> NDArray[np.float32]:
    """Compute what of an image speaks for a class.

    Args:
        feed: The network and uint8 images (N, 3, S, S).
        classes: int64 (N,), one an image.
        layer: A module of the network whose output is maps (N, C, H, W).

    Returns:
        (N, S, S), the positive part, scaled by image so that the highest value is 1; 0 all over an image in which
        nothing speaks for the class.

    Raises:
        EnvironmentMissingError: captum is not installed.
    """
    captum_version()
    from captum.attr import LayerGradCam  # noqa: PLC0415 - an extra

    attribution = LayerGradCam(feed.network.eval(), layer)
    rows = torch.arange(len(classes), device=next(feed.network.parameters()).device)
    targets = torch.from_numpy(classes).to(rows.device)
    evidence = [_evidence(attribution, _upright(feed, part), targets[part]) for part in torch.split(rows, _BATCH)]
    return _scaled(torch.cat(evidence)).cpu().numpy()


def name_of_layer(network: nn.Module, layer: object) -> str:
    """Return the name of a module within a network.

    Raises:
        ValueError: It is none of the network's.
    """
    for name, module in network.named_modules():
        if module is layer and name:
            return str(name)
    raise ValueError(f"explained_layer() must return a module of the network, not {type(layer).__name__}")


def last_map_layer(feed: PixelFeed) -> nn.Module:
    """Find the last module whose output is maps, square as the images are and larger than one pixel.

    Raises:
        UsageError: There is none, or tokens are made of the maps later: what a transformer sees does not show in them.
    """
    network = feed.network.eval()
    found: list[tuple[nn.Module, torch.Size]] = []
    hooks = [module.register_forward_hook(partial(_note_shape, found)) for module in network.modules()]
    try:
        with torch.no_grad():
            network(_upright(feed, torch.zeros(1, dtype=torch.int64, device=next(network.parameters()).device)))
    finally:
        for hook in hooks:
            hook.remove()
    places = [place for place, (_, shape) in enumerate(found) if _are_maps(shape)]
    if not places or any(_are_tokens(shape) for _, shape in found[places[-1] :]):
        raise UsageError(
            f"no layer of {type(network).__name__} can be explained: none whose output is maps (N, C, H, W) comes last "
            "before the classifier - override TorchModel.explained_layer or explain"
        )
    return found[places[-1]][0]


def _upright(feed: PixelFeed, rows: torch.Tensor) -> torch.Tensor:
    """Return normalised images (B, 3, S, S) as they are, not rotated or flipped."""
    return feed.pixels(rows, torch.zeros_like(rows))


def _note_shape(found: list[tuple[nn.Module, torch.Size]], module: nn.Module, _inputs: Any, output: Any) -> None:
    if isinstance(output, torch.Tensor):
        found.append((module, output.shape))


def _are_maps(shape: torch.Size) -> bool:
    return len(shape) == _MAPS and shape[2] == shape[3] > 1


def _are_tokens(shape: torch.Size) -> bool:
    """Whether an output is (N, T, C), or has its channels last as a window transformer's (N, H, W, C)."""
    return len(shape) == _TOKENS or (len(shape) == _MAPS and shape[2] != shape[3])


def _evidence(attribution: Any, pixels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return what speaks for a class, not yet scaled: (B, S, S), at least 0."""
    small = attribution.attribute(pixels, targets, relu_attributions=True).detach()
    if small.dim() != _MAPS:
        raise ValueError(f"the output of the explained layer must be maps (N, C, H, W), not {small.dim()}-dimensional")
    large: torch.Tensor = attribution.interpolate(small, tuple(pixels.shape[2:]), "bilinear")
    return large[:, 0]


def _scaled(evidence: torch.Tensor) -> torch.Tensor:
    highest = evidence.amax((1, 2), keepdim=True)
    return evidence / torch.where(highest > 0, highest, 1)
