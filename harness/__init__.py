"""A patient-aware benchmark harness for breast-histology classifiers.

What plugin authors need stands here (``docs/plugins.md``), and what a notebook needs: ``run`` a config, and read what
it found (``docs/python.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api.data import audit_folder
    from harness.api.divisions import splits
    from harness.api.explain import explain
    from harness.api.export import export_run
    from harness.api.merge import merge
    from harness.api.predict import predict
    from harness.api.report import report
    from harness.api.results import compare, read_run, status, tables
    from harness.api.runs import estimate, run
    from harness.api.score import score
    from harness.data.properties import mean_colour, sharpness, white_point
    from harness.errors import DataError
    from harness.kernels import compiled
    from harness.plugin_api.data_set import DataSet, GeneratedSlide, ImageRecord, PublishedFile
    from harness.plugin_api.hookspecs import Register, hookimpl
    from harness.plugin_api.model import (
        EpochReport,
        FitContext,
        LabeledImages,
        Model,
        ModelCard,
        Requirements,
        Throughput,
        TrainingOptions,
    )
    from harness.plugin_api.options import Options
    from harness.plugin_api.run_observer import RunObserver
    from harness.plugin_api.schedule import Schedule
    from harness.training.normalisation import Normalisation
    from harness.training.stages import Stage
    from harness.training.torch_model import TorchModel

_HOME = {
    "explain": "harness.api.explain",
    "export_run": "harness.api.export",
    "merge": "harness.api.merge",
    "predict": "harness.api.predict",
    "report": "harness.api.report",
    "score": "harness.api.score",
    "audit_folder": "harness.api.data",
    "splits": "harness.api.divisions",
    **dict.fromkeys(("compare", "read_run", "status", "tables"), "harness.api.results"),
    **dict.fromkeys(("estimate", "run"), "harness.api.runs"),
    **dict.fromkeys(("Register", "hookimpl"), "harness.plugin_api.hookspecs"),
    **dict.fromkeys(
        (
            "EpochReport",
            "FitContext",
            "LabeledImages",
            "Model",
            "ModelCard",
            "Requirements",
            "Throughput",
            "TrainingOptions",
        ),
        "harness.plugin_api.model",
    ),
    **dict.fromkeys(("DataSet", "GeneratedSlide", "ImageRecord", "PublishedFile"), "harness.plugin_api.data_set"),
    "DataError": "harness.errors",
    "compiled": "harness.kernels",
    "Options": "harness.plugin_api.options",
    **dict.fromkeys(("mean_colour", "sharpness", "white_point"), "harness.data.properties"),
    "RunObserver": "harness.plugin_api.run_observer",
    "Schedule": "harness.plugin_api.schedule",
    "Normalisation": "harness.training.normalisation",
    "Stage": "harness.training.stages",
    "TorchModel": "harness.training.torch_model",
}
__all__ = [
    "DataError",
    "DataSet",
    "EpochReport",
    "FitContext",
    "GeneratedSlide",
    "ImageRecord",
    "LabeledImages",
    "Model",
    "ModelCard",
    "Normalisation",
    "Options",
    "PublishedFile",
    "Register",
    "Requirements",
    "RunObserver",
    "Schedule",
    "Stage",
    "Throughput",
    "TorchModel",
    "TrainingOptions",
    "audit_folder",
    "compare",
    "compiled",
    "estimate",
    "explain",
    "export_run",
    "hookimpl",
    "mean_colour",
    "merge",
    "predict",
    "read_run",
    "report",
    "run",
    "score",
    "sharpness",
    "splits",
    "status",
    "tables",
    "white_point",
]


def __dir__() -> list[str]:
    """Name what can be imported, for explorers and tab completion."""
    return __all__


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: ``harness --help`` must not wait for torch."""
    import importlib  # noqa: PLC0415

    if name not in _HOME:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
