"""Source files of a plugin and of what it imports, and their hash.

Found by reading the import statements, without running anything, so that every process finds the same. What lies in the
standard library, in an installed package (``site-packages``) or in ``harness`` itself is left out: distributions have
versions, and the harness's training version stands for its own code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import PluginError

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_HARNESS = "harness"


def file_digests(own: Mapping[str, Path]) -> dict[str, str]:
    """Return sha256 of a plugin's own files and of everything of its author's that they import.

    Args:
        own: The plugin's files by module name.

    Returns:
        By module name, the plugin's own first.

    Raises:
        PluginError: A file cannot be read.
    """
    found, waiting = dict(own), list(own)
    while waiting:
        name = waiting.pop()
        for imported in _imports_of(name, found[name]):
            file = _file_of(imported)
            if file is not None and imported not in found:
                found[imported] = file
                waiting.append(imported)
    return {name: hashlib.sha256(_content(file)).hexdigest() for name, file in found.items()}


def own_files(module: str) -> dict[str, Path]:
    """List every Python file of the package that a module belongs to, by module name; nothing of it is imported.

    Returns:
        The module's own file where it belongs to no package; nothing where there is no such module.
    """
    name = module.partition(".")[0]
    spec = importlib.util.find_spec(name)
    if spec is None:
        return {}
    places = spec.submodule_search_locations or ()
    found = sorted((file, Path(folder)) for folder in places for file in Path(folder).rglob("*.py"))
    files = {_module_name(file.relative_to(folder), name): file for file, folder in found}
    return files or {name: Path(str(spec.origin))}


def source_hash(files: Mapping[str, str]) -> str:
    """Return sha256 over the files that make a plugin what it is, from :func:`file_digests`."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def _module_name(below: Path, package: str) -> str:
    parts = below.with_suffix("").parts
    return ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read {file}: {error.strerror}") from error


def _imports_of(name: str, file: Path) -> Iterator[str]:
    """Yield the names of modules that a file imports, each with the packages that it lies in."""
    if file.suffix != ".py":
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(_content(file))
    except (SyntaxError, ValueError):
        return  # whoever imports it will say so
    for node in ast.walk(tree):
        for imported in _named_by(node, package):
            parts = imported.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _named_by(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names if base)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _file_of(name: str) -> Path | None:
    """Return the file of a module of the author's; None for what is installed, built in, or no module."""
    top, _, rest = name.partition(".")
    if top == _HARNESS or not top or top in sys.stdlib_module_names:
        return None
    loaded = sys.modules.get(top)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    file = _below(places, rest.split(".")) if rest else (Path(spec.origin) if spec.origin else None)
    return file if file is not None and file.is_file() and not _is_installed(file) else None


def _below(places: list[Path], parts: list[str]) -> Path | None:
    candidates = (
        place.joinpath(*parts[:-1], ending)
        for place in places
        for ending in (f"{parts[-1]}.py", f"{parts[-1]}/__init__.py")
    )
    return next((file for file in candidates if file.is_file()), None)


def _is_installed(file: Path) -> bool:
    return not _INSTALLED.isdisjoint(file.parts) or not _installed_folders(tuple(sys.path)).isdisjoint(
        file.resolve().parents
    )


@functools.cache
def _installed_folders(search_path: tuple[str, ...]) -> frozenset[Path]:
    """Return the standard library's folders, and those of the search path that distributions are installed in."""
    library = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
    found = (Path(place).resolve() for place in search_path if place)
    return frozenset([*library, *(place for place in found if any(place.glob("*.dist-info")))])
