"""Complete description of a network, for keys.

Tensors do not show an activation, a stride, a hook or a setting kept in a private attribute. So everything that a
module holds is described, whatever holds it, and what cannot be described is refused.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import random
import re
import types
import weakref
from collections import deque
from collections.abc import Container, Iterable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.errors import UsageError

_PLAIN = (bool, int, float, complex, str, bytes, range, slice, torch.dtype, torch.device, torch.memory_format)
"""What its text says all of; a member of an enumeration that is a number as well says its value."""
_STATE = frozenset({"_parameters", "_buffers", "_modules", "training"})


def describe_network(network: nn.Module, names: Container[str] | None = None) -> list[Any]:
    """Describe every module of a network but for the values of its weights, in JSON's types.

    The description is the same in every process that builds the same network.

    Args:
        network: The whole.
        names: Of the modules to describe, each without those that it contains; all of them by default.

    Raises:
        UsageError: A module holds something that cannot be described, such as an open file; the message names it.
    """
    describer = _Describer({id(module): name for name, module in network.named_modules()})
    described = []
    for name, module in network.named_modules():
        if names is not None and name not in names:
            continue
        try:
            described.append(describer.module(module, name or "the network"))
        except (TypeError, RuntimeError, ValueError) as error:  # such as a tensor without memory
            raise _cannot_be_described(name or "the network", type(module).__name__) from error
    return described


def _cannot_be_described(where: str, kind: str) -> UsageError:
    return UsageError(
        f"a stage of this network cannot be kept: {where} is a {kind}, and what it would change does not show - keep "
        "settings as numbers, text, functions or objects with attributes"
    )


class _Describer:
    """Describes values; one that is met again is named by its place in the order of meeting.

    Args:
        modules: Names of the network's modules by their id; they are described by themselves.
    """

    def __init__(self, modules: dict[int, str]) -> None:
        self._modules = modules
        self._met: dict[int, tuple[int, Any]] = {}  # the values too, so that no id is given away again

    def module(self, module: nn.Module, where: str) -> list[Any]:
        """Describe one module without those that it contains."""
        held = {key: value for key, value in vars(module).items() if key not in _STATE}
        fleeting = sorted(module._non_persistent_buffers_set)  # noqa: SLF001 - torch has no public way to ask
        return [
            where,
            _name_of(type(module)),
            module.extra_repr(),
            [[name, self._parameter(parameter)] for name, parameter in module.named_parameters(recurse=False)],
            [[name, self.value(module.get_buffer(name), f"{where}.{name}")] for name in fleeting],
            sorted(module._buffers),  # noqa: SLF001
            [[key, self._attribute(key, value, f"{where}.{key}")] for key, value in sorted(held.items())],
        ]

    def _parameter(self, parameter: nn.Parameter) -> list[Any]:
        shared = self._place(parameter)
        return [list(parameter.shape), parameter.requires_grad, shared]

    def _place(self, value: Any) -> int:
        return self._met.setdefault(id(value), (len(self._met), value))[0]

    def _attribute(self, key: str, value: Any, where: str) -> Any:
        if "hooks" in key and isinstance(value, dict):  # torch keys hooks by numbers that differ between processes
            value = list(value.values())
        return self.value(value, where)

    def value(self, value: Any, where: str) -> Any:
        """Describe anything that a module may hold."""
        if value is None or isinstance(value, _PLAIN):
            return f"{type(value).__name__} {value!r}"
        if id(value) in self._modules:
            return ["module", self._modules[id(value)]]
        if id(value) in self._met:
            return ["met before", self._met[id(value)][0]]
        self._place(value)
        return self._kind(value, where)

    def _all(self, values: Iterable[Any], where: str) -> list[Any]:
        return [self.value(value, where) for value in values]

    @functools.singledispatchmethod
    def _kind(self, value: Any, where: str) -> Any:
        """Describe an object by its class and everything in it."""
        slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
        if callable(value) and hasattr(value, "__qualname__"):  # written in C
            bound = getattr(value, "__self__", None)
            return [_name_of(value), None if isinstance(bound, types.ModuleType) else self.value(bound, where)]
        if not slots and not hasattr(value, "__dict__"):
            raise _cannot_be_described(where, type(value).__name__)
        held = {name: getattr(value, name) for name in slots if name != "__dict__" and hasattr(value, name)}
        held |= getattr(value, "__dict__", {})
        return [_name_of(type(value)), *([key, self.value(part, f"{where}.{key}")] for key, part in held.items())]

    @_kind.register(torch.Tensor)
    @_kind.register(np.ndarray)
    def _(self, value: torch.Tensor | np.ndarray[Any, Any], _where: str) -> Any:
        if isinstance(value, torch.Tensor):
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        elif value.dtype.hasobject:
            raise TypeError("an array of objects holds nothing but where they lie")
        else:
            content = np.ascontiguousarray(value)
        return [str(value.dtype), list(value.shape), hashlib.sha256(content.tobytes()).hexdigest()]

    @_kind.register(deque)
    def _(self, value: deque[Any], where: str) -> Any:
        return ["deque", value.maxlen, *self._all(value, where)]

    @_kind.register(np.generic)
    def _(self, value: np.generic, _where: str) -> Any:
        return f"{value.dtype} {value.item()!r}"

    @_kind.register(logging.Logger)
    def _(self, value: logging.Logger, _where: str) -> Any:
        return ["logger", value.name]

    @_kind.register(random.Random)
    def _(self, value: random.Random, where: str) -> Any:
        return ["generator", self.value(value.getstate(), where)]

    @_kind.register(np.random.Generator)
    def _(self, value: np.random.Generator, where: str) -> Any:
        return ["generator", self.value(value.bit_generator.state, where)]

    @_kind.register(tuple)
    @_kind.register(list)
    def _(self, value: Iterable[Any], where: str) -> Any:
        return [type(value).__name__, *self._all(value, where)]

    @_kind.register(dict)
    @_kind.register(types.MappingProxyType)
    def _(self, value: Mapping[Any, Any], where: str) -> Any:
        return [type(value).__name__, *(self._all(item, where) for item in value.items())]

    @_kind.register(set)
    @_kind.register(frozenset)
    def _(self, value: Iterable[Any], where: str) -> Any:
        return ["set", *sorted(map(str, self._all(value, where)))]

    @_kind.register(enum.Enum)
    def _(self, value: enum.Enum, _where: str) -> Any:
        return [_name_of(type(value)), value.name]

    @_kind.register(type)
    def _(self, value: type, _where: str) -> Any:
        return _name_of(value)

    @_kind.register(functools.partial)
    def _(self, value: functools.partial[Any], where: str) -> Any:
        return ["partial", *self._all((value.func, value.args, value.keywords), where)]

    @_kind.register(types.FunctionType)
    def _(self, value: types.FunctionType, where: str) -> Any:
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        held = self._all((value.__defaults__, value.__kwdefaults__, cells), where)
        return [_name_of(value), _code(value.__code__), *held]

    @_kind.register(types.MethodType)
    def _(self, value: types.MethodType, where: str) -> Any:
        return ["method", *self._all((value.__func__, value.__self__), where)]

    @_kind.register(types.ModuleType)
    def _(self, value: types.ModuleType, _where: str) -> Any:
        return value.__name__

    @_kind.register(weakref.ref)
    def _(self, value: weakref.ref[Any], where: str) -> Any:
        return ["reference", self.value(value(), where)]

    @_kind.register(torch.Generator)
    def _(self, value: torch.Generator, where: str) -> Any:
        return ["generator", self.value(value.get_state(), where)]

    @_kind.register(re.Pattern)
    @_kind.register(PurePath)
    def _(self, value: re.Pattern[str] | PurePath, _where: str) -> Any:
        return repr(value)

    @_kind.register(nn.Module)
    def _(self, value: nn.Module, where: str) -> Any:
        """Describe a module that the network does not know of, such as one in a list."""
        weights = self._all(value.state_dict().values(), where)
        return [self.module(value, where), weights, *self._all(value.children(), where)]


def _slots(kind: type) -> list[str]:
    """Return the names of a class's slots as ``getattr`` takes them."""
    named = vars(kind).get("__slots__", ())
    names = [named] if isinstance(named, str) else list(named)
    private = f"_{kind.__name__.lstrip('_')}"
    return [f"{private}{name}" if name.startswith("__") and not name.endswith("__") else name for name in names]


def _name_of(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _code(code: types.CodeType) -> list[Any]:
    """Describe what a function does; where it stands in which file says nothing of that."""
    constants = [_code(one) if isinstance(one, types.CodeType) else _constant(one) for one in code.co_consts]
    return [code.co_code.hex(), constants, list(code.co_names), list(code.co_freevars)]


def _constant(value: Any) -> str:
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
