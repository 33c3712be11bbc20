"""Loops over arrays that numba compiles."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Kernel(Generic[Arguments, Result]):
    """A loop over arrays that is compiled when it is first needed, and that lets go of the interpreter's lock.

    Machine code is kept in numba's cache, beside the source file or in the user's cache folder; where neither can be
    written, each process compiles for itself. Sums are done in the order in which they are written, so that the bits
    depend on no machine.

    Attributes:
        loop: What is compiled: arithmetic that raises nothing and calls no other function of the project.
    """

    def __init__(self, loop: Callable[Arguments, Result], signature: str) -> None:
        self.loop = loop
        self._signature = signature

    @functools.cached_property
    def machine_code(self) -> Callable[Arguments, Result] | None:
        """The compiled loop; None where numba is absent, switched off or fails, and another road has to be taken."""
        try:
            import numba.core.config  # noqa: PLC0415 - takes a third of a second, and most commands do without
        except ImportError:  # as well where numba does not know this version of NumPy
            return None
        if numba.core.config.DISABLE_JIT:
            return None
        for cached in (True, False):  # there may be no folder for the cache, or no room in it
            try:
                code: Callable[Arguments, Result] = numba.njit(self._signature, cache=cached, nogil=True)(self.loop)
            except Exception:  # noqa: BLE001, S112 - a cache that a crash has cut short may raise anything
                continue
            return code
        return None


def compiled(signature: str) -> Callable[[Callable[Arguments, Result]], Kernel[Arguments, Result]]:
    """Make a :class:`Kernel` of the decorated loop.

    Args:
        signature: Its types in numba's words, such as ``int64[::1](float64[:, ::1], float64)``.
    """
    return lambda loop: Kernel(loop, signature)
