"""What the formats have in common: names of data set and models, scores, and what must be said of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.errors import UsageError
from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.analysis import Analysis
from harness.reporting.export.facts import Facts, is_repository
from harness.reporting.results import Results
from harness.reporting.scores import Score
from harness.store.cells import slug

LEVEL = 0.95
"""Of the intervals."""

GENERATED = "generated images"
"""Name of the data set where the images are generated."""

Files = Iterator[tuple[Path, bytes]]
"""Files of an export: path below its folder, and content."""


@dataclass(frozen=True)
class SharedRun:
    """A run as others are to read of it.

    Attributes:
        folder: Of the run.
        results: What it has found.
        facts: What it cannot know.
        created: When the export is made, in seconds since 1970.
    """

    folder: Path
    results: Results
    facts: Facts
    created: float = field(default_factory=time.time)

    @cached_property
    def analysis(self) -> Analysis:
        """The statistics of the run."""
        return Analysis(self.results)

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return GENERATED if self.results.generated else self.facts["dataset"]

    @property
    def collection(self) -> str:
        """Name of the evaluation for files; under another protocol it is another evaluation."""
        return slug(f"{self.dataset}-{self.results.run.protocol.name}").lower()

    @cached_property
    def notes(self) -> list[str]:
        """Sentences that must go with every number: leaks, limits, generated images, what is missing."""
        return [*self.results.notes(), *self.results.missing_notes()]

    @cached_property
    def model_ids(self) -> dict[str, str]:
        """The repository of each model, by label.

        Raises:
            UsageError: Two models would have one, or a label makes none.
        """
        ids = {label: self.facts["model_id"].replace("{model}", slug(label)) for label in self.results.labels}
        wrong = [name for name, models in Counter(ids.values()).items() if models > 1 or not is_repository(name)]
        if wrong:
            labels = ", ".join(label for label, name in ids.items() if name == wrong[0])
            raise UsageError(
                f"--model-id makes '{wrong[0]}' of {labels}: every model needs a repository of its own - "
                "put {model} where its label is to stand, or export runs of fewer models"
            )
        return ids

    def scores(self, label: str) -> list[Score]:
        """Every metric of a model at every stratum, as far as the images give it."""
        found = [score for score in self._all_scores() if score.label == label and score.value is not None]
        if self.results.data_set.has_subgroups:
            return found
        return [score for score in found if score.metric != "p_arp_subgroup"]  # it is that of the groups

    @property
    def undefined(self) -> list[str]:
        """Scores that the images do not give, in words."""
        return [_named(score) for score in self._all_scores() if score.value is None]

    def _all_scores(self) -> Iterator[Score]:
        places = ((label, stratum) for label in self.results.labels for stratum in self.results.strata)
        found = (self.analysis.scores.get((metric, *place)) for place in places for metric in METRIC_NAMES)
        return (score for score in found if score is not None)


def _named(score: Score) -> str:
    return f"{METRIC_NAMES[score.metric].title} of {score.label} at {score.stratum}"
