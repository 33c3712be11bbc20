"""What a run cannot know of itself and an export must say: it is asked for, never made up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Literal, TypedDict, get_args

from harness.errors import UsageError

Format = Literal["hugging-face", "every-eval-ever", "croissant"]
FORMATS: tuple[Format, ...] = get_args(Format)
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
"""The words of Every Eval Ever for who evaluates: the models' author, somebody else, both together."""

_NAME = r"[A-Za-z0-9](?:[\w.-]*[\w-])?"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)


class Facts(TypedDict, total=False):
    """Keyword arguments of :func:`~harness.api.export.export_run`; which are needed depends on the format.

    Attributes:
        dataset: Name of the data set; generated images have one of their own.
        dataset_url: Its page.
        hub_dataset: Its repository on the Hugging Face Hub, a registered benchmark.
        hub_revision: The commit of that repository.
        hub_task: The benchmark's task, with ``{metric}`` and ``{stratum}`` where they stand in its name.
        model_id: Repository of a model on the Hub, with ``{model}`` where the model's label stands.
        evaluator: The person or organisation that made the run.
        relationship: The evaluator's to the models, one of :data:`RELATIONSHIPS`.
        source_url: The page where the run is published.
        license: Of the published files, best a URL.
        published: The day on which they are published, such as ``2026-12-31``.
    """

    dataset: str
    dataset_url: str
    hub_dataset: str
    hub_revision: str
    hub_task: str
    model_id: str
    evaluator: str
    relationship: str
    source_url: str
    license: str
    published: str


MEANINGS: Mapping[str, str] = {
    "dataset": "Name of the data set; generated images need none.",
    "dataset_url": "Page of the data set.",
    "hub_dataset": "The benchmark's repository on the Hugging Face Hub, OWNER/NAME.",
    "hub_revision": "Commit of that repository.",
    "hub_task": "Task of the benchmark; {metric} and {stratum} are filled in.",
    "model_id": "Repository of a model, OWNER/NAME; {model} is filled in.",
    "evaluator": "Who made the run: a person or an organisation.",
    "relationship": f"The evaluator's to the models: {', '.join(RELATIONSHIPS)}.",
    "source_url": "Page where the run is published.",
    "license": "Licence of the published files, best a URL.",
    "published": "Day of publication, such as 2026-12-31.",
}
"""What each fact is, for the command line and for errors."""

NEEDED: Mapping[Format, tuple[str, ...]] = {
    "hugging-face": ("hub_dataset", "hub_task", "model_id"),
    "every-eval-ever": ("dataset", "model_id", "evaluator", "relationship"),
    "croissant": ("dataset", "evaluator", "license", "source_url", "published"),
}
"""The facts without which a format cannot be written."""


def check_facts(facts: Facts, formats: Iterable[Format], *, generated: bool) -> None:
    """Refuse what is missing or cannot be right.

    Args:
        facts: As given.
        formats: What is to be written.
        generated: The images are generated, and need no name.

    Raises:
        UsageError: A fact is missing, or is not of its kind; the option of the command line is named.
    """
    given: Mapping[str, Any] = facts
    known = {"dataset"} if generated else set()
    wanted = {how: [name for name in NEEDED[how] if name not in known and not given.get(name)] for how in formats}
    lacking = [f"{how} needs {', '.join(map(option, names))}" for how, names in wanted.items() if names]
    if lacking:
        named = dict.fromkeys(name for names in wanted.values() for name in names)
        meanings = " ".join(f"{option(name)}: {MEANINGS[name]}" for name in named)
        raise UsageError(f"{'; '.join(lacking)} - no run can know it. {meanings}")
    for fault in _faults(given):
        raise UsageError(fault)


def option(name: str) -> str:
    """Return the option of the command line that gives a fact."""
    return f"--{name.replace('_', '-')}"


def is_repository(name: str) -> bool:
    """True for ``OWNER/NAME`` as the hub allows it, which is then also a safe path."""
    return _REPOSITORY.fullmatch(name) is not None


def _faults(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        right, expected = _KINDS.get(name, (_is_text, "text on one line"))
        if not right(str(value)):
            yield f"{option(name)} '{value}' is not {expected}. {MEANINGS.get(name, '')}".rstrip()


def _is_text(value: str) -> bool:
    return bool(value.strip()) and value.isprintable()


def _is_url(value: str) -> bool:
    return re.fullmatch(r"https?://[^\s/]+\S*", value) is not None


def _is_day(value: str) -> bool:
    try:
        return re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_commit(value: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", value) is not None


def _is_pattern(value: str) -> bool:
    return is_repository(value.replace("{model}", "model"))


_KINDS = {
    "dataset_url": (_is_url, "a URL"),
    "source_url": (_is_url, "a URL"),
    "hub_dataset": (is_repository, "OWNER/NAME"),
    "hub_revision": (_is_commit, "a commit of 40 hexadecimal digits"),
    "model_id": (_is_pattern, "OWNER/NAME"),
    "relationship": (RELATIONSHIPS.__contains__, "one of these"),
    "published": (_is_day, "a day"),
}
