"""Checked parts of JSON files, and the ranges of the numbers in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import DataError

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Speed = Annotated[float, Field(ge=1e-9, le=1e12)]
Fraction = Annotated[float, Field(ge=0, le=1)]
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A part of a JSON file. It is written and read by the same class; fields that it does not know are kept."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)

    def to_json(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return self.model_dump(mode="json")


def make_record(kind: type[R], values: dict[str, Any], where: str) -> R:
    """Check values and make a record of them.

    Args:
        kind: The class.
        values: As read from JSON, or about to be written.
        where: What to call the place in an error.

    Raises:
        DataError: A field is missing or of another type; the first one is named.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])[:100]
        raise DataError(f"{where}: '{key}': {fault['msg']}") from None


def read_record(kind: type[R], values: dict[str, Any], path: Path) -> R:
    """Make a record of what stands in a file.

    Raises:
        DataError: A field is missing or of another type; the first one is named, and what to do.
    """
    try:
        return make_record(kind, values, f"{path} does not hold what the harness writes there")
    except DataError as error:
        raise DataError(f"{error} - delete what is damaged and run again, or get the folder anew") from None
