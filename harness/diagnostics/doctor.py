"""Diagnosis of a machine: devices, libraries, data, folders, plugins, and how to mend what is missing.

Whatever may itself be missing is imported where it is looked for, so that a broken library costs only its own line.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from harness.diagnostics.requirements import LibraryState, library_states
from harness.errors import HarnessError
from harness.plugin_api.installed import VARIABLE, installed_plugins
from harness.threads import usable_cores

State = Literal["ok", "missing", "absent", "left out"]
_MARKS: dict[State, str] = {"ok": "ok", "missing": "MISSING", "absent": "-", "left out": "left out"}
_OLDEST_PYTHON = (3, 11)
_GB = 10**9


@dataclass(frozen=True)
class Finding:
    """One thing about the machine.

    Attributes:
        section: What it belongs to.
        name: What was looked for.
        state: ``ok``; ``missing`` where no run can do without it; ``absent`` where some can; ``left out`` on request.
        detail: What was found.
        mend: The command or step that brings it; None where there is nothing to do.
    """

    section: str
    name: str
    state: State
    detail: str
    mend: str | None = None


def examine() -> list[Finding]:
    """Look at everything, section by section; never raises for what is broken."""
    sections: dict[str, Callable[[str], Iterator[Finding]]] = {
        "machine": _machine,
        "devices": _devices,
        "libraries": _libraries,
        "images": _images,
        "folders": _folders,
        "plugins": _plugins,
    }
    return [finding for section, look in sections.items() for finding in _guarded(section, look)]


def is_ready(findings: list[Finding]) -> bool:
    """True where nothing is missing that no run can do without."""
    return all(finding.state != "missing" for finding in findings)


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings for programs."""
    return {"schema_version": 1, "ready": is_ready(findings), "findings": [asdict(finding) for finding in findings]}


def render_findings(findings: list[Finding]) -> str:
    """Return the findings for people: a short table, and what to do below it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for section, members in groupby(findings, key=lambda finding: finding.section):
        lines.append(section.capitalize())
        lines += [f"  {_MARKS[one.state]:8}  {one.name:{width}}  {one.detail}".rstrip() for one in members]
    for title, state in (("Needed, and missing:", "missing"), ("Not needed by every run:", "absent")):
        mends = dict.fromkeys((one.mend, one.name) for one in findings if one.state == state and one.mend)
        lines += ["", title] * bool(mends) + [f"  {name:{width}}  {mend}" for mend, name in mends]
    verdict = "All that is needed is there." if is_ready(findings) else "Not ready: see what is missing above."
    return "\n".join([*lines, "", verdict]) + "\n"


def _guarded(section: str, look: Callable[[str], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look(section)
    except HarnessError as error:
        yield Finding(section, section, "missing", str(error))
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding(section, section, "missing", f"{type(error).__name__}: {error}")


def _machine(section: str) -> Iterator[Finding]:
    yield _python(section)
    yield _compiler(section)
    yield Finding(section, "CPU cores", "ok", str(usable_cores()))
    import psutil  # noqa: PLC0415 - may be missing

    memory = psutil.virtual_memory()
    yield Finding(section, "memory", "ok", f"{_gigabytes(memory.total)}, {_gigabytes(memory.available)} free")


def _python(section: str) -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding(section, "Python", "missing", found, f"install {'.'.join(map(str, _OLDEST_PYTHON))} or later")
    return Finding(section, "Python", "ok", found)


def _compiler(section: str) -> Finding:
    """Look for what torch.compile calls."""
    wanted = (os.environ.get("CXX") or "g++", "clang++")
    found = next((path for name in wanted if (path := shutil.which(name))), None)
    if found is None:
        return Finding(section, "C++ compiler", "absent", "none; torch.compile needs one", "such as: apt install g++")
    return Finding(section, "C++ compiler", "ok", found)


def _devices(section: str) -> Iterator[Finding]:
    import torch  # noqa: PLC0415 - may be missing

    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    yield Finding(section, "torch", "ok", f"{torch.__version__}, {built}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        named = f"{torch.cuda.get_device_name(index)}, {_gigabytes(total)}, {_gigabytes(free)} free"
        yield Finding(section, f"cuda:{index}", "ok", named)
    if not count:
        fitting = "a torch that fits the driver: https://pytorch.org/get-started/locally"
        yield Finding(section, "CUDA", "absent", "no device", fitting if shutil.which("nvidia-smi") else None)


def _libraries(section: str) -> Iterator[Finding]:
    states = library_states()
    yield from (_library(section, library) for library in states if library.extra is None)
    for extra in dict.fromkeys(library.extra for library in states if library.extra):
        yield _extra(section, extra, [library for library in states if library.extra == extra])


def _library(section: str, library: LibraryState) -> Finding:
    if library.usable:
        return Finding(section, library.name, "ok", str(library.version))
    found = f"{library.version}, {library.wanted} is needed" if library.version else "not installed"
    return Finding(section, library.name, "missing", found, library.mend)


def _extra(section: str, extra: str, members: list[LibraryState]) -> Finding:
    lacking = [library.name for library in members if not library.usable]
    if lacking:
        message = f"not installed, or too old: {', '.join(lacking)}"
        return Finding(section, f"[{extra}]", "absent", message, members[0].mend)
    return Finding(section, f"[{extra}]", "ok", f"all {len(members)} of this extra")


def _images(section: str) -> Iterator[Finding]:
    from harness.locations import data_folder  # noqa: PLC0415 - needs a library that may be missing

    data = data_folder()
    yield _image_set(section, data / "breakhis", "harness data fetch breakhis, or --data DIR")
    yield _image_set(section, data / "natural", "a folder of images for each class, or -o sources.natural.folder=DIR")
    yield _lung(section, data / "lung")


def _lung(section: str, folder: Path) -> Finding:
    fetching = f"harness data fetch lc25000 --url ADDRESS --out {folder}, or -o sources.lung.folder=DIR"
    found = _image_set(section, folder, fetching)
    if found.state == "ok" and not (folder / "groups.csv").is_file():
        grouping = "groups.csv with the columns path, class, tile: which images are copies of one tile"
        return Finding(section, found.name, "absent", f"{folder}, without groups.csv", grouping)
    return found


def _image_set(section: str, folder: Path, mend: str) -> Finding:
    if folder.is_dir() and any(folder.iterdir()):
        return Finding(section, folder.name, "ok", str(folder))
    return Finding(section, folder.name, "absent", f"nothing in {folder}", mend)


def _folders(section: str) -> Iterator[Finding]:
    from harness.locations import cache_folder, results_folder  # noqa: PLC0415 - needs a library that may be missing

    yield _writable(section, "cache", cache_folder(), "HARNESS_CACHE")
    yield _writable(section, "results", results_folder(), "HARNESS_RESULTS")


def _writable(section: str, name: str, folder: Path, variable: str) -> Finding:
    folder = folder.absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(section, name, "missing", f"cannot write to {folder}", f"export {variable}=DIR, one of yours")
    free = shutil.disk_usage(nearest).free
    return Finding(section, name, "ok", f"{folder}, {_gigabytes(free)} free")


def _plugins(section: str) -> Iterator[Finding]:
    for plugin in installed_plugins():
        source = f"{plugin.module} of {plugin.distribution}"
        if plugin.wanted:
            yield Finding(section, plugin.name, "ok", source)
        else:
            yield Finding(section, plugin.name, "left out", f"{source}, by {VARIABLE}={os.environ[VARIABLE]}")


def _gigabytes(size: int) -> str:
    return f"{size / _GB:,.1f} GB"
