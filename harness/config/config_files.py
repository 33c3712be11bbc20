"""Config files: shipped ones by name, others by path, with overrides applied."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from harness.cache import Note
from harness.config.overrides import VARIANTS, parse_override, set_key
from harness.config.renamed_keys import present_override, refuse_doubled_keys, renamed_key_notes, with_present_keys
from harness.config.run_config import RunConfig, parse_config
from harness.config.strict_yaml import MAX_BYTES, parse_yaml
from harness.errors import ConfigError, did_you_mean

_SHIPPED = "harness_configs"
_TAKES_THE_PLACE_OF = {"protocol": ("protocols",), "protocols": ("protocol", VARIANTS), VARIANTS: ("protocols",)}


def load_config(where: str, overrides: tuple[str, ...] = (), note: Note | None = None) -> tuple[str, RunConfig]:
    """Read a config and apply overrides.

    Args:
        where: A path, or the name of a shipped config.
        overrides: ``key=value`` with a dotted key and a YAML value as
            :func:`~harness.config.strict_yaml.parse_yaml` reads it.
        note: Is told of keys that have another name now.

    Returns:
        The config's name (its file's, without the ending) and the config.

    Raises:
        ConfigError: No such config, no YAML, an unknown key or a bad value.
    """
    name, content = _read(where)
    return name, read_config(content, overrides, where, name, note)


def read_config(
    content: bytes, overrides: tuple[str, ...], where: str, name: str, note: Note | None = None
) -> RunConfig:
    """Read the text of a config and apply overrides; see :func:`load_config`.

    Args:
        content: YAML.
        overrides: ``key=value``.
        where: What to call the text in an error.
        name: The config's name.
        note: Is told of keys that have another name now.
    """
    values = parse_yaml(content, where)
    if not isinstance(values, dict):
        raise ConfigError(f"{where} holds no mapping of keys to values")
    if "protocol" in values and "protocols" in values:
        raise ConfigError(f"{where} has both protocol and protocols - keep one of them")
    given = [parse_override(override) for override in overrides]
    if note is not None:
        for renamed in renamed_key_notes(values | dict(given), where):
            note(renamed)
    refuse_doubled_keys(values, where)
    values = with_present_keys(values)
    for key, value in given:
        for other in _TAKES_THE_PLACE_OF.get(key.partition(".")[0], ()):
            values.pop(other, None)
        set_key(values, *present_override(key, value))
    return parse_config(values, f"config '{name}'")


def shipped_configs() -> list[str]:
    """Names of the configs that ``harness run NAME`` finds."""
    return sorted(
        file.name.removesuffix(".yaml") for file in resources.files(_SHIPPED).iterdir() if file.name.endswith(".yaml")
    )


def _read(where: str) -> tuple[str, bytes]:
    path = Path(where)
    try:
        if path.is_file():
            return _name_of(path), _content_of(path)
    except OSError as error:
        raise ConfigError(f"cannot read {where}: {error.strerror}") from error
    known = shipped_configs()
    if where in known:
        return where, (resources.files(_SHIPPED) / f"{where}.yaml").read_bytes()
    raise ConfigError(f"no config '{where}'{did_you_mean(where, known)} (shipped: {', '.join(known)}; or give a path)")


def _name_of(path: Path) -> str:
    """Return the file's name without its ending: the run folder's name, if nobody gives another."""
    if not path.stem.strip("."):
        raise ConfigError(f"{path} has no name that a run folder could bear - rename it")
    return path.stem


def _content_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
