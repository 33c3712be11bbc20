"""Published numbers and recipe of arXiv 2404.09226. Nothing is ever fitted to them."""

from __future__ import annotations

from harness.config.run_config import RunConfig

DATA_SET = "breakhis"
"""Of what its numbers are."""

P_ARP = {
    "DenseNet": {"40x": 73.9, "100x": 75.0, "200x": 77.6, "400x": 78.0},
    "DenseNet + SE": {"40x": 78.0, "100x": 78.1, "200x": 78.5, "400x": 78.7},
    "Ours": {"40x": 80.1, "100x": 84.3, "200x": 81.2, "400x": 82.4},
}
"""Table 3, patient recognition rate in %, by network and magnification."""

P_IMG = {
    "DenseNet": {"40x": 72.5, "100x": 77.5, "200x": 77.2, "400x": 77.5},
    "DenseNet + SE": {"40x": 72.5, "100x": 75.6, "200x": 74.9, "400x": 80.3},
    "Ours": {"40x": 78.4, "100x": 79.2, "200x": 79.7, "400x": 84.0},
}
"""Table 3, image recognition rate in %, by network and magnification."""

PARAMETERS_MILLIONS = {"DenseNet": 7.127, "DenseNet + SE": 8.234, "Ours": 8.064}
"""Table 4, which prints "k" where only millions make sense."""

SIZE_MB = {"DenseNet": 82.4, "DenseNet + SE": 89.5, "Ours": 84.7}
"""Table 4, model size."""

CONVERGENCE_MINUTES = {"DenseNet": 1237, "DenseNet + SE": 1356, "Ours": 976}
"""Table 5, on one RTX 4090; the paper does not define convergence."""

SCHEDULE = {"epochs": 200, "batch_size": 32, "learning_rate": 0.01, "augmentation": "sixfold"}
"""Table 2, and the six versions of an image that its text describes."""


def recipe_deviations(config: RunConfig) -> list[str]:
    """Name what in a run's schedule and pixels is not as the paper states it; what it leaves open cannot deviate."""
    schedule = config.schedule.model_dump()
    return [
        *(f"{name} {schedule[name]} instead of {value}" for name, value in SCHEDULE.items() if schedule[name] != value),
        *(["stopped early by patience"] if schedule["patience"] else []),
        *([f"limited to {config.limit} images per class and side"] if config.limit else []),
        *(["colours not normalised"] if config.pixels.stain == "none" else []),
    ]


DOUBTS: tuple[str, str] = (
    "The paper's split is random over images, so its numbers do not say how a model does on new patients.",
    "The paper's parameter counts cannot be those of its networks: a transfer recipe cannot change their number, "
    "DenseNet-121 with two outputs has 6.956 million, and 7.127 million float32 parameters are 28.5 MB, not 82.4.",
)
