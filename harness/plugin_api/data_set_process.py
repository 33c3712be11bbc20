"""The process in which a data set of a plugin is asked: a question in JSON on its input, the answer on its output."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from harness.data.description import ONE_STRATUM, DataSetDescription
from harness.errors import ConfigError, DataError, HarnessError, PluginError, UsageError, did_you_mean
from harness.plugin_api import hookspecs
from harness.plugin_api.data_set import DataSet, ImageRecord, PublishedFile, check_data_set
from harness.plugin_api.installed import VARIABLE, installed_plugins
from harness.plugin_api.reference import PluginReference, import_plugin
from harness.settings import parse_settings

ERRORS: Mapping[str, type[HarnessError]] = {kind.__name__: kind for kind in (ConfigError, DataError, UsageError)}
"""What keeps its kind on the way to the host; anything else is the plugin's fault."""


def main() -> None:
    """Answer one question; whatever the plugin prints goes nowhere."""
    question = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    try:
        answer = json.dumps(_answer(question))
    except HarnessError as error:
        answer = json.dumps({"error": type(error).__name__, "message": str(error)})
    except BaseException as error:  # noqa: BLE001 - a plugin's own code
        answer = json.dumps({"error": "PluginError", "message": f"{type(error).__name__}: {error}"})
    with out:
        out.write(answer)


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    references = [_reference(values) for values in question["plugins"]]
    kind = _find(references, question["set"])
    options = parse_settings(kind.Options, question["options"], f"options of data set '{kind.name}'")
    data_set = kind(options)
    answers = {"images": _images, "published": _published, "generated": _generated}
    return {"options": options.model_dump(mode="json"), **answers[question["ask"]](data_set, question)}


def _images(data_set: DataSet, question: Mapping[str, Any]) -> dict[str, Any]:
    files: Sequence[str] = list(question["digests"])
    records = list(data_set.records(Path(question["folder"]), files))
    digests = {record.name: question["digests"].get(record.file, "") for record in records}
    return {
        "description": _described(data_set, digests, generated=question["generated"]),
        "records": [_row(record) for record in records],
        "notes": list(data_set.notes(files)),
    }


def _published(data_set: DataSet, _: Mapping[str, Any]) -> dict[str, Any]:
    files = list(data_set.published_files())
    return {
        "description": _described(data_set, {}, generated=True),
        "files": [[_row(file.record), file.sha256] for file in files],
        "archive": data_set.archive,
    }


def _generated(data_set: DataSet, question: Mapping[str, Any]) -> dict[str, Any]:
    slides = data_set.generated(question["groups"], question["images"], like_published=question["like_published"])
    return {"slides": [vars(slide) for slide in slides]}


def _described(data_set: DataSet, digests: Mapping[str, str], *, generated: bool) -> dict[str, Any]:
    published = list(data_set.published_files())
    return DataSetDescription(
        name=data_set.name,
        classes=list(data_set.classes),
        groups=list(data_set.groups),
        strata=list(data_set.strata) or [ONE_STRATUM],
        subtype=data_set.subtype or None,
        hold_outs=data_set.hold_outs or None,
        naming=data_set.naming or None,
        published_images=_count_images(data_set, published),
        published_cases=_count_cases(data_set, published),
        notes=list(data_set.findings(digests, generated=generated)),
    ).model_dump(mode="json")


def _count_images(data_set: DataSet, published: Sequence[PublishedFile]) -> dict[str, list[int]]:
    """Count published images by stratum and class."""
    counts = Counter((file.record.stratum or ONE_STRATUM, file.record.label) for file in published)
    strata = dict.fromkeys(stratum for stratum, _ in counts)
    return {stratum: [counts[stratum, label] for label in data_set.classes] for stratum in strata}


def _count_cases(data_set: DataSet, published: Sequence[PublishedFile]) -> list[int]:
    """Count the smallest groups under a subtype that are published of each class."""
    cases = {(file.record.label, file.record.subtype, file.record.groups[-1]) for file in published}
    counts = Counter(label for label, _, _ in cases)
    return [counts[label] for label in data_set.classes] if published else []


def _row(record: ImageRecord) -> dict[str, Any]:
    groups: Any = record.groups
    if isinstance(groups, str):
        raise PluginError(f"groups of {record.file} are a tuple of texts, not {groups!r}")
    hold_outs = None if record.hold_outs is None else sorted(record.hold_outs)
    return {**vars(record), "groups": list(record.groups), "facts": dict(record.facts), "hold_outs": hold_outs}


def _reference(values: Mapping[str, Any]) -> PluginReference:
    file = values["file"]
    return PluginReference(values["name"], values["module"], Path(file) if file else None)


def _find(references: Sequence[PluginReference], wanted: str) -> type[DataSet]:
    """Return a data set by name: of a plugin file first, then of the plugin of that name, then of any other."""
    known: list[str] = []
    failures: list[str] = []
    for reference in sorted(references, key=lambda one: (one.file is None, one.name != wanted)):
        try:
            found = {kind.name: kind for kind in registered_data_sets(reference)}
        except BaseException as error:  # noqa: BLE001 - a plugin's own code
            failures.append(f"{reference}: {error or type(error).__name__}")
            continue
        if wanted in found:
            return found[wanted]
        known += found
    failed = f"; could not be loaded: {'; '.join(failures)}" if failures else ""
    left_out = [plugin.name for plugin in installed_plugins() if not plugin.wanted]
    limited = f"; {VARIABLE} leaves out {', '.join(left_out)}" if left_out else ""
    names = ", ".join(sorted(known)) or "none"
    raise UsageError(f"no data set '{wanted}'{did_you_mean(wanted, known)} (known: {names}{failed}{limited})")


def registered_data_sets(reference: PluginReference) -> Iterator[type[DataSet]]:
    """Import a plugin and yield the data sets that it registers.

    Raises:
        PluginError: It registers something that is none, or cannot be used.
    """
    module = import_plugin(reference)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    found: list[type[DataSet]] = []
    manager.hook.harness_register_data_sets(register=found.append)
    yield from map(check_data_set, found)


if __name__ == "__main__":
    main()
