"""Records of earlier schema versions, brought to the present one.

Version 1 had no cost of features, no deviations from the paper's recipe and no shortcuts, and defined convergence
otherwise, which :mod:`harness.reporting.results` computes anew from the history. Version 2 called the stratum
magnification, and the execution mode engine. Version 3 knew no predictions that were made elsewhere. Version 4 knew one
data set, BreakHis, and called groups accessions. Version 5 measured every speed in the run itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.store.schema import SCHEMA_VERSION

_RENAMED_PARTS = {"engine": "execution mode"}
_RENAMED_METRICS = {"p_arp_slide": "p_arp_subgroup", "p_arp_accession": "p_arp_group"}
_BREAKHIS: dict[str, Any] = {
    "name": "breakhis",
    "classes": ["benign", "malignant"],
    "groups": ["accession", "slide"],
    "strata": ["40x", "100x", "200x", "400x"],
    "subtype": "tumour type",
    "hold_outs": "official5",
    "notes": [
        "Made by an earlier version, which kept neither official counts nor which images are not the official files."
    ],
}
"""What version 4 and those before it took for granted."""
_FIRST_OF_ANY_DATA_SET = 5
_FEATURES_KEPT = "frozen prefix cached"


def upgrade_run(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a ``run.json`` as this version writes it.

    Raises:
        DataError: It was written by a later version.
    """
    version = values.get("schema_version", 0)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DataError(f"{folder} was written by a later version of the harness - update the harness")
    if not isinstance(version, int) or version >= _FIRST_OF_ANY_DATA_SET:
        return values
    strata = values.get("strata", _strata_of(values.get("config")))
    new = {**values, "strata": strata, "data_set": _BREAKHIS}
    if isinstance(comparison := values.get("comparison"), dict) and "slide_13412" in comparison:
        rest = {name: value for name, value in comparison.items() if name != "slide_13412"}
        options = {"slide_13412": comparison["slide_13412"]}
        of_set = {"data_set": _BREAKHIS["name"], "classes": _BREAKHIS["classes"], "data_options": options}
        new["comparison"] = {**rest, **of_set}
    if isinstance(protocol := values.get("protocol"), dict) and "shared_accessions" in protocol:
        rest = {name: value for name, value in protocol.items() if name != "shared_accessions"}
        new["protocol"] = {**rest, "shared_groups": protocol["shared_accessions"]}
    return new


def _strata_of(config: object) -> list[object]:
    """Return the strata of a config of version 1, which gave magnifications."""
    magnifications = config.get("magnifications") if isinstance(config, dict) else None
    return [_as_stratum(one) for one in magnifications] if isinstance(magnifications, list) else []


def upgrade_cell(values: dict[str, Any]) -> dict[str, Any]:
    """Return a ``cell.json`` as this version writes it; what cannot be upgraded is left to the checks."""
    version = values.get("schema_version", 1)
    if not isinstance(version, int) or version >= _FIRST_OF_ANY_DATA_SET:
        return values
    new = {"schema_version": version, **{_present_name(name): value for name, value in values.items()}}
    if "magnification" in values:
        new["stratum"] = _as_stratum(values["magnification"])
    if isinstance(parts := new.get("key_parts"), dict):
        new["key_parts"] = {_RENAMED_PARTS.get(name, name): part for name, part in parts.items()}
    for name in ("metrics", "validation_metrics"):
        if isinstance(metrics := new.get(name), dict):
            new[name] = {_RENAMED_METRICS.get(metric, metric): value for metric, value in metrics.items()}
    return _with_later_fields(new) if version == 1 else new


def _as_stratum(value: object) -> object:
    """Return the stratum that a magnification is; None for anything else, which the checks refuse."""
    return f"{value}x" if isinstance(value, int) and not isinstance(value, bool) else None


def _present_name(name: str) -> str:
    return {"magnification": "stratum", "engine": "execution_mode"}.get(name, name)


def _with_later_fields(cell: dict[str, Any]) -> dict[str, Any]:
    """Add to a cell of version 1 what later versions record."""
    metrics = {
        name: {"auprc": None, **cell[name]}
        for name in ("metrics", "validation_metrics")
        if isinstance(cell.get(name), dict)
    }
    kept = _FEATURES_KEPT in str(cell.get("execution_mode"))
    later: dict[str, Any] = {
        "feature_images": None if kept else 0,
        "deviations": ["recorded before deviations were"],
        "is_shortcut": False,
        "inspection": {},
        "provenance": [],
    }
    return {**later, **cell, **metrics}
