"""Results of a run folder: finished cells, their predictions and histories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd

from harness.config.data_settings import is_generated
from harness.data.description import DataSetDescription, plural
from harness.data.manifest import used_images
from harness.errors import ComparisonError, DataError
from harness.evaluation.convergence import find_convergence
from harness.evaluation.metric_names import title_of
from harness.plugin_api.schedule import FINAL_STAGE
from harness.protocol.names import TEST, TRAIN
from harness.reporting import paper
from harness.reporting.paper import recipe_deviations
from harness.reporting.result_checks import CELL, PLACE, refuse_other_images, refuse_other_rows
from harness.reporting.run_notes import mixture_notes, protocol_notes
from harness.store.encoded import decoded
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord, ConvergenceRecord, DoneRecord, RunRecord


@dataclass(frozen=True)
class Results:
    """What a run has found so far.

    Attributes:
        run: ``run.json``.
        manifest: Every image of the run.
        cells: Finished cells by name.
        splits: ``image fold seed side``.
        predictions: Of all finished cells: one row a validation or test image; probabilities are ``p_0 p_1 ...`` in the
            order of the classes. Texts are categories: a large run has millions of rows.
        history: Of all finished cells: one row an epoch, with ``cell model stratum fold seed``.
    """

    run: RunRecord
    manifest: pd.DataFrame
    splits: pd.DataFrame
    cells: dict[str, DoneRecord]
    predictions: pd.DataFrame
    history: pd.DataFrame

    @cached_property
    def labels(self) -> list[str]:
        """Models with finished cells, in the order of the config."""
        found = {record.model for record in self.cells.values()}
        return [label for label in self.run.config.models if label in found]

    @cached_property
    def strata(self) -> list[str]:
        """The strata with finished cells, in the order of the run."""
        found = {record.stratum for record in self.cells.values()}
        return [stratum for stratum in self.run.strata if stratum in found]

    @property
    def data_set(self) -> DataSetDescription:
        """What the data set is."""
        return self.run.data_set

    @property
    def classes(self) -> list[str]:
        """The classes in the order of their labels."""
        return self.run.data_set.classes

    @property
    def chance(self) -> float:
        """Balanced accuracy of a model that knows nothing."""
        return 1 / len(self.classes)

    @property
    def decided(self) -> str:
        """How a class is called where no threshold is chosen, in words."""
        return "decided at 0.5" if self.data_set.is_binary else "the class of the highest probability is called"

    @property
    def groups(self) -> str:
        """What is kept apart, in a word: ``accessions``."""
        return plural(self.run.data_set.group)

    def title(self, metric: str) -> str:
        """Return a metric's title, in the words of the data set."""
        return title_of(metric, self.data_set)

    @property
    def cross_validated(self) -> bool:
        """True where predictions are pooled over folds."""
        return self.run.protocol.cross_validates

    @property
    def tested(self) -> pd.DataFrame:
        """Predictions of test images, texts as categories."""
        return self.predictions[self.predictions["side"] == TEST]

    def tested_at(self, stratum: str, *names: str) -> pd.DataFrame:
        """Some columns of :attr:`tested` at a stratum; all of a large run take much memory."""
        here = (self.predictions["side"] == TEST) & (self.predictions["stratum"] == stratum)
        return self.predictions.loc[here, list(names)]

    @cached_property
    def test(self) -> pd.DataFrame:
        """Predictions of test images, in plain types."""
        return decoded(self.tested)

    @cached_property
    def mixed_groups(self) -> int:
        """How many groups have test images of several classes."""
        found = [self.tested_at(stratum, "group", "label").drop_duplicates() for stratum in self.strata]
        classes = pd.concat(found).groupby("group", observed=True)["label"].nunique()
        return int((classes > 1).sum())

    def test_of(self, label: str) -> pd.DataFrame:
        """Predictions of test images by one model, in plain types."""
        return decoded(self.tested[self.tested["model"] == label])

    def named_predictions(self) -> pd.DataFrame:
        """Return the predictions with probabilities under the names of their classes, ``p_<class>``, as stored."""
        named = {f"p_{label}": f"p_{name}" for label, name in enumerate(self.classes)}
        return decoded(self.predictions).rename(columns=named)

    @property
    def images(self) -> pd.DataFrame:
        """The images that take part."""
        return used_images(self.manifest)

    def final_history(self, cell: str) -> pd.DataFrame:
        """The epochs of a cell's last stage."""
        history = self._final_histories.get(cell)
        return self.history.iloc[:0] if history is None else history

    @cached_property
    def _final_histories(self) -> dict[str, pd.DataFrame]:
        final = self.history[self.history["stage"] == FINAL_STAGE]
        return {str(cell): history for cell, history in final.groupby("cell")}

    def cells_of(self, label: str) -> list[DoneRecord]:
        """Finished cells of one model."""
        return self._by_label.get(label, [])

    @cached_property
    def _by_label(self) -> dict[str, list[DoneRecord]]:
        found: dict[str, list[DoneRecord]] = {}
        for record in self.cells.values():
            found.setdefault(record.model, []).append(record)
        return found

    def reproduces(self, label: str) -> str | None:
        """The paper's name of a model, if it reproduces one."""
        return next((record.reproduces for record in self.cells_of(label)), None)

    @property
    def generated(self) -> bool:
        """True where the images are generated."""
        return is_generated(self.run.config.data)

    def deviations(self, label: str) -> list[str]:
        """In what a model and this run differ from the paper's recipe, as far as the paper states one."""
        own = {words: None for cell in self.cells_of(label) for words in cell.deviations}
        return [*own, *recipe_deviations(self.run.config)]

    def paper_network(self, label: str) -> str | None:
        """The network of the paper whose numbers may stand beside a model's: real images, and the paper's recipe."""
        if self.generated or self.deviations(label) or not self.is_of_paper:
            return None
        return self.reproduces(label)

    @property
    def is_of_paper(self) -> bool:
        """True for the data set that the paper's numbers are of."""
        return self.data_set.name == paper.DATA_SET

    def paper_notes(self) -> list[str]:
        """Say where the paper's numbers are shown, what differs all the same, and why they are not shown elsewhere."""
        ours = [label for label in self.labels if self.reproduces(label) and self.is_of_paper]
        if ours and self.generated:
            return ["The paper's numbers are of real images, and are not shown beside generated ones."]
        shown = [label for label in ours if self.paper_network(label)]
        hidden = [f"{label} ({'; '.join(self.deviations(label))})" for label in ours if label not in shown]
        return [
            *([f"In brackets or beside: the paper's numbers. {_differs(self, shown)}"] if shown else []),
            *(
                [f"The paper's numbers are not shown where the recipe is not its own: {', '.join(hidden)}."]
                if hidden
                else []
            ),
        ]

    def is_shortcut(self, label: str) -> bool:
        """True for a model that looks at a property of the picture and at no tissue."""
        return any(record.is_shortcut for record in self.cells_of(label))

    @property
    def reference(self) -> str:
        """The model that others are compared with: the config's, or the paper's plain DenseNet, or the first."""
        wanted = self.run.config.reference
        plain = [label for label in self.labels if self.reproduces(label) == "DenseNet"]
        return wanted if wanted in self.labels else [*plain, *self.labels][0]

    def fold_metrics(self, label: str, stratum: str, metric: str) -> dict[tuple[int, int], float]:
        """One metric of a model by (seed, fold), of the folds that give it."""
        cells = self._by_place.get((label, stratum), {})
        return {place: value for place, metrics in cells.items() if (value := metrics[metric]) is not None}

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], dict[tuple[int, int], dict[str, float | None]]]:
        """Metrics of the test images by (model, stratum), and by (seed, fold)."""
        found: dict[tuple[str, str], dict[tuple[int, int], dict[str, float | None]]] = {}
        for cell in self.cells.values():
            found.setdefault((cell.model, cell.stratum), {})[cell.seed, cell.fold] = cell.metrics
        return found

    def test_per_train(self, stratum: str) -> float:
        """How many test images there are for a training image, over all folds."""
        sides = self._sides[stratum]
        return float(sides[TEST] / sides[TRAIN])

    @cached_property
    def _sides(self) -> pd.Series[int]:
        """Images by stratum and side, over all folds."""
        strata = self.splits["image"].map(self.images.set_index("name")["stratum"])
        return self.splits.groupby([strata, "side"]).size()

    def notes(self) -> list[str]:
        """Sentences that every table of this run must carry."""
        notes = [*protocol_notes(self.run), *self.data_set.notes]
        return [*notes, *self.scored_notes(), *self._mixtures]

    @cached_property
    def _mixtures(self) -> list[str]:
        return mixture_notes(self.run, self.cells)

    def is_scored(self, label: str) -> bool:
        """True for a row of predictions that were made elsewhere."""
        return any(record.scored for record in self.cells_of(label))

    def scored_notes(self) -> list[str]:
        """Say which rows were not trained here."""
        rows = {record.model: record.scored for record in self.cells.values() if record.scored}
        return [
            f"NOT TRAINED HERE: {label}, predictions from {scored.file} (sha256 {scored.sha256[:12]}); what it was "
            "trained and chosen on, and what that cost, is not known."
            for label, scored in rows.items()
        ]

    def reference_notes(self) -> list[str]:
        """Say where another model stands in for the config's reference."""
        wanted = self.run.config.reference
        stood_in = wanted is not None and wanted != self.reference
        return [f"{wanted} has no finished cell yet; {self.reference} is the reference."] if stood_in else []

    def heading(self, title: str) -> str:
        """Return a table's heading; it says so where patients stand on two sides."""
        return f"LEAKY - {title}" if self.run.leaky else title

    def missing_notes(self) -> list[str]:
        """Say how many planned cells are missing, if any."""
        config, folds = self.run.config, self.run.comparison.folds
        each = len(self.run.strata) * len(config.seeds) * len(folds)
        lacking = {label: each - len(self.cells_of(label)) for label in config.models}
        named = ", ".join(f"{label} {number}" for label, number in lacking.items() if number > 0)
        missing = sum(number for number in lacking.values() if number > 0)
        return [f"PARTIAL: {missing} of {each * len(lacking)} cells are missing: {named}."] if missing else []


