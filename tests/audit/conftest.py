"""Audits in tests: without shortcuts unless they are asked for."""

import pytest


@pytest.fixture
def with_shortcuts():
    """Ask for it where shortcuts are to be measured as well; without them an audit takes a third of the time."""


@pytest.fixture(autouse=True)
def copies_alone(request):
    if "with_shortcuts" not in request.fixturenames:
        request.getfixturevalue("without_shortcuts")
