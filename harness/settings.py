"""The base class of settings: frozen, typed, closed to unknown keys."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import ConfigError, did_you_mean
from harness.text import printable

_SHOWN_FAULTS = 10
_SHOWN_CHARACTERS = 100


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def parse_settings(kind: type[S], values: Any, where: str) -> S:
    """Validate ``values`` as ``kind``.

    Args:
        kind: The settings class.
        values: A mapping as read from YAML or JSON.
        where: What to call the place in an error, such as ``config 'patient'``.

    Raises:
        ConfigError: One line a fault, each with the dotted key, what was found, and the nearest known key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [_explain(kind, fault) for fault in faults[:_SHOWN_FAULTS]]
        lines += [f"and {len(faults) - _SHOWN_FAULTS} more faults"] if len(faults) > _SHOWN_FAULTS else []
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def _explain(kind: type[Settings], fault: Any) -> str:
    path = [_shortened(str(part)) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'{did_you_mean(path[-1], _known_keys(kind, path[:-1]))}"
    return f"'{key}' = {_shortened(repr(fault['input']))}: {fault['msg']}" if key else str(fault["msg"])


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _known_keys(kind: type[Settings], path: list[str]) -> list[str]:
    """The field names of the settings class that ``path`` leads to, or none where it leads out of settings classes."""
    current: Any = kind
    for part in path:
        field = current.model_fields.get(part)
        options = getattr(field.annotation, "__args__", (field.annotation,)) if field else ()
        current = next((o for o in options if isinstance(o, type) and issubclass(o, Settings)), None)
        if current is None:
            return []
    return list(current.model_fields)
