"""What the tables of a run have in common: metrics with intervals, differences and tests, each computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.reporting.contrasts import Contrast, Decisions, adjusted_contrasts, contrasts, decisions
from harness.reporting.results import Results
from harness.reporting.scores import Score, Tested, scores, tested_models
from harness.reporting.shortcuts import best_shortcuts, shortcut_contrasts

RATES = ("p_arp_subgroup", "p_img")
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
        """The model of the highest recognition rate by (metric, stratum), where it can be told from every other one.

        p-values are adjusted by Holm over all strata, each metric by itself, as everywhere.
        """
        return {(metric, stratum): label for metric in RATES for stratum, label in self._best(metric).items()}

    def line(self, metric: str, label: str) -> list[Score | None]:
        """Return a metric of a model at every stratum."""
        return [self.scores.get((metric, label, stratum)) for stratum in self.results.strata]

    def _best(self, metric: str) -> dict[str, str]:
        highest = {stratum: self._highest(metric, stratum) for stratum in self.tested}
        pairs = [
            (models[highest[stratum]], other)
            for stratum, models in self.tested.items()
            for label, other in models.items()
            if label != highest[stratum]
        ]
        told = [one.stratum for one in adjusted_contrasts(self.results, pairs, (metric,)) if one.sure and one.value > 0]
        return {
            stratum: highest[stratum]
            for stratum, models in self.tested.items()
            if told.count(stratum) == len(models) - 1 > 0
        }

    def _highest(self, metric: str, stratum: str) -> str:
        return max(self.tested[stratum], key=lambda label: self.scores[metric, label, stratum].value or 0.0)
