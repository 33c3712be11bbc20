"""Differences of models to the best shortcut."""

from __future__ import annotations

from statistics import fmean

from harness.reporting.contrasts import Contrast, adjusted_contrasts
from harness.reporting.results import Results
from harness.reporting.scores import Tested
from harness.text import natural_order

METRICS = ("balanced_accuracy", "auc")


def best_shortcuts(results: Results) -> dict[str, str]:
    """Name the best shortcut at each stratum: the highest AUC on validation, over cells.

    It is chosen on validation so that its numbers on test are as honest as any model's.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for cell in results.cells.values():
        value = cell.validation_metrics["auc"] if cell.is_shortcut and cell.validation_metrics else None
        if value is not None:
            found.setdefault(cell.stratum, {}).setdefault(cell.model, []).append(value)
    return {
        stratum: max(sorted(found[stratum]), key=lambda label: fmean(found[stratum][label]))
        for stratum in natural_order(found)
    }


def shortcut_contrasts(
    results: Results, tested: dict[str, dict[str, Tested]], shortcuts: dict[str, str]
) -> list[Contrast]:
    """Compare every model that is no shortcut with the best shortcut, on the same test images."""
    pairs = [
        (tested[stratum][label], tested[stratum][shortcut])
        for stratum, shortcut in shortcuts.items()
        for label in results.labels
        if label in tested[stratum] and not results.is_shortcut(label)
    ]
    return adjusted_contrasts(results, pairs, METRICS)


def summarise_shortcuts(results: Results, shortcuts: dict[str, str], beaten: list[Contrast]) -> list[str]:
    """Say in plain sentences which models can be told from the best shortcut."""
    if not shortcuts:
        return ["No shortcut was run, so nothing tells whether these models see more than the colour of the light."]
    strata = {label: [at for at, best in shortcuts.items() if best == label] for label in shortcuts.values()}
    named = ", ".join(f"{label} at {', '.join(found)}" for label, found in strata.items())
    head = f"The best shortcut on validation is {named}."
    return (
        [f"{head} {' '.join(_sentence(results.title(metric), metric, beaten) for metric in METRICS)}"]
        if beaten
        else [head]
    )


def _sentence(title: str, metric: str, beaten: list[Contrast]) -> str:
    found = [contrast for contrast in beaten if contrast.metric == metric]
    if all(contrast.p_t is None for contrast in found):
        return f"In {title} no difference from it can be tested over folds."
    better, worse = (
        [contrast for contrast in found if contrast.sure and (contrast.value > 0) is wanted] for wanted in (True, False)
    )
    parts = [f"{words}: {_named(some)}" for words, some in (("better", better), ("worse", worse)) if some]
    return f"In {title} can be told from it: {'; '.join(parts) or 'no model'}."


def _named(contrasts: list[Contrast]) -> str:
    return ", ".join(f"{one.label} at {one.stratum} ({100 * one.value:+.1f})" for one in contrasts)
