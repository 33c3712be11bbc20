"""What data sets of plugins answer; they are asked in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.data.description import DataSetDescription
from harness.data.manifest import Described
from harness.errors import PluginError
from harness.plugin_api.data_set import GeneratedSlide
from harness.plugin_api.data_set_process import ERRORS
from harness.plugin_api.installed import installed_plugins

_SECONDS = 600
T = TypeVar("T")

_Name = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]*$")]
_Text = Annotated[str, Field(max_length=1000)]


class DescribedImage(BaseModel):
    """A record as it has come from elsewhere; see :class:`~harness.ImageRecord`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    file: Annotated[str, Field(min_length=1, max_length=4096)]
    name: _Name
    label: _Text
    groups: list[_Name]
    stratum: _Text = ""
    subtype: _Text = ""
    facts: dict[_Name, _Text] = Field(default_factory=dict)
    hold_outs: list[Annotated[int, Field(ge=1, le=5)]] | None = None
    left_out: bool = False


def _below_the_folder(file: str) -> str:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".png":
        raise ValueError("not a path of a PNG file below the folder")
    return file


class _PlannedSlide(BaseModel):
    """A plan as it has come from elsewhere; see :class:`~harness.GeneratedSlide`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    file: Annotated[_Name, AfterValidator(_below_the_folder)]
    painted_as: _Name
    group: _Name
    subgroup: _Name
    tissue: _Name
    magnification: Annotated[int, Field(ge=40, le=400)]


@dataclass(frozen=True)
class AskedDataSet:
    """A data set of a plugin.

    Attributes:
        name: What a config calls it.
        options: As the config gives them.
        plugin: The file that registers it; None for an installed plugin.
    """

    name: str
    options: Mapping[str, Any]
    plugin: Path | None = None


@dataclass(frozen=True)
class DataSetImages:
    """What a data set says of a folder.

    Attributes:
        description: The data set.
        options: As resolved.
        records: What images are; files that are no images of the data set have none.
        notes: What a person should know of the files.
    """

    description: DataSetDescription
    options: dict[str, Any]
    records: Sequence[Described]
    notes: list[str]


@dataclass(frozen=True)
class PublishedSet:
    """A data set as its authors publish it.

    Attributes:
        description: The data set.
        files: What each file is, and its sha256; none where the data set does not say.
        archive: Where it can be fetched from; empty where nobody may.
    """

    description: DataSetDescription
    files: list[tuple[DescribedImage, str]]
    archive: str


def ask_images(asked: AskedDataSet, folder: Path, digests: Mapping[str, str], *, generated: bool) -> DataSetImages:
    """Ask what the images of a folder are.

    Args:
        asked: The data set.
        folder: Of the images.
        digests: sha256 of each file, by its path below the folder.
        generated: The images are generated.

    Raises:
        UsageError: There is no such data set, or it has no such option.
        PluginError: It raises, ends its process or answers what is no answer.
    """
    answer = _ask(asked, {"ask": "images", "folder": str(folder), "digests": digests, "generated": generated})
    return DataSetImages(
        _parsed(DataSetDescription, answer, "description", asked),
        answer["options"],
        _parsed(list[DescribedImage], answer, "records", asked),
        _parsed(list[str], answer, "notes", asked),
    )


def ask_published(asked: AskedDataSet) -> PublishedSet:
    """Ask what files a data set consists of; errors as of :func:`ask_images`."""
    answer = _ask(asked, {"ask": "published"})
    files = _parsed(list[tuple[DescribedImage, str]], {"files": list(map(tuple, answer["files"]))}, "files", asked)
    return PublishedSet(_parsed(DataSetDescription, answer, "description", asked), files, answer["archive"])


def ask_generated(asked: AskedDataSet, groups: int, images: int, *, like_published: bool) -> list[GeneratedSlide]:
    """Ask for pictures that stand in for a data set; see :meth:`~harness.DataSet.generated`."""
    question = {"ask": "generated", "groups": groups, "images": images, "like_published": like_published}
    slides = _parsed(list[_PlannedSlide], _ask(asked, question), "slides", asked)
    if not slides:
        raise PluginError(f"data set {asked.name} cannot be generated - it plans no pictures")
    files = [slide.file for slide in slides]
    if len(set(files)) < len(files):
        raise PluginError(f"data set {asked.name} plans several pictures of one name")
    return [GeneratedSlide(**slide.model_dump()) for slide in slides]


def _ask(asked: AskedDataSet, question: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"set": asked.name, "options": dict(asked.options), "plugins": _plugins(asked.plugin), **question}
    command = [sys.executable, "-P", "-m", "harness.plugin_api.data_set_process"]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and a module of this package
            command, input=json.dumps(whole).encode(), capture_output=True, check=False, timeout=_SECONDS
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise PluginError(f"data set {asked.name} has not answered within {_SECONDS} s") from None
    except ValueError:
        raise PluginError(f"data set {asked.name} has ended its process with code {done.returncode}") from None
    if "error" in answer:
        kind = ERRORS.get(answer["error"])
        if kind is not None:
            raise kind(answer["message"])
        raise PluginError(f"data set {asked.name}: {answer['message']}")
    return dict(answer)


def _plugins(file: Path | None) -> Sequence[Mapping[str, Any]]:
    if file is not None:
        return [{"name": file.stem, "module": None, "file": str(file)}]
    wanted = (plugin for plugin in installed_plugins() if plugin.wanted)
    return [{"name": plugin.name, "module": plugin.module, "file": None} for plugin in wanted]


def _parsed(kind: type[T], answer: Mapping[str, Any], part: str, asked: AskedDataSet) -> T:
    try:
        return TypeAdapter(kind).validate_python(answer[part])
    except (ValidationError, KeyError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(map(str, first["loc"])) if first else part
        words = f"{first['msg']}, not {str(first['input'])[:100]!r}" if first else "it is missing"
        raise PluginError(f"data set {asked.name}: its {part} cannot be used: {where}: {words}") from error
