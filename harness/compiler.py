"""The compiler of kernels, set up in a process that others are forked from.

numba sets itself up at the first kernel of a process, which takes half a second, and a forked process begins with what
its parent has.
"""

from __future__ import annotations

from harness.kernels import compiled


@compiled("int64(int64)")
def _first(number: int) -> int:
    return number


_first.machine_code  # noqa: B018 - the server of forks only imports
