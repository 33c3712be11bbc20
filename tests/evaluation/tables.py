"""Random prediction tables of a few patients, for laws that must hold of any."""

import numpy as np
import pandas as pd


def random_predictions(seed, accessions=12, folds=3, seeds=1):
    """Test predictions of one model: whole accessions dealt to folds, both classes in each, some with two slides."""
    random = np.random.default_rng(seed)
    rows = []
    for accession in range(accessions):
        label, home = accession % 2, (accession // 2) % folds
        for image in range(random.integers(1, 6)):
            for run in range(seeds):
                slide = f"14-{accession}{'AB'[image % 2] if accession % 3 == 0 else ''}"
                score = float(np.round(random.beta(2 + 2 * label, 4 - 2 * label), 2))
                rows.append((f"{accession}-{image}", slide, f"14-{accession}", label, home, run, score))
    table = pd.DataFrame(rows, columns=["image", "slide", "accession", "label", "fold", "seed", "p_malignant"])
    predicted = (table["p_malignant"] > 0.5).astype(int)
    return table.assign(type=np.where(table["label"] == 1, "DC", "A"), predicted=predicted, stratum="200x")
