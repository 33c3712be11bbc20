"""What the tables of a run have in common: metrics with intervals, differences and tests, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.reporting.contrasts import Contrast, Decisions, adjusted_contrasts, contrasts, decisions
from harness.reporting.results import Results
from harness.reporting.scores import Score, Tested, scores, tested_models
from harness.reporting.shortcuts import best_shortcuts, shortcut_contrasts

RATES = ("p_arp_slide", "p_img")
"""What the paper's table 3 holds."""


@dataclass(frozen=True)
class Analysis:
    """The statistics of a run.

    Attributes:
        results: What the run has found.
    """

    results: Results

    @cached_property
    def tested(self) -> dict[str, dict[str, Tested]]:
        """What was tested, by stratum and model."""
        return tested_models(self.results)

    @cached_property
    def scores(self) -> dict[tuple[str, str, str], Score]:
        """Every metric with its interval, by (metric, model, stratum)."""
        return scores(self.tested)

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Every model against the reference."""
        return contrasts(self.results, self.tested)

    @cached_property
    def decisions(self) -> list[Decisions]:
        """McNemar's test of every model against the reference."""
        return decisions(self.results, self.tested)

    @cached_property
    def shortcuts(self) -> dict[str, str]:
        """The best shortcut at each stratum."""
        return best_shortcuts(self.results)

    @cached_property
    def beaten(self) -> list[Contrast]:
        """Every model that is no shortcut against the best shortcut."""
        return shortcut_contrasts(self.results, self.tested, self.shortcuts)

    @cached_property
    def best(self) -> dict[tuple[str, str], str]:
        """The model of the highest recognition rate by (metric, stratum), where it can be told from every other one."""
        found = {(metric, stratum): self._best(metric, stratum) for metric in RATES for stratum in self.tested}
        return {place: label for place, label in found.items() if label is not None}

    def line(self, metric: str, label: str) -> list[Score | None]:
        """Return a metric of a model at every stratum."""
        return [self.scores.get((metric, label, stratum)) for stratum in self.results.strata]

    def _best(self, metric: str, stratum: str) -> str | None:
        models = self.tested[stratum]
        values = {label: score.value for label in models if (score := self.scores[metric, label, stratum]).value}
        if len(values) < 2:
            return None
        label = max(values, key=lambda name: values[name])
        pairs = [(models[label], other) for name, other in models.items() if name != label]
        against = adjusted_contrasts(self.results, pairs, (metric,))
        is_told = len(against) == len(pairs) and all(contrast.sure and contrast.value > 0 for contrast in against)
        return label if is_told else None
