"""The section of a report that is about one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from harness.data.description import DataSetDescription
from harness.reporting.accuracy import lead_of
from harness.reporting.analysis import Analysis
from harness.reporting.contrasts import summarise
from harness.reporting.gallery import ShownImage
from harness.reporting.report.chart import Chart
from harness.reporting.report.checklist import Item, checklist
from harness.reporting.report.curve_charts import calibration_chart, learning_chart, roc_chart
from harness.reporting.report.interval_charts import differences_chart, forest_chart
from harness.reporting.report.leakage import leakage_statement, tested_groups
from harness.reporting.report.making import Facts, command, config_text, facts, open_choices, provenance
from harness.reporting.report.model_charts import pairwise_chart, trade_off_chart
from harness.reporting.report.patient_charts import groups_chart, subtypes_chart
from harness.reporting.results import Results
from harness.reporting.run_tables import PAPERS, analysis_tables
from harness.reporting.table import Table

_CHARTED = {"groups"}
"""Tables that stand beneath a chart, and nowhere else."""
_FIRST = ("3", "4", "5", "1")


@dataclass(frozen=True)
class Picture:
    """An image of the gallery, as ``data:`` addresses.

    Attributes:
        original: As photographed, small.
        normalised: As the models saw it.
        overlay: The same with what a network looked at; None where that was not computed.
    """

    original: str
    normalised: str
    overlay: str | None = None


@dataclass(frozen=True)
class Gallery:
    """The images of a run.

    Attributes:
        pictures: By what they show; empty where there are none.
        reason: Why there are none.
    """

    pictures: Mapping[ShownImage, Picture] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery and its words."""

    shown: ShownImage
    picture: Picture
    data_set: DataSetDescription

    @property
    def words(self) -> str:
        """What it is and what was made of it."""
        one, classes = self.shown, self.data_set.classes
        kind = f"{one.subtype}, {classes[one.label]}" if self.data_set.subtype else classes[one.label]
        of = self.data_set.positive if self.data_set.is_binary else classes[one.predicted]
        return (
            f"{one.stratum}, {self.data_set.group} {one.group}: {kind}, called {classes[one.predicted]}, "
            f"p({of}) {one.probability:.2f}"
        )


