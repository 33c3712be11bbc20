"""Frozen prefixes of a network.

The prefix is everything that a network executes up to its last frozen module, and the modules without weights that take
up its output there, such as a pooling; if no other weights are used on the way and nothing behind it looks at the image
again. It runs in evaluation mode and has no gradients, so its output for an image in one of its views never changes
during a training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

TRIED = 2
"""Images on which a cut is tried."""

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FrozenPrefix:
    """A network cut behind its frozen first modules.

    Attributes:
        network: The whole.
        skipped: Frozen modules before the cut, and modules without weights behind them, in the order of execution.
        last: The module behind which the cut is.
        begun: Every module that is executed, or has begun to be, before the cut.
    """

    network: nn.Module
    skipped: tuple[nn.Module, ...]
    last: nn.Module
    begun: tuple[nn.Module, ...]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Run the prefix alone: normalised images (N, 3, S, S) to what its last module returns, (N, ...)."""
        reached: list[torch.Tensor] = []

        def stop(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            reached.append(output)
            raise _ReachedError

        hook = self.last.register_forward_hook(stop)
        try:
            with contextlib.suppress(_ReachedError):
                self.network(images)
        finally:
            hook.remove()
        return reached[0]

    def rest(self, features: torch.Tensor, forward: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Run the rest on the prefix's output: logits (N, n_classes).

        Args:
            features: (N, ...), from :meth:`features`.
            forward: Executes the network: the network itself, or it compiled.
        """
        stand_ins: dict[nn.Module, Callable[..., torch.Tensor]] = dict.fromkeys(self.skipped, _unchanged)
        stand_ins[self.last] = lambda *_: features
        with _replaced(stand_ins):
            return forward(features)


def find_prefix(network: nn.Module, frozen: tuple[str, ...], images: torch.Tensor) -> FrozenPrefix | None:
    """Cut a network behind the frozen modules that it executes first. It is left in training mode.

    Args:
        network: The whole.
        frozen: Names of its frozen modules.
        images: A few normalised images (N, 3, S, S), on which the cut is tried.

    Returns:
        None where there is no frozen prefix, where it is not the same twice in training (dropout between frozen
        modules), where an image's features depend on those beside it, or where the network does not give the same
        logits when it is cut.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    # the trial must not move the random numbers that training draws
    with torch.no_grad(), torch.random.fork_rng(devices):
        network.eval()
        cuts = _cuts(network, [network.get_submodule(name) for name in frozen], images)
        prefix = next((cut for cut in cuts if _gives_the_same(cut, frozen, images)), None)
    train_mode(network, frozen)
    return prefix


def train_mode(network: nn.Module, frozen: tuple[str, ...]) -> None:
    """Put a network into training mode and its frozen modules into evaluation mode."""
    network.train()
    for name in frozen:
        network.get_submodule(name).eval()


def _gives_the_same(prefix: FrozenPrefix, frozen: tuple[str, ...], images: torch.Tensor) -> bool:
    prefix.network.eval()
    try:
        features = prefix.features(images)
        if _depend_on_others(prefix, images, features):
            return False
        whole = _inputs_behind(prefix, lambda: prefix.network(images))
        cut = _inputs_behind(prefix, lambda: prefix.rest(features, prefix.network))
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return False  # what stands between the frozen modules cannot do without the image, or gives no one tensor
    train_mode(prefix.network, frozen)
    steady = torch.equal(prefix.features(images), features)
    return steady and len(cut) == len(whole) and all(map(_alike, cut, whole))


def _depend_on_others(prefix: FrozenPrefix, images: torch.Tensor, features: torch.Tensor) -> bool:
    """Whether an image has other features among others than among copies of itself; both batches are of one size."""
    for place, image in enumerate(images):
        copies = torch.empty_like(images).copy_(image)  # in the same memory format, which decides the kernel
        if not torch.equal(prefix.features(copies)[place], features[place]):
            return True
    return False


def _inputs_behind(prefix: FrozenPrefix, run: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    """List what every module with weights behind the cut is given, and the logits.

    Logits alone would not do: a head that starts from zero gives the same ones whatever it is given.
    """
    seen: list[torch.Tensor] = []
    before = {module for root in (*prefix.skipped, prefix.last) for module in root.modules()}

    def note(_module: nn.Module, inputs: Any) -> None:
        seen.extend(tensor for tensor in inputs if isinstance(tensor, torch.Tensor))

    behind = [module for module in prefix.network.modules() if module not in before and _holds_state(module)]
    hooks = [module.register_forward_pre_hook(note) for module in behind]
    try:
        logits = run()
    finally:
        for hook in hooks:
            hook.remove()
    return [*seen, logits]


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=_TOLERANCE)


def _cuts(network: nn.Module, frozen: list[nn.Module], images: torch.Tensor) -> list[FrozenPrefix]:
    """List where a network could be cut, the latest place first: features behind a pooling are the smallest."""
    finished: list[nn.Module] = []
    cuts: list[FrozenPrefix] = []
    begun: dict[nn.Module, None] = {}
    trained: list[nn.Module] = []
    inside = {module for root in frozen for module in root.modules()}
    reached: torch.Tensor | None = None

    def note_use(module: nn.Module, _inputs: Any) -> None:
        begun[module] = None
        if module not in inside and _holds_state(module):
            trained.append(module)

    def note_end(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal reached
        if trained or module in finished:
            return
        if module in frozen:
            cuts.clear()  # only behind the last frozen module is everything frozen that can be
        elif module in inside or len(inputs) != 1 or inputs[0] is not reached or not _is_fixed(module):
            return
        finished.append(module)
        cuts.insert(0, FrozenPrefix(network, tuple(finished[:-1]), module, tuple(begun)))
        reached = output

    hooks = [module.register_forward_pre_hook(note_use) for module in network.modules()]
    hooks += [module.register_forward_hook(note_end) for module in network.modules()]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return cuts


def _is_fixed(module: nn.Module) -> bool:
    """Whether a module has no weights and no dropout: not even one of rate 0, so that models with and without share."""
    return not any(_holds_state(part) or isinstance(part, _DropoutNd) for part in module.modules())


def _holds_state(module: nn.Module) -> bool:
    """Whether a module itself holds weights or statistics; those that it contains are asked by themselves."""
    return any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))


@contextlib.contextmanager
def _replaced(forwards: dict[nn.Module, Callable[..., torch.Tensor]]) -> Iterator[None]:
    own = {module: module.__dict__["forward"] for module in forwards if "forward" in module.__dict__}
    for module, forward in forwards.items():
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module in forwards:
            del module.__dict__["forward"]
        for module, forward in own.items():
            module.__dict__["forward"] = forward


def _unchanged(features: torch.Tensor) -> torch.Tensor:
    return features


class _ReachedError(Exception):
    """The prefix has run; nothing behind it is needed."""