def read_results(store: RunStore) -> Results:
    """Read a run folder.

    Raises:
        DataError: No run there, or no finished cell.
        ComparisonError: A cell of another comparison stands in it.
    """
    run = store.require_run()
    return results_of(store, run, store.read_sound())


def results_of(store: RunStore, run: RunRecord, records: Mapping[str, CellRecord]) -> Results:
    """Read what belongs to the records of a run folder, held against their checksums before; see :func:`read_results`.

    Args:
        store: The run folder.
        run: Its ``run.json``.
        records: Of its cells.
    """
    cells = {name: record for name, record in records.items() if isinstance(record, DoneRecord)}
    if not cells:
        raise DataError(f"no finished cell in {store.folder} yet - 'harness status' says what is going on")
    for name, record in cells.items():
        if name != record.cell.name:
            raise DataError(f"the folder {name} in {store.folder} holds another cell, of {record.model} - remove it")
        if record.comparison_key not in {run.comparison_key, *run.former_comparison_keys}:
            raise ComparisonError(f"cell {name} belongs to another comparison than its run - remove it and run again")
    history, predictions = store.read_histories(cells), _read_predictions(store, run, cells)
    places = {name: PLACE(record) for name, record in cells.items()}
    history = history.join(pd.DataFrame.from_dict(places, orient="index", columns=list(CELL)), on="cell")
    final = history[history["stage"] == FINAL_STAGE]
    cells = {
        name: upgraded(record, final[final["cell"] == name]) if record.schema_version == 1 else record
        for name, record in cells.items()
    }
    refuse_other_rows(store, cells, predictions, final["cell"].value_counts().to_dict())
    manifest, splits = store.read_manifest(), store.read_splits()
    refuse_other_images(store, manifest, splits, predictions)
    return Results(run, manifest, splits, cells, predictions, history)