@dataclass(frozen=True)
class Section:
    """All that the report says of one run.

    Attributes:
        prefix: Of every anchor in it.
        name: Of the run.
        analysis: Its statistics.
        tables: All of its tables, by name.
        charts: Its charts.
        gallery: Its images.
        failures: Models with failed cells, and why, in a line each.
    """

    prefix: str
    name: str
    analysis: Analysis
    tables: Mapping[str, Table]
    charts: list[Chart]
    gallery: Gallery
    failures: Sequence[str] = ()

    @property
    def results(self) -> Results:
        """What the run has found."""
        return self.analysis.results

    @property
    def banners(self) -> list[str]:
        """What makes its numbers mean less than they seem to."""
        results = self.results
        found = [f"LEAKY: {leak}." for leak in results.run.leaks]
        found += ["LEAKY: patients stand on two sides by design."] if results.run.leaky and not found else []
        found += results.missing_notes()
        found += [f"FAILED: {words}" for words in self.failures]
        if results.run.protocol.shared_groups and not results.run.leaky:
            found.append(f"{results.run.protocol.shared_groups} {results.groups} have images on two sides.")
        warned = ("NOT COMPARABLE", "NOT TRAINED HERE", "STALE", "Mixed", "The images are generated")
        return found + [note for note in results.notes() if note.startswith(warned) or note in results.data_set.notes]

    @property
    def answer(self) -> list[str]:
        """Which models can be told apart, and from the best shortcut."""
        told = [one for one in self.analysis.contrasts if one.metric in {"balanced_accuracy", "auc"}]
        return [*lead_of(self.analysis), *summarise(self.results, told)]

    @property
    def summary(self) -> str:
        """Under which protocol, and on how many groups."""
        results, number = self.results, len(self.results.labels)
        return (
            f"{number} model{'s' * (number > 1)} at {', '.join(results.strata)}; protocol {results.run.protocol.name} "
            f"({results.run.protocol.title}); {tested_groups(results)} {results.groups} tested."
        )

    @property
    def first_tables(self) -> list[Table]:
        """Those of the paper, accuracy first."""
        return [self.tables[name] for name in _FIRST]

    @property
    def further_tables(self) -> list[Table]:
        """The tables that are not the paper's, but for those beneath charts."""
        others = (table for name, table in self.tables.items() if name not in PAPERS and name not in _CHARTED)
        return [table for table in others if table.rows]

    @property
    def exhibits(self) -> list[tuple[str, list[tuple[str, list[Exhibit]]]]]:
        """The gallery by model and kind."""
        data_set = self.results.data_set
        found = [Exhibit(shown, picture, data_set) for shown, picture in self.gallery.pictures.items()]
        return [
            (model, [(kind, list(own)) for kind, own in groupby(of, key=lambda one: one.shown.kind)])
            for model, of in groupby(found, key=lambda one: one.shown.model)
        ]

    @property
    def subtypes(self) -> str:
        """Which subtype is of which class, in a sentence; empty where there are none."""
        results = self.results
        if results.data_set.subtype is None:
            return ""
        found = results.images.groupby("label")["subtype"].unique()
        parts = [
            f"{', '.join(sorted(kinds))} {'are' if len(kinds) > 1 else 'is'} {results.classes[label]}"
            for label, kinds in found.items()
        ]
        return f"{'; '.join(parts)}."

    @property
    def has_overlays(self) -> bool:
        """Whether it is shown what networks looked at."""
        return any(picture.overlay for picture in self.gallery.pictures.values())

    @property
    def facts(self) -> Facts:
        """On what it was made, and of what."""
        return facts(self.results)

    @property
    def open_choices(self) -> Facts:
        """What the paper does not state."""
        return open_choices(self.results)

    @property
    def provenance(self) -> Facts:
        """Where weights come from."""
        return provenance(self.results)

    @property
    def config(self) -> str:
        """Its config as YAML."""
        return config_text(self.results.run.config)

    @property
    def command(self) -> str:
        """The command that makes the run again."""
        return command(self.results)

    @property
    def leakage(self) -> list[str]:
        """The leakage statement."""
        return leakage_statement(self.results)

    @property
    def checklist(self) -> list[Item]:
        """TRIPOD+AI and CLAIM."""
        return checklist(self.analysis)


def make_section(prefix: str, name: str, results: Results, gallery: Gallery, failures: Sequence[str] = ()) -> Section:
    """Compute a run's tables and draw its charts.

    Args:
        prefix: Of every anchor in it; no other section of the page has it.
        name: Of the run.
        results: What it has found.
        gallery: Its images.
        failures: Models with failed cells, and why, in a line each.
    """
    analysis = Analysis(results)
    tables = analysis_tables(analysis)
    charts = [chart for draw in _draws(analysis, f"{prefix}chart-") if (chart := draw()) is not None]
    return Section(prefix, name, analysis, tables, charts, gallery, failures)


def _draws(analysis: Analysis, prefix: str) -> list[Callable[[], Chart | None]]:
    reference, shortcut = analysis.results.reference, "the best shortcut"
    return [
        lambda: forest_chart(analysis, prefix),
        lambda: differences_chart(analysis, prefix, analysis.contrasts, "differences", reference),
        lambda: differences_chart(analysis, prefix, analysis.beaten, "shortcuts", shortcut),
        lambda: pairwise_chart(analysis, prefix),
        lambda: groups_chart(analysis, prefix),
        lambda: subtypes_chart(analysis, prefix),
        lambda: roc_chart(analysis, prefix),
        lambda: calibration_chart(analysis, prefix),
        lambda: learning_chart(analysis, prefix),
        lambda: trade_off_chart(analysis, prefix),
    ]
