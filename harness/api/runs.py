"""Running a config, and estimating what that would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from harness.api.run_plugins import RunPlugins
from harness.cache import Cache
from harness.config.config_files import load_config
from harness.config.run_config import RunConfig, StudyKind, parse_config
from harness.errors import UsageError
from harness.execution.executor import ExecutorChoice, ExecutorName
from harness.execution.outcome import Outcome
from harness.locations import cache_folder, data_folder, results_folder
from harness.planning.image_set import scan_images
from harness.planning.kept_cells import kept_cells
from harness.planning.observer import Observer
from harness.planning.splits import divide
from harness.reporting.publish import publish
from harness.reporting.study import publish_study
from harness.reporting.table import Table
from harness.store.run_store import RunStore
from harness.store.schema import CellRecord
from harness.store.shards import Shard
from harness.store.study import Study, begin_study

if TYPE_CHECKING:  # torch: a run in which every cell is kept does without
    from harness.execution.estimate import Estimate
    from harness.execution.measurements import StudyMeasurements
    from harness.execution.observer_request import ChosenObserver
    from harness.planning.plan import Run


class RunOptions(TypedDict, total=False):
    """Keyword arguments of :func:`run` and :func:`estimate`; what is left out is the config's or the default.

    Attributes:
        overrides: ``key=value`` each, as ``-o`` takes them.
        data: Folder of the images.
        out: Run folder; ``$HARNESS_RESULTS/<config>`` by default.
        models: Labels of the only models to run, of the config or of any that is installed (``timm:resnet18``).
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        jobs: Cells at once, 1 by default; None for as many as pay.
        executor: What runs the cells: ``local``, worker processes of this machine, or ``ray``, a Ray cluster.
        ray_address: Where the cluster is: ``auto`` (the default), ``HOST:PORT``, or ``local`` for one of this machine
            that is started for the run.
        plugins: Plugin files, whose models run too.
        observers: What else watches the run: ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE`` each, of plugins.
        limit: Images per class and side, to try things out; results are marked as not comparable.
        fresh: Move the old cells aside first.
        wait: Wait for another process that is at work in the run folder, instead of refusing.
        shard: Compute this part of the cells alone, ``2/4``, into a run folder of its own:
            ``$HARNESS_RESULTS/<config>-2-of-4`` by default. No tables are written; :func:`harness.merge` puts shards
            together.
    """

    overrides: Sequence[str]
    data: Path | str | None
    out: Path | str | None
    models: Sequence[str] | None
    device: str | None
    jobs: int | None
    executor: ExecutorName
    ray_address: str | None
    plugins: Sequence[Path]
    observers: Sequence[str]
    limit: int | None
    fresh: bool
    wait: bool
    shard: str | None


@dataclass(frozen=True)
class RunResult:
    """What a call of :func:`run` has come to.

    Attributes:
        folder: The run's, or the study's.
        outcomes: How each run ended, by its folder; one for a config that is one run.
        tables: The tables that were written, by name: ``3``, ``differences`` and so on of a run, ``leak`` or
            ``ablation`` of a study; none before a cell is finished, and none of a shard.
    """

    folder: Path
    outcomes: dict[Path, Outcome]
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """Why cells have failed, by name."""
        return {cell: why for outcome in self.outcomes.values() for cell, why in outcome.failures.items()}


def run(config: str | Path, observer: Observer | None = None, **options: Unpack[RunOptions]) -> RunResult:
    """Train and evaluate every model of a config, and write its tables; an interrupted run goes on where it stopped.

    On systems that start processes anew a script that calls this needs the usual ``__main__`` guard.

    Args:
        config: A path, or the name of a shipped config.
        observer: Is told of every step; nobody by default.
        **options: See :class:`RunOptions`.

    Raises:
        HarnessError: Of the kind that says what is wrong. Failed cells raise nothing; the result names them.
    """
    request = RunRequest.of(config, observer or Observer(), options)
    study = request.begin_study()
    ended = {folder: request.compute(folder, one) for folder, one in request.runs.items()}
    outcomes = {folder: outcome for folder, (outcome, _) in ended.items()}
    if request.shard is not None or not all(outcome.computed or outcome.kept for outcome in outcomes.values()):
        return RunResult(request.folder, outcomes)
    if study is not None:
        name, table = publish_study(study, request.cache)
        return RunResult(request.folder, outcomes, {name: table})
    written = publish(RunStore(request.folder), request.cache, ended[request.folder][1])
    return RunResult(request.folder, outcomes, written)


def estimate(
    config: str | Path, observer: Observer | None = None, **options: Unpack[RunOptions]
) -> dict[Path, Estimate]:
    """Say what :func:`run` would take; nothing is trained or written.

    Returns:
        An estimate a run, by its folder.

    Raises:
        HarnessError: As :func:`run`; also where a model cannot be made.
    """
    request = RunRequest.of(config, observer or Observer(), options)
    return {folder: request.estimate(folder, one) for folder, one in request.runs.items()}


@dataclass(frozen=True)
class RunRequest:
    """A run or a study that is asked for: what has been found out before anything is prepared."""

    name: str
    kind: StudyKind | None
    folder: Path
    runs: dict[Path, RunConfig]
    plugins: RunPlugins
    observer: Observer
    observers: Sequence[ChosenObserver]
    options: RunOptions
    shard: Shard | None

    @staticmethod
    def of(config: str | Path, observer: Observer, options: RunOptions) -> RunRequest:
        """Read the config; folders are made absolute before a plugin's code runs."""
        name, settings = load_config(str(config), tuple(options.get("overrides", ())), observer.note)
        shard = _chosen_shard(name, settings, options)
        whole = results_folder() / name
        folder = Path(options.get("out") or (whole if shard is None else shard.folder(whole))).absolute()
        given = options.get("data")
        data = Path(given).absolute() if given else None
        plugins = RunPlugins(tuple(options.get("plugins", ())), observer)
        observers = plugins.chosen_observers(options.get("observers", ()))
        settings = _with_options(settings, plugins.rows(), data, options)
        runs = settings.runs() or {".": settings}
        models = options.get("models")
        runs = {run: plugins.with_named(one, models or ()) for run, one in runs.items()}
        wanted = {run: one.with_models(list(models)) if models else one for run, one in runs.items()}
        placed = {folder / run: one for run, one in wanted.items()}
        return RunRequest(name, settings.study, folder, placed, plugins, observer, observers, options, shard)

    @property
    def cache(self) -> Cache:
        """The cache, which tells the observer of what it makes anew."""
        return Cache(cache_folder(), self.observer.note)

    @cached_property
    def measurements(self) -> StudyMeasurements:
        """What a run measures of models, for the runs after it."""
        from harness.execution.measurements import StudyMeasurements  # noqa: PLC0415 - torch, for cells that must run

        return StudyMeasurements()

    def begin_study(self) -> Study | None:
        """Write down that there is a study, if there is one; a refusal must not come after hours of another run."""
        if self.kind is None:
            return None
        for one in self.runs.values():
            divide(scan_images(one, self.cache))
        return begin_study(self.folder, self.kind, [folder.name for folder in self.runs])

    def compute(self, folder: Path, config: RunConfig) -> tuple[Outcome, Mapping[str, CellRecord] | None]:
        """Compute what a run lacks; where that was nothing, return the records of its cells as well."""
        store = RunStore(folder)
        with store.open_for_writing(self.observer.note if self.options.get("wait") else None):
            if self.options.get("fresh"):
                store.move_cells_aside()
            whole = not self.plugins.files and self.shard is None
            kept = kept_cells(config, store, self.cache, self.observer) if whole else None
            if kept is not None:
                self.observer.planned([], kept.planned, config.schedule.epochs)
                return Outcome(kept=kept.planned), kept.records
            from harness.execution.observed_run import ObservedRun  # noqa: PLC0415 - torch, for cells that must run
            from harness.execution.runner import execute  # noqa: PLC0415

            with ObservedRun(self.observer, self.observers, store) as observed:
                plan = self._prepared_part(store, config)
                executor = _executor(self.options)
                outcome = execute(plan, store, self.cache, observed, executor, self.measurements)
                return observed.ended(outcome), None

    def estimate(self, folder: Path, config: RunConfig) -> Estimate:
        """Estimate what a run lacks."""
        from harness.execution.estimate import estimate_run  # noqa: PLC0415 - torch

        store = RunStore(folder)
        plan = self._prepared(store, self._with_stand_ins(config))
        if self.shard is not None:
            from harness.planning.shards import part_of  # noqa: PLC0415 - torch, for an estimate

            plan = part_of(plan, self.shard)
        return estimate_run(plan, store, self.cache, self.options.get("jobs", 1) or 1, self.measurements)

    def settle_shards(self, whole: Path) -> tuple[Run, Estimate]:
        """Settle what the shards of a run hold to, and estimate the whole run.

        Args:
            whole: The folder of the whole run.

        Raises:
            UsageError: There are fewer cells than shards.
        """
        from harness.execution.estimate import estimate_run  # noqa: PLC0415 - torch, for an estimate
        from harness.planning.shards import held_to, plan_file, settle_shards  # noqa: PLC0415

        (config,), shards = self.runs.values(), self.shard.count if self.shard else 1
        file, store = plan_file(whole, self.name, config, shards), RunStore(whole)
        plan = self._prepared(store, held_to(config, file))
        if len(plan.keys) < shards:
            raise UsageError(f"{self.name} has {len(plan.keys)} cells, too few for {shards} shards")
        # each shard knows its own cells: at worst none of them share features
        apart = replace(plan, config=plan.config.model_copy(update={"features_gb": 0.0}))
        estimate = estimate_run(apart, store, self.cache, self.options.get("jobs", 1) or 1, self.measurements)
        settle_shards(plan, shards, file, self.observer.note)
        return plan, estimate

    def _prepared_part(self, store: RunStore, config: RunConfig) -> Run:
        """Prepare a run, or the shard of it that is asked for."""
        if self.shard is None:
            return self._prepared(store, config)
        from harness.planning.shards import plan_file, prepare_shard  # noqa: PLC0415 - torch, for cells that must run

        file = plan_file(store.folder, self.name, config, self.shard.count)
        prepare = partial(self._prepared, store)
        return prepare_shard(self.shard, store.folder, file, config, prepare, self.observer.note)

    def _prepared(self, store: RunStore, config: RunConfig) -> Run:
        from harness.planning.plan import prepare_run  # noqa: PLC0415 - torch, for cells that must run

        return prepare_run(self.name, config, self.plugins.host, store, self.cache, self.observer)

    def _with_stand_ins(self, config: RunConfig) -> RunConfig:
        """Let generated images stand in for source sets that are not there: an estimate of time needs no others."""
        missing = {
            name: source.model_copy(update={"phantom": True})
            for name, source in config.sources.items()
            if source.folder is None and not source.phantom and not (data_folder() / name).is_dir()
        }
        if missing:
            self.observer.note(
                f"source sets not there, generated images stand in for the estimate: {', '.join(missing)}"
            )
        return config.model_copy(update={"sources": {**config.sources, **missing}})


