"""A run's config: YAML, checked whole before anything else happens."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from harness.data.settings import DataSettings, PixelSettings, SourceSettings
from harness.errors import ConfigError, did_you_mean
from harness.execution.yaml_text import MAX_BYTES, parse_yaml
from harness.plugin_api.schedule import Schedule
from harness.protocol.protocols import PROTOCOLS, ProtocolName
from harness.settings import Settings, parse_settings
from harness.text import printable

_SHIPPED = "harness_configs"
_MAX_KEY_DOTS = 20
T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) != len(values):
        raise ValueError("a value stands twice")
    return values


class ModelSettings(Settings):
    """One row of the tables.

    Attributes:
        plugin: Name of the model; the label by default.
        options: The model's options.
    """

    plugin: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class RunConfig(Settings):
    """Everything that decides a run.

    Attributes:
        protocol: Who trains, who validates, who is tested.
        protocols: Instead of one protocol, several, the strictest last: a run each, and a table of what each adds.
        allow_leak: Compute figures although patients or pictures stand on two sides; tables are then headed LEAKY.
        seeds: Of splits and training; one whole comparison a seed.
        magnifications: Which to train and test on, each by itself.
        device: ``auto`` takes CUDA where there is any.
        threads: CPU threads of a cell; the bits of its results depend on it.
        limit: Images per class and side, to try things out; results are marked as not comparable.
        data: Which images.
        pixels: How files become pixels.
        schedule: The budget that every model gets.
        sources: Source sets by name, for models that are pre-trained.
        models: Label to model.
        reference: The model that table 3 compares the others with; the paper's plain DenseNet by default.
    """

    protocol: ProtocolName = "accession-5fold"
    protocols: Annotated[tuple[ProtocolName, ...], Field(min_length=2), AfterValidator(_distinct)] | None = None
    allow_leak: bool = False
    seeds: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)] = (0,)
    magnifications: Annotated[
        tuple[Literal[40, 100, 200, 400], ...], Field(min_length=1), AfterValidator(_distinct)
    ] = (40, 100, 200, 400)
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = "auto"
    threads: int = Field(1, ge=1, le=1024)
    limit: int | None = Field(None, ge=1)
    data: DataSettings = DataSettings()
    pixels: PixelSettings = PixelSettings()
    schedule: Schedule = Schedule()
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(min_length=1)
    reference: str | None = None

    def model_of(self, label: str) -> tuple[str, dict[str, Any]]:
        """Return the plugin name and options behind a label; ``timm:resnet18`` is short for an option ``name``."""
        settings = self.models[label]
        if settings.plugin is not None:
            return settings.plugin, settings.options
        plugin, colon, name = label.partition(":")
        return plugin, {"name": name, **settings.options} if colon else settings.options

    def under(self, protocol: ProtocolName) -> RunConfig:
        """Return the config of one of its protocols; only a protocol that leaks by design keeps its leave to leak."""
        allowed = self.allow_leak and PROTOCOLS[protocol].leaks
        return self.model_copy(update={"protocol": protocol, "protocols": None, "allow_leak": allowed})

    def with_models(self, labels: list[str]) -> RunConfig:
        """Return the config with only these models.

        Raises:
            ConfigError: A label is not in the config.
        """
        for label in labels:
            if label not in self.models:
                known = ", ".join(self.models)
                raise ConfigError(
                    f"no model '{label}' in the config{did_you_mean(label, self.models)} (it has {known})"
                )
        reference = self.reference if self.reference in labels else None
        return self.model_copy(
            update={"models": {label: self.models[label] for label in labels}, "reference": reference}
        )


def load_config(where: str, overrides: tuple[str, ...] = ()) -> tuple[str, RunConfig]:
    """Read a config and apply overrides.

    Args:
        where: A path, or the name of a shipped config.
        overrides: ``key=value`` with a dotted key and a YAML value, read as :func:`~.yaml_text.parse_yaml` says.

    Returns:
        The config's name (its file's, without the ending) and the config.

    Raises:
        ConfigError: No such config, no YAML, an unknown key or a bad value.
    """
    name, content = _read(where)
    return name, read_config(content, overrides, where, name)


def read_config(content: bytes, overrides: tuple[str, ...], where: str, name: str) -> RunConfig:
    """Read the text of a config and apply overrides; see :func:`load_config`.

    Args:
        content: YAML.
        overrides: ``key=value``.
        where: What to call the text in an error.
        name: The config's name.
    """
    values = parse_yaml(content, where)
    if not isinstance(values, dict):
        raise ConfigError(f"{where} holds no mapping of keys to values")
    if "protocol" in values and "protocols" in values:
        raise ConfigError(f"{where} has both protocol and protocols - keep one of them")
    for override in overrides:
        _override(values, override)
    return parse_config(values, f"config '{name}'")


def parse_config(values: dict[str, Any], where: str) -> RunConfig:
    """Validate a config; a model without settings may be written ``densenet:`` or ``densenet: {}``."""
    if isinstance(values.get("models"), dict):
        models = {str(label): {} if model is None else model for label, model in values["models"].items()}
        values = {**values, "models": models}
    config = parse_settings(RunConfig, values, where)
    if config.reference is not None and config.reference not in config.models:
        raise ConfigError(
            f"{where}: reference '{config.reference}' is no model of it (it has {', '.join(config.models)})"
        )
    return config


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


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"-o {printable(override)[:100]}: expected key=value, such as -o schedule.epochs=20")
    if any("\ud800" <= character <= "\udfff" for character in key):
        raise ConfigError(f"-o {printable(key)[:100]}: the key is not UTF-8 text")
    if key.count(".") > _MAX_KEY_DOTS:
        raise ConfigError(f"-o {key[:40]}...: the key has more than {_MAX_KEY_DOTS} dots")
    value = parse_yaml(text, f"-o {printable(key)[:100]}: the value")
    values.pop({"protocol": "protocols", "protocols": "protocol"}.get(key, ""), None)  # one takes the other's place
    target, rest = values, key
    while (step := _step(target, rest)) is not None:
        if not isinstance(target.get(step), dict):
            target[step] = {}
        target, rest = target[step], rest.removeprefix(f"{step}.")
    target[rest] = value


def _step(target: dict[str, Any], key: str) -> str | None:
    """Return the part of a dotted key to go into next: a label may have dots itself (``timm:resnet18.a1_in1k``)."""
    inside = [str(known) for known in target if key.startswith(f"{known}.")]
    if inside:
        return max(inside, key=len)
    return None if key in target or "." not in key else key.partition(".")[0]
