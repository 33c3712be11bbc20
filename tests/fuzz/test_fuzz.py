"""Every parser of what somebody may send returns a value or refuses in one line."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from targets import TARGETS

_EXAMPLES = 300


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_spoilt_files_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=max(8, round(_EXAMPLES * target.share)), database=None)
    @given(st.integers(0, 2**64 - 1))
    @example(0)
    def every_input(number: int) -> None:
        refusal = target.answer(number)
        assert refusal is None or (0 < len(refusal.strip()) < 3000 and len(refusal.splitlines()) == 1)

    every_input()


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_can_be_made_again(name: str) -> None:
    from random import Random

    make = TARGETS[name].make
    assert make(Random(7)) == make(Random(7))
