"""Random prediction tables of a few patients, for laws that must hold of any."""

import numpy as np
import pandas as pd


def random_predictions(seed, groups=12, folds=3, seeds=1):
    """Test predictions of one model: whole groups dealt to folds, both classes in each, some with two slides."""
    random = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        label, home = group % 2, (group // 2) % folds
        for image in range(random.integers(1, 6)):
            for run in range(seeds):
                slide = f"14-{group}{'AB'[image % 2] if group % 3 == 0 else ''}"
                score = float(np.round(random.beta(2 + 2 * label, 4 - 2 * label), 2))
                rows.append((f"{group}-{image}", slide, f"14-{group}", label, home, run, score))
    table = pd.DataFrame(rows, columns=["image", "subgroup", "group", "label", "fold", "seed", "p_1"])
    predicted = (table["p_1"] > 0.5).astype(int)
    return table.assign(subtype=np.where(table["label"] == 1, "DC", "A"), predicted=predicted, stratum="200x")
