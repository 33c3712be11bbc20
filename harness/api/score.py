"""Scoring of predictions that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from harness.cache import Cache
from harness.config.config_files import load_config
from harness.config.run_config import RunConfig
from harness.errors import ConfigError
from harness.execution.scoring import label_of, read_predictions, read_table, score_cells, store_scored, with_scored_row
from harness.locations import cache_folder, results_folder
from harness.planning.cell_keys import resolved
from harness.planning.comparison import comparison_parts, refuse_other_comparison, refuse_other_facts
from harness.planning.decode_images import decode_images
from harness.planning.image_set import scan_images
from harness.planning.labels import refuse_folders_that_cannot_be
from harness.planning.observer import Observer
from harness.planning.run_record import run_record
from harness.planning.splits import Division, divide
from harness.reporting.publish import publish
from harness.reporting.table import Table
from harness.store.run_store import RunStore
from harness.store.schema import SCHEMA_VERSION, RunRecord
from harness.training.devices import resolve_device


class ScoreOptions(TypedDict, total=False):
    """Keyword arguments of :func:`score`.

    Attributes:
        name: Of the row; the file's by default.
        overrides: ``key=value`` each, as ``-o`` takes them.
        data: Folder of the images.
        out: Run folder; ``$HARNESS_RESULTS/<config>`` by default. It may hold the run, or nothing yet.
    """

    name: str | None
    overrides: Sequence[str]
    data: Path | str | None
    out: Path | str | None


def score(
    predictions: Path | str, config: str | Path, observer: Observer | None = None, **options: Unpack[ScoreOptions]
) -> dict[str, Table]:
    """Make predictions that were made elsewhere a row of a run, held to the same division of the same images.

    The row is called ``scored:NAME`` and has no cost; a note below the tables of the paper says that it was not trained
    here.

    Args:
        predictions: A CSV file; see :func:`~harness.execution.scoring.read_predictions`.
        config: A path, or the name of a shipped config, of the run that it joins.
        observer: Is told of what takes time.
        **options: See :class:`ScoreOptions`.

    Returns:
        The tables of the run, by name.

    Raises:
        UsageError: The predictions are not those of every test image once a fold and seed.
        ComparisonError: The folder holds a run of another comparison.
        DataError: The images are not there, or damaged.
    """
    watched, file = observer or Observer(), Path(predictions)
    cache, label = Cache(cache_folder(), watched.note), label_of(file, options.get("name"))
    name, settings = _settings(str(config), label, options, watched)
    table = read_table(file)  # what is wrong with it must not come to light after the images have been read
    scanned = scan_images(settings, cache, watched.progress)
    scored = read_predictions(file, table, label, divide(scanned))
    division = divide(decode_images(scanned, cache, watched.progress))
    cells = score_cells(scored, division)
    store = RunStore(Path(options.get("out") or results_folder() / name))
    with store.open_for_writing():
        run = _joined_run(name, division, store)
        store.write_run(run, division.manifest, division.splits)
        store_scored(scored, cells, run, store)
        return publish(store, cache)


def _settings(config: str, label: str, options: ScoreOptions, observer: Observer) -> tuple[str, RunConfig]:
    """Read the config, with the scored row as its only model."""
    name, settings = load_config(config, tuple(options.get("overrides", ())), observer.note)
    if settings.study is not None:
        raise ConfigError(f"config '{name}' is a study of several runs - score against the config of one of them")
    return name, with_scored_row(settings.with_data_folder(options.get("data")), label)


def _joined_run(name: str, division: Division, store: RunStore) -> RunRecord:
    """Return the record of the run with the scored row in it.

    Raises:
        ComparisonError: The folder holds a run of another comparison.
        ConfigError: The row would share a folder with another.
    """
    stored, config = store.read_run(), division.config
    device_type = stored.comparison.device_type if stored else resolve_device(config.device).type
    comparison = comparison_parts(division, resolved(config, device_type))
    if stored is not None:
        refuse_other_comparison(stored.comparison, comparison, store.folder)
        refuse_other_facts(store.read_manifest(), division.manifest, store.folder)
    labels = list(dict.fromkeys([*(stored.config.models if stored else ()), *config.models]))
    refuse_folders_that_cannot_be(labels)
    if stored is None:
        return run_record(name, division, comparison, {"type": "elsewhere"})
    # how and on what the others were made stays as it is recorded
    joined = stored.config.with_rows_of(config, division.data_set.strata)
    return stored.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "config": joined,
            "data_set": division.data_set,
            "strata": list(joined.chosen_strata),
        }
    )
