"""The config of a run, validated as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from harness.config.data_settings import DataSettings, PixelSettings, SourceSettings
from harness.config.overrides import VARIANTS, set_key
from harness.config.renamed_keys import with_present_keys
from harness.errors import ConfigError, did_you_mean
from harness.plugin_api.schedule import ExecutionMode, Schedule
from harness.protocol.names import GROUP_FIVE_FOLD, LEAKY_PROTOCOLS, ProtocolName
from harness.settings import Settings, parse_settings

_FOLDERS = ("tables", "figures")
_MOST_SECONDS = 1e8  # three years; what the system can wait for has an end
StudyKind = Literal["protocols", "variants"]
_Stratum = Annotated[str, Field(min_length=1, max_length=100)]
T = TypeVar("T")


def names_a_run(name: str) -> bool:
    """True where a name can be that of a run's folder in a study: letters, digits, dots and dashes."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name) is not None and name not in _FOLDERS


def _run_name(name: str) -> str:
    if not names_a_run(name):
        raise ValueError(
            "a variant's name is its run's folder: letters, digits, dots and dashes, a letter or digit first, and not "
            f"{' or '.join(_FOLDERS)}"
        )
    return name


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


class RunSchedule(Schedule):
    """The budget that every model of a run gets, and how its training steps are executed.

    Attributes:
        execution_mode: ``eager``; ``captured`` as CUDA graphs; ``compiled`` by torch.compile, and captured on CUDA.
            ``auto`` captures on CUDA. What cannot be done falls back to eager, and says why.
    """

    execution_mode: ExecutionMode = "auto"

    def budget(self) -> Schedule:
        """Return the budget alone: what models see, and what a comparison must have in common."""
        return Schedule(**self.model_dump(exclude={"execution_mode"}))


