"""How child processes are started: from a server that has done the heavy imports once."""

from __future__ import annotations

import functools
import multiprocessing
from multiprocessing.context import ForkServerContext

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
