"""How definitions of convergence behave: do they measure the network, or the budget and the noise?

python tests/simulations/convergence.py > results/statistics/convergence.md

Learning curves are drawn: balanced accuracy rises from 0.5 to 0.85 as 1 - exp(-t / scale), and validation scatters
about it from epoch to epoch, as it does on real images (deviation 0.05 to 0.08 with some 140 validation images; on
training images 0.02). A good definition gives the same answer whatever the budget, and says a quarter more of a network
that learns a quarter slower.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from tabulate import tabulate

from harness.evaluation.convergence import CHANCE, area_over_curve, find_convergence, plateau

BUDGETS = (20, 40, 80, 200)
NOISE = (0.05, 0.08)
TRAINING_NOISE = 0.02
SCALE, RISE, SLOWER = 4.3, 0.35, 1.25  # the scale makes nine tenths of the rise at epoch 10
DRAWS = 500

Definition = Callable[[np.ndarray, np.ndarray], float | None]
"""From a validation and a training curve to epochs; None where it has not converged."""


def history(validation: np.ndarray, training: np.ndarray) -> pd.DataFrame:
    """Return curves as the history of a cell that sees one image an epoch."""
    epochs = np.arange(1, len(validation) + 1)
    columns = {"validation_balanced_accuracy": validation, "train_balanced_accuracy": training}
    return pd.DataFrame({**columns, "images_seen": epochs, "train_seconds": epochs})


def smoothed(values: np.ndarray) -> np.ndarray:
    """Centred median of three."""
    return pd.Series(values).rolling(3, center=True, min_periods=1).median().to_numpy()


def near_the_best(validation: np.ndarray, _training: np.ndarray) -> float:
    """The first epoch within 0.01 of the best smoothed value: what the harness had before."""
    curve = smoothed(validation)
    return float(np.argmax(curve >= curve.max() - 0.01)) + 1


def crosses_the_plateau(validation: np.ndarray, _training: np.ndarray) -> float:
    """The first epoch whose smoothed value has made 90 % of the rise to the plateau."""
    return float(np.argmax(smoothed(validation) >= CHANCE + 0.9 * (plateau(validation) - CHANCE))) + 1


def fitted(validation: np.ndarray, training: np.ndarray) -> float | None:
    """Where a fitted curve has made 90 % of its rise: what table 5 shows."""
    point = find_convergence(history(validation, training), single_class=False)
    return point and point.epochs


def validation_area(validation: np.ndarray, _training: np.ndarray) -> float:
    """The area over the validation curve, to its own plateau."""
    return float((plateau(validation) - validation).sum() / (plateau(validation) - CHANCE))


def training_area(validation: np.ndarray, training: np.ndarray) -> float:
    """The area over the training curve, to a fixed level: what the gate judges."""
    return area_over_curve(history(validation, training), CHANCE + RISE)


DEFINITIONS: dict[str, Definition] = {
    "within 0.01 of the best (before)": near_the_best,
    "first at 90 % of the rise to the plateau": crosses_the_plateau,
    "90 % of a fitted rise (table 5)": fitted,
    "area over the validation curve": validation_area,
    "area over the training curve (the gate)": training_area,
}


def draw(budget: int, scale: float, noise: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a validation curve at the ends of epochs, and a training curve of means over epochs."""
    ends = np.arange(budget + 1)
    remaining = np.exp(-ends / scale)
    validation = CHANCE + RISE * (1 - remaining[1:]) + random.normal(0, noise, budget)
    means = CHANCE + RISE * (1 - scale * (remaining[:-1] - remaining[1:]))
    return np.clip(validation, 0, 1), np.clip(means + random.normal(0, TRAINING_NOISE, budget), 0, 1)


def answers(definition: Definition, budget: int, scale: float, noise: float) -> np.ndarray:
    """Return a definition's answers on many draws; those that have not converged are left out."""
    random = np.random.default_rng(budget)
    found = (definition(*draw(budget, scale, noise, random)) for _ in range(DRAWS))
    return np.array([one for one in found if one is not None])


def told(values: np.ndarray, slow: float) -> str:
    """Return mean, coefficient of variation, and what the mean of slow learners adds."""
    mean = values.mean()
    return f"{mean:.1f} ({values.std() / mean:.2f}) {100 * (slow / mean - 1):+.0f} %"


def main() -> None:
    """Print the report."""
    print("# Definitions of convergence, tried on drawn curves\n")
    print(f"A rise of {RISE}, nine tenths of it made at epoch {2.3 * SCALE:.0f}, {DRAWS} draws each. In epochs: the")
    print("mean, in brackets the coefficient of variation, and what a network that learns 25 % slower adds. Moved: the")
    print("mean at 200 epochs against that at 20. Not converged: share of draws at 20 epochs, left out of the means.\n")
    for noise in NOISE:
        rows = []
        for name, definition in DEFINITIONS.items():
            found = {budget: answers(definition, budget, SCALE, noise) for budget in BUDGETS}
            slow = {budget: answers(definition, budget, SLOWER * SCALE, noise).mean() for budget in BUDGETS}
            cells = [told(values, slow[budget]) for budget, values in found.items()]
            moved = 100 * (found[BUDGETS[-1]].mean() / found[BUDGETS[0]].mean() - 1)
            rows.append([name, *cells, f"{moved:+.0f} %", f"{100 * (1 - len(found[BUDGETS[0]]) / DRAWS):.0f} %"])
        heads = ["definition", *(f"{budget} epochs" for budget in BUDGETS), "moved", "not converged"]
        print(f"## Noise of validation {noise} an epoch, of training {TRAINING_NOISE}\n")
        print(tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True))
        print()


if __name__ == "__main__":
    main()
