"""The check of PNG files: what would crash or mislead the decoder is told before it sees the file."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from pictures import chunk, flat_png, gradient, png, png_chunks, png_header, png_of

from harness.data.decode import decode_bytes
from harness.data.png import png_fault


@pytest.mark.parametrize(
    ("pixels", "interlaced", "fault"),
    [
        (zlib.compress(b"\0\1\2\0\1"), 0, "fewer pixels"),
        (zlib.compress(b"\0\1\2\7\1\2"), 0, "filter that does not exist"),
        (zlib.compress(b"\0\1\0\1\0\1"), 1, "fewer pixels"),
        (zlib.compress(b"\0\1\0\1\5\1\2"), 1, "filter that does not exist"),
        (b"no zlib stream", 0, "do not decompress"),
    ],
)
def test_pixels_that_would_crash_the_decoder_are_told(pixels: bytes, interlaced: int, fault: str) -> None:
    assert fault in str(png_fault(png_of(pixels, interlaced)))


@pytest.mark.parametrize(("rows", "interlaced"), [(b"\0\1\2\0\1\2", 0), (b"\0\1\0\1\0\1\2", 1)])
def test_sound_pixels_decode(rows: bytes, interlaced: int) -> None:
    image = decode_bytes(png_of(zlib.compress(rows), interlaced))
    assert image[0].tolist() == [[1, 2], [1, 2]] if not interlaced else [[1, 1], [1, 2]]


@pytest.mark.parametrize("size", [20_000, 1 << 20])
def test_a_png_that_claims_to_be_huge_is_refused_unseen(size: int) -> None:
    bomb = png_of(zlib.compress(bytes(30_000_000)), size=size)
    tracemalloc.start()
    assert f"claims {size:,} x {size:,} pixels" in str(png_fault(bomb))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_what_lies_behind_the_pixels_is_not_unpacked() -> None:
    bomb = png_of(zlib.compress(bytes(100_000_000)))
    tracemalloc.start()
    assert "more pixels than its header says" in str(png_fault(bomb))
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_pixels_without_their_whole_checksum_would_crash_the_decoder(missing: int) -> None:
    assert "cut short" in str(png_fault(png_of(zlib.compress(b"\0\1\2\0\1\2")[:-missing])))


def test_other_formats_are_left_alone() -> None:
    assert png_fault(b"\xff\xd8\xff no PNG") is None


def test_a_png_with_one_flipped_bit_is_damaged() -> None:
    content = bytearray(png(gradient()))
    content[len(content) // 2] ^= 1
    assert "checksum" in str(png_fault(bytes(content)))


@pytest.mark.parametrize(("depth", "colour"), [(8, 5), (3, 0), (16, 3), (1, 2), (0, 0), (255, 255)])
def test_a_colour_type_that_does_not_exist(depth: int, colour: int) -> None:
    content = png_chunks(png_header(2, 2, depth, colour), (b"IDAT", zlib.compress(bytes(100))))
    assert "does not exist" in str(png_fault(content))


def test_a_picture_without_pixels() -> None:
    assert "has no pixels" in str(png_fault(png_chunks(png_header(0, 5), (b"IDAT", b""))))


def test_a_strip_that_scaling_would_blow_up() -> None:
    strip = png_chunks(png_header(1, 50_000), (b"IDAT", zlib.compress(bytes(100_000))))
    assert "100 times as long as wide" in str(png_fault(strip))


def test_a_header_in_the_wrong_place_or_twice() -> None:
    whole = flat_png((7,), 8, 0)
    header, pixels = whole[8:33], whole[33:]
    assert png_fault(whole[:8] + chunk(b"IDAT", b"") + header) is not None
    assert "no valid header" in str(png_fault(whole[:8] + header + header + pixels))
    assert "no valid header" in str(png_fault(whole[:8] + pixels))