def _chosen_shard(name: str, config: RunConfig, options: RunOptions) -> Shard | None:
    """Return the shard that is asked for.

    Raises:
        UsageError: It is none, or cannot be computed as a part of this run.
    """
    asked = options.get("shard")
    if asked is None:
        return None
    shard = Shard.parse(asked)
    if config.study is not None:
        raise UsageError(f"config '{name}' is a study of several runs - shard the config of one of them")
    if options.get("jobs", 1) is None:
        raise UsageError("--jobs auto measures one machine - give a number to a shard, the same on every node")
    return shard


def _executor(options: RunOptions) -> ExecutorChoice:
    """Return what is to run the cells.

    Raises:
        UsageError: An address is given to an executor that has none.
    """
    name, address = options.get("executor", "local"), options.get("ray_address")
    if address is not None and name != "ray":
        raise UsageError(f"an address of a Ray cluster is given, and the executor is '{name}' - say --executor ray too")
    return ExecutorChoice(name, address or "auto", options.get("jobs", 1))


def _with_options(config: RunConfig, rows: Mapping[str, Any], data: Path | None, options: RunOptions) -> RunConfig:
    """Apply the options that stand for config keys."""
    values = config.model_dump(mode="json")
    for label, row in rows.items():
        values["models"].setdefault(label, row)
    values["data"]["folder"] = str(data) if data else values["data"]["folder"]
    values["device"] = options.get("device") or values["device"]
    values["limit"] = options.get("limit") or values["limit"]
    return parse_config(values, "command line")