class RunConfig(Settings):
    """Everything that decides a run.

    Attributes:
        protocol: Who trains, who validates, who is tested.
        protocols: Instead of one protocol, several, the strictest last: a run each, and a table of what each adds.
        variants: Name to overrides by dotted key, such as ``{stained: {}, unstained: {pixels.stain: none}}``: a run
            each, and a table of what each adds; the first is what the others are compared with.
        allow_leak: Compute numbers although patients or pictures stand on two sides; tables are then headed LEAKY.
        seeds: Of splits and training, 0 to 2**32 - 1; one whole comparison a seed.
        strata: Which of the data set's strata to train and test on, each by itself, such as ``[200x]``; all by default.
        device: ``auto`` takes CUDA where there is any.
        threads: CPU threads of a cell; the bits of its results depend on it.
        checkpoint_minutes: How long a cell may train without leaving what it needs to go on after an interruption.
        features_gb: Disk, in 10^9 bytes, that features of frozen layers may take in the cache; cells make what does not
            fit by themselves, and 0 turns sharing off.
        cell_seconds: How long a cell may take before it is ended as failed; no limit by default.
        other_versions: What becomes of a Ray node, or of the machine of a shard, that has other versions of Python or
            the libraries: ``refuse`` it, or ``name`` them, in the output, in its cells' records and below the tables.
            The harness and the plugins' distributions must be the same everywhere.
        limit: Images per class and side, to try things out; results are marked as not comparable.
        data: Which images.
        pixels: How files become pixels.
        schedule: The budget that every model gets, and how its steps are executed.
        sources: Source sets by name, for models that are pre-trained.
        models: Label to model.
        reference: The model that table 3 compares the others with; the paper's plain DenseNet by default.
    """

    protocol: ProtocolName = GROUP_FIVE_FOLD
    protocols: Annotated[tuple[ProtocolName, ...], Field(min_length=2), AfterValidator(_distinct)] | None = None
    variants: Annotated[dict[Annotated[str, AfterValidator(_run_name)], dict[str, Any]], Field(min_length=1)] | None = (
        None
    )
    allow_leak: bool = False
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...], Field(min_length=1), AfterValidator(_distinct)
    ] = (0,)
    strata: Annotated[tuple[_Stratum, ...], Field(min_length=1), AfterValidator(_distinct)] | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = "auto"
    threads: int = Field(1, ge=1, le=1024)
    checkpoint_minutes: float = Field(10.0, gt=0, le=1e6)
    features_gb: float = Field(20.0, ge=0, le=1e6)
    cell_seconds: float | None = Field(None, gt=0, le=_MOST_SECONDS)
    other_versions: Literal["refuse", "name"] = "refuse"
    limit: int | None = Field(None, ge=1)
    data: DataSettings = DataSettings()
    pixels: PixelSettings = PixelSettings()
    schedule: RunSchedule = RunSchedule()
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

    @staticmethod
    def plugin_of(label: str) -> str:
        """Return the name of the plugin that a label stands for where nothing else is said of it."""
        return label.partition(":")[0]

    @property
    def chosen_strata(self) -> tuple[str, ...]:
        """What tables have a column for, in their order.

        Raises:
            ValueError: It is left to the data set, which has not been asked.
        """
        if self.strata is None:
            raise ValueError("this config leaves its strata to the data set")
        return self.strata

    def of_data_set(self, strata: Sequence[str], options: Mapping[str, Any]) -> RunConfig:
        """Return the config with what it leaves to its data set.

        Args:
            strata: All of the data set's.
            options: The data set's, complete.

        Raises:
            ConfigError: It names a stratum that the data set has not.
        """
        if unknown := [stratum for stratum in self.strata or () if stratum not in strata]:
            near = did_you_mean(unknown[0], strata)
            raise ConfigError(f"no stratum '{unknown[0]}' in the data set{near} (it has {', '.join(strata)})")
        wanted = tuple(one for one in strata if self.strata is None or one in self.strata)
        data = self.data.model_copy(update={"options": dict(options)})
        return self.model_copy(update={"strata": wanted, "data": data})

    @property
    def study(self) -> StudyKind | None:
        """What the runs of a study differ in; None for a config that is one run."""
        if self.variants is not None:
            return "variants"
        return None if self.protocols is None else "protocols"

    def runs(self) -> dict[str, RunConfig]:
        """Return the config of every run of a study, by the name of its folder; none for a config that is one run.

        Raises:
            ConfigError: A variant's overrides make no config.
        """
        if self.variants is not None:
            return {name: self._varied(name, overrides) for name, overrides in self.variants.items()}
        return {protocol: self._under(protocol) for protocol in self.protocols or ()}

    def _under(self, protocol: ProtocolName) -> RunConfig:
        """Return the config of one of its protocols; only a protocol that leaks by design keeps its leave to leak."""
        allowed = self.allow_leak and protocol in LEAKY_PROTOCOLS
        return self.model_copy(update={"protocol": protocol, "protocols": None, "allow_leak": allowed})

    def _varied(self, name: str, overrides: dict[str, Any]) -> RunConfig:
        """Return the config of one of its variants."""
        where = f"variant '{name}'"
        values = self.model_dump(mode="json", exclude={"protocols", VARIANTS})
        for key, value in overrides.items():
            if key.partition(".")[0] in {"protocols", VARIANTS}:
                raise ConfigError(f"{where} sets {key}: a variant is one run, not a study")
            set_key(values, key, value)
        return parse_config(values, where)

    def with_data_folder(self, folder: Path | str | None) -> RunConfig:
        """Return the config with the images at another place; the config itself where none is named."""
        if not folder:
            return self
        data = self.data.model_copy(update={"folder": Path(folder).absolute()})
        return self.model_copy(update={"data": data})

    def added_to(self, before: RunConfig, order: Sequence[str]) -> RunConfig:
        """Return the config of a run folder that held ``before``: models and strata that were there stay.

        Args:
            before: As resolved.
            order: Of all strata of the data set.
        """
        return self.model_copy(
            update={
                "models": {**before.models, **self.models},
                "strata": tuple(one for one in order if one in {*before.chosen_strata, *self.chosen_strata}),
                "reference": self.reference or before.reference,
            }
        )

    def with_rows_of(self, other: RunConfig, order: Sequence[str]) -> RunConfig:
        """Return the config with the models and strata of another as well; for ``order`` see :meth:`added_to`."""
        return self.model_copy(
            update={
                "models": {**self.models, **other.models},
                "strata": tuple(one for one in order if one in {*self.chosen_strata, *other.chosen_strata}),
            }
        )

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


def parse_config(values: dict[str, Any], where: str) -> RunConfig:
    """Validate a config, its variants included; a model without settings may be written ``densenet:``.

    Raises:
        ConfigError: An unknown key, a bad value, or two keys that contradict each other.
    """
    if isinstance(values.get("models"), dict):
        models = {str(label): {} if model is None else model for label, model in values["models"].items()}
        values = {**values, "models": models}
    config = parse_settings(RunConfig, with_present_keys(values), where)
    if config.reference is not None and config.reference not in config.models:
        raise ConfigError(
            f"{where}: reference '{config.reference}' is no model of it (it has {', '.join(config.models)})"
        )
    if config.protocols is not None and config.variants is not None:
        raise ConfigError(f"{where} has both protocols and variants - keep one of them")
    config.runs()  # a bad variant must not come to light after the others have been trained
    return config
