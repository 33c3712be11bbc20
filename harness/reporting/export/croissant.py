"""Croissant metadata of who is in which fold: the run's manifest and splits, with checksums and the types of fields.

Version 1.0 of https://docs.mlcommons.org/croissant/docs/croissant-spec.html: what hosts of data sets read today.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import DataError
from harness.protocol.names import TEST, TRAIN, VALIDATION
from harness.reporting.export.shared_run import Files, SharedRun
from harness.store.columns import MAX_TABLE_BYTES
from harness.store.json_files import read_file

METADATA = "croissant.json"
_IMAGES, _SPLITS = "manifest.parquet", "splits.parquet"
_CROISSANT = "http://mlcommons.org/croissant/"
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references"),
    *("regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": _CROISSANT,
    "rai": f"{_CROISSANT}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_SIDES = {TRAIN: "cr:TrainingSplit", VALIDATION: "cr:ValidationSplit", TEST: "cr:TestSplit"}
_MEANINGS = {
    "name": "Name of the image file without its ending.",
    "image": "Name of the image file without its ending.",
    "file": "Path of the image below the folder of the images.",
    "group": "What is kept apart: the patient, or the pathology case as far as names tell.",
    "subgroup": "The smallest of what the image belongs to, such as the slide.",
    "subtype": "What the class divides into, such as the type of the tumour.",
    "stratum": "What the tables have a column for, such as the magnification.",
    "facts": "Anything else that the data set says of the image, as JSON.",
    "accession": "Pathology case that the slide belongs to: the patient, as far as names tell.",
    "slide": "Slide that the image was taken of.",
    "type": "Type of the tumour.",
    "magnification": "Magnification.",
    "label": "Class of the image, by its number.",
    "sha256": "Checksum of the image file.",
    "size": "Size of the image file in bytes.",
    "state": "Whether the image takes part (used), or why not.",
    "fold": "Number of the fold.",
    "seed": "Seed of the division.",
    "side": "Side on which the image stands in this fold.",
}
_REFERENCES = {
    ("images", "label"): "classes/label",
    ("splits", "image"): "images/name",
    ("splits", "side"): "sides/name",
}


def croissant_files(shared: SharedRun) -> Files:
    """Yield the metadata and the files that it describes.

    Raises:
        DataError: One of them has gone, or cannot be read.
    """
    contents = {name: _content(shared.folder / name) for name in (_IMAGES, _SPLITS)}
    metadata = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": f"{_CROISSANT}1.0",
        **_head(shared),
        "distribution": [_file(name, content) for name, content in contents.items()],
        "recordSet": _record_sets(shared, contents),
    }
    yield Path(METADATA), (json.dumps(metadata, indent=1, allow_nan=False) + "\n").encode()
    yield from ((Path(name), content) for name, content in contents.items())


def _content(file: Path) -> bytes:
    content = read_file(file, MAX_TABLE_BYTES)
    if content is None:
        raise DataError(f"cannot read {file}: it is not there")
    return content


def _head(shared: SharedRun) -> dict[str, Any]:
    run, facts = shared.results.run, shared.facts
    return {
        "name": shared.results.heading(f"{shared.dataset}: division {run.protocol.name}"),
        "description": " ".join([_summary(shared), *shared.notes]),
        "url": facts["source_url"],
        "license": facts["license"],
        # a person would be one too, but the name alone does not tell which
        "creator": {"@type": "sc:Organization", "name": facts["evaluator"]},
        "datePublished": facts["published"],
    }


def _summary(shared: SharedRun) -> str:
    run = shared.results.run
    return (
        f"Who trains, validates and is tested: {run.protocol.title}. Data set: {shared.dataset}. "
        f"{_IMAGES} has a row an image, {_SPLITS} a row an image, fold and seed; the images themselves are not "
        f"part of it. Fingerprint of the division: {run.comparison.splits}."
    )


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{len(content)} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _record_sets(shared: SharedRun, contents: dict[str, bytes]) -> list[dict[str, Any]]:
    named = [{"classes/label": label, "classes/name": name} for label, name in enumerate(shared.results.classes)]
    sides = [{"sides/name": side, "sides/url": url} for side, url in _SIDES.items()]
    return [
        _enumeration("sides", "cr:Split", {"name": "sc:Text", "url": "sc:URL"}, sides),
        _enumeration("classes", "sc:Enumeration", {"label": "sc:Integer", "name": "sc:Text"}, named),
        _table("images", _IMAGES, contents[_IMAGES], ("file",)),
        _table("splits", _SPLITS, contents[_SPLITS], ("image", "fold", "seed")),
    ]


def _enumeration(name: str, kind: str, fields: dict[str, str], data: list[dict[str, Any]]) -> dict[str, Any]:
    typed = [
        {"@type": "cr:Field", "@id": f"{name}/{field}", "name": field, "dataType": of} for field, of in fields.items()
    ]
    return {**_record_set(name, next(iter(fields))), "dataType": kind, "field": typed, "data": data}


def _table(name: str, file: str, content: bytes, key: Iterable[str]) -> dict[str, Any]:
    """Describe a table by its own columns, whatever version of the harness has written it."""
    fields = [_field(name, file, column) for column in pq.read_schema(pa.BufferReader(content))]
    return {**_record_set(name, *key), "field": fields}


def _record_set(name: str, *key: str) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": [{"@id": f"{name}/{field}"} for field in key]}


def _field(record_set: str, file: str, column: pa.Field) -> dict[str, Any]:
    described = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": column.name,
        "description": _MEANINGS.get(column.name, column.name),
        "dataType": _data_type(column),
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
    target = _REFERENCES.get((record_set, column.name))
    return {**described, "references": {"field": {"@id": target}}} if target else described


def _data_type(column: pa.Field) -> str | list[str]:
    if column.name == "label":
        return ["sc:Integer", "cr:Label"]
    if pa.types.is_integer(column.type):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(column.type) else "sc:Text"
