"""Every Eval Ever: a JSON file a model with all scores, and one line a test image beside it.

Schema 0.3.0 of https://github.com/evaleval/every_eval_ever; folders are those of its datastore.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.evaluation.metric_names import METRIC_NAMES
from harness.reporting.export.instances import evaluation_name, instance_lines, result_id
from harness.reporting.export.shared_run import LEVEL, Files, SharedRun
from harness.reporting.own_paths import without_folders
from harness.reporting.scores import Score
from harness.store.schema import DoneRecord

SCHEMA_VERSION = "0.3.0"
_COMMON_NAMES = {"p_img": "accuracy", "auc": "auroc", "brier": "brier_score", "ece": "expected_calibration_error"}
"""What other evaluations call a metric."""

_INTERVAL = "expanded percentile bootstrap over patients within their class (Hesterberg 2015)"


def every_eval_ever_files(shared: SharedRun) -> Files:
    """Yield the scores of every model, and its predictions of the test images."""
    for label, model_id in shared.model_ids.items():
        folder, name = Path("data", shared.collection, model_id), _file_name(shared, model_id)
        samples = folder / f"{name}_samples.jsonl"
        lines = "".join(instance_lines(shared, label, _head(shared, model_id))).encode()
        details = {
            "format": "jsonl",
            "file_path": samples.as_posix(),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(lines).hexdigest(),
            "total_rows": lines.count(b"\n"),
        }
        log = {**_log(shared, label), "detailed_evaluation_results": details}
        yield folder / f"{name}.json", (json.dumps(log, indent=1, allow_nan=False) + "\n").encode()
        yield samples, lines


def _file_name(shared: SharedRun, model_id: str) -> str:
    """Return the UUID of a model's files; a later export of the same comparison by the same evaluator replaces them."""
    parts = [shared.results.run.comparison_key, model_id, shared.facts["evaluator"]]
    return str(uuid.UUID(bytes=hashlib.sha256(json.dumps(parts).encode()).digest()[:16], version=4))


def _head(shared: SharedRun, model_id: str) -> dict[str, str]:
    """Return what the lines of the images must have in common with the scores."""
    return {"evaluation_id": f"{shared.collection}/{model_id}/{shared.created}", "model_id": model_id}


def _log(shared: SharedRun, label: str) -> dict[str, Any]:
    cells, model_id = shared.results.cells_of(label), shared.model_ids[label]
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _head(shared, model_id)["evaluation_id"],
        "retrieved_timestamp": str(shared.created),
        "source_metadata": _source(shared),
        "eval_library": {"name": "breakhis-harness", "version": _versions(cells, "breakhis-harness")},
        "model_info": _model(label, model_id, cells),
        "evaluation_results": [_result(shared, score) for score in shared.scores(label)],
    }


def _source(shared: SharedRun) -> dict[str, Any]:
    run, url = shared.results.run, shared.facts.get("source_url")
    details = {
        "protocol": run.protocol.name,
        "comparison_key": run.comparison_key,
        "leaky": str(run.leaky).lower(),
        "notes": " ".join(shared.notes),
    }
    return {
        "source_name": run.name,
        "source_type": "evaluation_run",
        "source_organization_name": shared.facts["evaluator"],
        "evaluator_relationship": shared.facts["relationship"],
        "additional_details": {**details, **({"source_url": url} if url else {})},
    }


def _model(label: str, model_id: str, cells: list[DoneRecord]) -> dict[str, Any]:
    first = cells[0]
    details = {
        "deployment_type": "unknown" if first.scored else "self_deployed",
        "model_availability": "unknown",
        "plugin": first.plugin.model,
        "distribution": first.plugin.distribution,
        "options": json.dumps(without_folders(first.options), sort_keys=True),
        "parameters": "unknown" if first.parameters is None else str(first.parameters),
        "device": _joined(str(cell.device.get("name", "unknown")) for cell in cells),
        "torch": _versions(cells, "torch"),
    }
    return {"name": label, "id": model_id, "additional_details": details}


def _result(shared: SharedRun, score: Score) -> dict[str, Any]:
    return {
        "evaluation_result_id": result_id(score.metric, score.stratum),
        "evaluation_name": evaluation_name(shared, score.stratum),
        "source_data": _data(shared, score),
        "metric_config": _metric(shared, score),
        "score_details": _score(shared, score),
    }


def _data(shared: SharedRun, score: Score) -> dict[str, Any]:
    test = shared.results.tested
    count = int(test.loc[test["stratum"] == score.stratum, "image"].nunique())
    hub, url, generated = shared.facts.get("hub_dataset"), shared.facts.get("dataset_url"), shared.results.generated
    if hub and not generated:
        return {"dataset_name": shared.dataset, "source_type": "hf_dataset", "hf_repo": hub, "samples_number": count}
    details = {"dataset_name": shared.dataset, "additional_details": {"samples_number": str(count)}}
    if url and not generated:
        return {**details, "source_type": "url", "url": [url]}
    return {**details, "source_type": "other"}


def _metric(shared: SharedRun, score: Score) -> dict[str, Any]:
    title, protocol = shared.results.title(score.metric), shared.results.run.protocol.title
    return {
        "evaluation_description": f"{title} of test images: {protocol}",
        "metric_id": _COMMON_NAMES.get(score.metric, score.metric),
        "metric_name": title,
        "metric_unit": "proportion",
        "lower_is_better": not METRIC_NAMES[score.metric].higher_is_better,
        "score_type": "continuous",
        "min_score": 0,
        "max_score": 1,
        "additional_details": {"name_in_harness": score.metric},
    }


def _score(shared: SharedRun, score: Score) -> dict[str, Any]:
    details: dict[str, Any] = {"score": score.value, "details": {"notes": " ".join(shared.notes)}}
    if score.low is None:
        return details
    patients = shared.analysis.tested[score.stratum][score.label].patients
    bounds = {"lower": score.low, "upper": score.high, "confidence_level": LEVEL, "method": _INTERVAL}
    uncertainty = {
        "confidence_interval": bounds,
        "num_samples": len(patients.groups),
        "num_bootstrap_samples": len(patients.weights),
    }
    return {**details, "uncertainty": uncertainty}


def _versions(cells: list[DoneRecord], library: str) -> str:
    return _joined(cell.versions.get(library, "unknown") for cell in cells)


def _joined(values: Iterable[str]) -> str:
    return " and ".join(sorted(set(values)))
