"""Tasks of cells: what goes to the worker, and what of it only the host knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.cache import Cache
from harness.planning.cell_images import CellImages
from harness.planning.plan import Run, job_of
from harness.protocol.group_assignment import hash_rank
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.store.artifacts import SavingFolder
from harness.store.cells import Cell
from harness.store.keys import hash_of
from harness.store.run_store import RunStore
from harness.workers.messages import FitTask

_COLUMNS = ["name", "group", "subgroup", "subtype", "stratum", "label", "sha256", "side"]


@dataclass(frozen=True)
class HeldBack:
    """What the host keeps to itself while a cell is at work.

    Attributes:
        validation: The validation images, in the order in which the worker sees them.
        test: The test images, likewise.
        saved: The folder that is the model's to write to.
    """

    validation: pd.DataFrame
    test: pd.DataFrame
    saved: SavingFolder

    @property
    def working(self) -> Path:
        """The folder in which the cell is put together."""
        return self.saved.path.parent


class Tasks:
    """Makes the tasks of a run's cells.

    Args:
        run: The prepared run.
        store: Its folder.
        cache: The cache.
        features: Where cells find features of frozen first layers.
    """

    def __init__(self, run: Run, store: RunStore, cache: Cache, features: Mapping[Cell, Path]) -> None:
        self._run, self._store, self._cache, self._features = run, store, cache, features
        self._images = CellImages(run.division)
        self._looked_at: set[str] = set()

    def make(self, cell: Cell, device: str) -> tuple[FitTask, HeldBack]:
        """Make a cell's task, and a working folder for what comes of it.

        Args:
            cell: The cell.
            device: As torch names it.
        """
        rows = self._images.rows(cell)[_COLUMNS]
        train, validation, test = (rows[rows["side"] == side] for side in (TRAIN, VALIDATION, TEST))
        # Sorted by name, test images would come class by class and patient by patient
        test = test.iloc[test["name"].map(lambda name: hash_rank(cell.seed, name)).argsort()]
        saved = self._store.saving_folder(self._store.working_folder(cell.name))
        decoded, at = self._run.decoded, (cell.seed, cell.fold)
        setting = job_of(self._run, cell.label, self._cache, decoded.pixel_key(*at), device)
        task = FitTask(
            setting,
            cell.seed,
            self._cache_of(cell, setting.pixels),
            decoded.labeled(*at, train),
            decoded.labeled(*at, validation),
            decoded.rows(*at, test),
            saved.path,
            cell.label not in self._looked_at,
            self._store.checkpoint_folder(cell.name, hash_of(self._run.keys[cell])),
            self._run.config.checkpoint_minutes,
            self._features.get(cell),
        )
        self._looked_at.add(cell.label)
        return task, HeldBack(validation, test, saved)

    def _cache_of(self, cell: Cell, pixels: str) -> Path:
        """Return the folder that cells of the same code share if they have the same images on the same sides."""
        code = self._run.entry(cell.label).registered.source
        return self._cache.folder / "plugins" / code[:16] / hash_of([pixels, self._images.digest(cell)])[:32]
