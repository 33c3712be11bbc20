"""How child processes are started: from a server that has done the heavy imports once."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_HEAVY = ["harness", "torch", "torchvision.io", "pandas", "pyarrow.parquet", "timm", "sklearn.svm", "skimage.feature"]


@functools.cache
def forkserver() -> ForkServerContext:
    """Return the context whose processes fork from a preloaded server.

    Forking the host itself would copy its threads' locks in whatever state they are (torch's among them); spawning
    would import torch and timm again for every process, which takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_HEAVY)
    return context


def map_in_order(
    work: Callable[[Item], Result], items: Sequence[Item], pool_from: int, chunksize: int = 1
) -> Iterator[Result]:
    """Apply ``work`` to every item and yield the results in order.

    Args:
        work: A function that can be pickled.
        items: What to work on.
        pool_from: So many items are worth starting processes for, one a core, with one thread of torch each.
        chunksize: Items handed to a process at a time.
    """
    if len(items) < pool_from:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(os.cpu_count(), mp_context=forkserver(), initializer=_one_thread) as pool:
        yield from pool.map(work, items, chunksize=chunksize)


def _one_thread() -> None:
    torch.set_num_threads(1)