def resampled_within(results: Results) -> str:
    """Say within what groups are resampled."""
    return "as wholes, since some have images of several classes" if results.mixed_groups else "within their class"


def _read_predictions(store: RunStore, run: RunRecord, cells: Iterable[str]) -> pd.DataFrame:
    """Read predictions, probabilities named by the numbers of their classes."""
    classes = run.data_set.classes
    found = store.read_predictions(cells, classes)
    return found.rename(columns={f"p_{name}": f"p_{label}" for label, name in enumerate(classes)})


def upgraded(cell: DoneRecord, history: pd.DataFrame) -> DoneRecord:
    """Return a cell's record with its convergence as this version defines it; version 1 defined it otherwise.

    Args:
        cell: As read.
        history: Of its last stage.
    """
    if cell.schema_version > 1:
        return cell
    point = find_convergence(history, single_class=cell.single_class)
    return cell.model_copy(update={"convergence": ConvergenceRecord(**asdict(point)) if point else None})


def _differs(results: Results, shown: list[str]) -> str:
    """Say what differs from the paper although it states nothing, or what no setting can make equal."""
    config = results.run.config
    size, epochs = config.pixels.size, config.schedule.epochs
    weights = [record.provenance[0] for label in shown for record in results.cells_of(label)[:1] if record.provenance]
    began = f"; first stage: {', '.join(dict.fromkeys(weights))}" if weights else ""
    return (
        f"They are of a random split over images, here {results.run.protocol.name}; the paper states no input "
        f"size, here {size} x {size} pixels, {epochs} epochs of SGD{began}."
    )
