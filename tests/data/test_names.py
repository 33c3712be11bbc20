import pytest
from harness_plugins.breakhis.names import parse_stem
from hypothesis import given
from hypothesis import strategies as st


def test_fields():
    name = parse_stem("SOB_B_TA-14-16184CD-40-015")
    assert (name.tumour_type, name.slide, name.accession) == ("TA", "14-16184CD", "14-16184")
    assert (name.magnification, name.sequence, name.label) == (40, 15, 0)
    assert name.official_folder == "benign/SOB/tubular_adenoma/SOB_B_TA_14-16184CD/40X"


@pytest.mark.parametrize(
    "stem",
    [
        "SOB_M_A-14-22549AB-40-001",  # adenosis is benign
        "SOB_B_A-14-22549AB-40-001 (1)",
        "SOB_B_A-14-22549AB-50-001",
        "sob_b_a-14-22549ab-40-001",
        "SOB_B_A-14-22549AB-40-٠٠١",
        "",
    ],
)
def test_is_not_guessed(stem):
    assert parse_stem(stem) is None


@given(st.text())
def test_any_text_is_parsed_or_refused(stem):
    name = parse_stem(stem)
    assert name is None or name.stem == stem
