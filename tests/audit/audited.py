"""What tests of the audit look up in a report, and the real images that they audit."""

import pytest
from places import SHARED


def division(report, name):
    return next(division for division in report.divisions if division.name == name)


def real(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is absent")
    return folder
