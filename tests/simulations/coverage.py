"""How often intervals hold the truth: patients simulated at the sizes of BreakHis, four ways to make an interval.

python tests/simulations/coverage.py [--data DIR] > results/statistics/coverage.md

An image's score is the class's shift, plus a normal effect of its accession, plus normal noise; it is called malignant
above 0. Truths follow in closed form, of the Brier score from a million images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from breakhis import PROTOCOLS, official_table, scan_folder
from scipy.special import ndtr, ndtri
from tabulate import tabulate

from harness.data.manifest import used_images
from harness.evaluation.bootstrap import Interval, Patients, bootstrap_interval, draw_patients
from harness.evaluation.estimators import Estimator, estimators
from harness.protocol.names import TEST

STRATUM, SPREAD, LEVEL = "200x", 1.0, 0.95
SLOW = 10
SHIFTS = {"accuracy 80 %": 1.2, "accuracy 92 %": 2.0}
TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]


def percentile(estimator: Estimator, patients: Patients) -> Interval:
    """Quantiles of the draws (Efron 1979)."""
    values = finite(estimator(patients.weights))
    return Interval(0.0, *np.quantile(values, TAILS))


def bca(estimator: Estimator, patients: Patients) -> Interval:
    """Quantiles corrected for bias and skewness (Efron 1987), the acceleration from the jackknife."""
    value, values = point(estimator, patients), finite(estimator(patients.weights))
    left_out = estimator(1 - np.eye(len(patients.groups)))
    bends = np.nanmean(left_out) - left_out
    acceleration = np.nansum(bends**3) / max(6 * np.nansum(bends**2) ** 1.5, 1e-12)
    bias = ndtri(np.clip(((values < value).sum() + (values == value).sum() / 2) / len(values), 1e-4, 1 - 1e-4))
    moved = [ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in ndtri(TAILS)]
    return Interval(value, *np.quantile(values, moved))


def bootstrap_t(estimator: Estimator, patients: Patients, draws: int = 400) -> Interval:
    """Quantiles of studentised deviations (Efron & Tibshirani 1993, section 12.5)."""
    weights, value = patients.weights[:draws], point(estimator, patients)
    error = standard_errors(estimator, patients, np.ones((1, weights.shape[1])))[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = finite((estimator(weights) - value) / standard_errors(estimator, patients, weights))
    low, high = np.quantile(deviations, TAILS) if len(deviations) else (np.nan, np.nan)
    return Interval(value, value - high * error, value - low * error)


def standard_errors(estimator: Estimator, patients: Patients, weights: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """The linearised standard error of each draw: influences by small steps of every accession's weight."""
    draws, accessions = weights.shape
    moved = (weights[:, None, :] + step * np.eye(accessions)).reshape(-1, accessions)
    influence = (estimator(moved).reshape(draws, accessions) - estimator(weights)[:, None]) / step
    variance = np.zeros(draws)
    for label in (0, 1):
        weight, part = weights[:, patients.labels == label], influence[:, patients.labels == label]
        number = weight.sum(1)
        mean = (weight * part).sum(1) / number
        variance += (weight * (part - mean[:, None]) ** 2).sum(1) * number / (number - 1)
    return np.sqrt(variance)


METHODS: dict[str, Callable[[Estimator, Patients], Interval]] = {
    "percentile": percentile,
    "expanded percentile": bootstrap_interval,
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
}


def truths(shift: float) -> dict[str, float]:
    """What an endless number of patients would give."""
    right = float(ndtr(shift / np.sqrt(1 + SPREAD**2)))
    random = np.random.default_rng(0)
    scores = ndtr(shift + random.normal(0, np.sqrt(1 + SPREAD**2), 10**6))
    accuracies = dict.fromkeys(
        ("p_img", "p_arp_subgroup", "p_arp_group", "balanced_accuracy", "sensitivity", "specificity"), right
    )
    between = float(ndtr(2 * shift / np.sqrt(2 * (1 + SPREAD**2))))
    return {**accuracies, "auc": between, "brier": float(np.mean((1 - scores) ** 2))}


def simulate(images: pd.DataFrame, shift: float, repeats: int) -> list[list[str]]:
    """Count how often each method's interval holds the truth, and how wide it is."""
    accession, names = images["group"].factorize()
    sign, truth = 2 * images["label"].to_numpy() - 1, truths(shift)
    hits: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for repeat in range(repeats):
        random = np.random.default_rng(repeat)
        scores = shift * sign + random.normal(0, SPREAD, len(names))[accession] + random.normal(0, 1, len(images))
        table = images.assign(predicted=(scores > 0).astype(int), p_1=ndtr(scores))
        patients = draw_patients(table, seed=repeat)
        made = estimators(table, patients.groups, cross_validated=True)
        for metric, expected in truth.items():
            for name, method in METHODS.items():
                if method is bootstrap_t and repeat % SLOW:
                    continue
                interval = method(made[metric], patients)
                found = (interval.low <= expected <= interval.high, interval.high - interval.low)
                hits.setdefault((metric, name), []).append(found)
    return [
        [metric, *(f"{100 * covered:.1f} ({100 * width:.0f})" for covered, width in per_method)]
        for metric in truth
        for per_method in [[np.nanmean(hits[metric, name], axis=0) for name in METHODS]]
    ]


def tested_images(images: pd.DataFrame) -> pd.DataFrame:
    """Every image once, with its fold under accession-5fold."""
    splits = PROTOCOLS["accession-5fold"].divide(images, 0)
    fold = splits[splits["side"] == TEST].set_index("image")["fold"]
    at = images[images["stratum"] == STRATUM]
    return at.assign(fold=at["name"].map(fold), seed=0).reset_index(drop=True)


def point(estimator: Estimator, patients: Patients) -> float:
    """The figure of all patients."""
    return float(estimator(np.ones((1, len(patients.groups))))[0])


def finite(values: np.ndarray) -> np.ndarray:
    """Draws that have a figure."""
    return values[np.isfinite(values)]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="A folder of real images, whose sizes are simulated as well.")
    parser.add_argument("--repeats", type=int, default=2000)
    arguments = parser.parse_args()
    official = official_table().reset_index()
    sets = {"BreakHis": official[~((official["subtype"] == "DC") & (official["subgroup"] == "14-13412"))]}
    if arguments.data:
        sets["the partial set"] = used_images(scan_folder(arguments.data))
    print("# Coverage of 95 % intervals\n")
    print("In %; in brackets the mean width in points. The harness uses the expanded percentile interval.")
    print(f"{arguments.repeats} simulated studies a table, 2,000 draws each; for bootstrap-t a tenth and 400.")
    for name, images in sets.items():
        chosen = tested_images(images)
        benign = chosen.loc[chosen["label"] == 0, "group"].nunique()
        for difficulty, shift in SHIFTS.items():
            print(f"\n## {name} at {STRATUM}, {difficulty}\n")
            print(f"{len(chosen)} images, {chosen['accession'].nunique()} accessions, {benign} of them benign.\n")
            print(tabulate(simulate(chosen, shift, arguments.repeats), headers=["metric", *METHODS], tablefmt="pipe"))


if __name__ == "__main__":
    main()
