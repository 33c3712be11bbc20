"""The check of JPEG files."""

from __future__ import annotations

import pytest
from pictures import gradient, jpeg, jpeg_claiming, segment

from harness.data.jpeg import jpeg_fault

SCAN = segment(0xDA, bytes(10))


def test_sound_files_and_other_formats_pass() -> None:
    assert jpeg_fault(jpeg(gradient())) is None
    assert jpeg_fault(b"\x89PNG") is None


def test_a_jpeg_that_claims_to_be_huge_is_refused_by_its_header() -> None:
    assert "claims 20,000 x 20,000 pixels" in str(jpeg_fault(jpeg_claiming(20_000, 20_000)))


def test_a_huge_picture_behind_a_small_thumbnail_is_seen() -> None:
    thumbnail = segment(0xE1, jpeg(gradient()))
    content = jpeg_claiming(20_000, 20_000)
    assert "claims 20,000 x 20,000 pixels" in str(jpeg_fault(content[:2] + thumbnail + content[2:]))


def test_a_second_frame_is_seen() -> None:
    content = jpeg(gradient())
    assert "claims 65,535" in str(jpeg_fault(content[:-2] + segment(0xC0, b"\x08\xff\xff\xff\xff\x03") + content[-2:]))


@pytest.mark.parametrize("kept", range(3, 600, 7))
def test_a_cut_is_found_wherever_it_is(kept: int) -> None:
    content = jpeg(gradient())
    assert "cut short" in str(jpeg_fault(content[: min(kept, len(content) - 2)]))


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (b"\x0c\0\x08\0\x08\x03", "12 bits a value"),
        (b"\x08\0\x08\0\x08\x02", "2 channels"),
        (b"\x08\0\0\0\x08\x03", "no pixels"),
        (b"\x08\0\x01\xff\xff\x03", "100 times as long"),
        (b"\x08", "no valid header"),
    ],
)
def test_frames_that_no_decoder_reads(frame: bytes, fault: str) -> None:
    assert fault in str(jpeg_fault(b"\xff\xd8" + segment(0xC0, frame) + SCAN + b"\xff\xd9"))


def test_thousands_of_scans_are_refused() -> None:
    frame = segment(0xC2, b"\x08\x10\0\x10\0\x03")
    assert "more than 64 scans" in str(jpeg_fault(b"\xff\xd8" + frame + SCAN * 5000 + b"\xff\xd9"))


def test_a_jpeg_without_a_picture() -> None:
    assert jpeg_fault(b"\xff\xd8" + segment(0xFE, b"words") + b"\xff\xd9") == "the JPEG holds no picture"
