"""Every kind of image file gives the right pixels or one clear reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import chunk, flat_png, foreign_files, gradient, jpeg, jpeg_claiming, png, segment, turned_exif
from PIL import Image

from harness.data.decode import PixelRecipe, decode, decode_bytes, decode_full_size
from harness.data.stain import Macenko
from harness.errors import DataError

PALETTE = (b"PLTE", bytes([1, 2, 3, 200, 100, 50]))


@pytest.mark.parametrize(
    ("content", "pixel"),
    [
        (flat_png((200, 100, 50), 8, 2), [200, 100, 50]),
        (flat_png((40000, 65535, 0), 16, 2), [156, 255, 0]),
        (flat_png((40000,), 16, 0), [156, 156, 156]),
        (flat_png((77,), 8, 0), [77, 77, 77]),
        (flat_png((1,), 1, 0), [255, 255, 255]),
        (flat_png((2,), 2, 0), [170, 170, 170]),
        (flat_png((1,), 8, 3, PALETTE), [200, 100, 50]),
        (flat_png((1,), 4, 3, PALETTE, (b"tRNS", b"\0\0")), [200, 100, 50]),
        (flat_png((200, 100, 50, 0), 8, 6), [200, 100, 50]),
        (flat_png((40000, 0, 65535, 0), 16, 6), [156, 0, 255]),
        (flat_png((90, 0), 8, 4), [90, 90, 90]),
    ],
)
def test_png_of_every_kind(content: bytes, pixel: list[int]) -> None:
    image = decode_bytes(content)
    assert image.dtype == torch.uint8
    assert image[:, 2, 3].tolist() == pixel


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (200, 100, 50)), ("L", 90), ("CMYK", (0, 200, 200, 50))])
def test_jpeg_of_every_kind(mode: str, colour: object) -> None:
    picture, file = Image.new(mode, (16, 8), colour), io.BytesIO()
    picture.save(file, "JPEG", quality=100)
    image = decode_bytes(file.getvalue())
    expected = np.asarray(picture.convert("RGB"))[0, 0].astype(int)
    assert np.abs(image[:, 0, 0].numpy().astype(int) - expected).max() <= 2


def test_the_name_does_not_decide_the_kind(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(jpeg(gradient()))
    assert decode_full_size(tmp_path / "a.png").shape == (3, 8, 16)


@pytest.mark.parametrize("kind", list(foreign_files()))
def test_other_kinds_are_named(kind: str) -> None:
    with pytest.raises(RuntimeError, match=f"^it is {kind} file, not a PNG or JPEG$"):
        decode_bytes(foreign_files()[kind])


@pytest.mark.parametrize("content", [b"", png(gradient())[:60], jpeg(gradient())[:-2], jpeg_claiming(20_000, 20_000)])
def test_damage_is_one_line(content: bytes) -> None:
    with pytest.raises(RuntimeError) as caught:
        decode_bytes(content)
    assert len(str(caught.value).splitlines()) == 1
    assert ".cpp" not in str(caught.value)


def test_the_decoders_own_words_lose_their_source_line() -> None:
    no_tables = (
        b"\xff\xd8" + segment(0xC0, b"\x08\0\x08\0\x08\x01\x01\x11\0") + segment(0xDA, b"\x01\x01\0\0?\0") + b"\xff\xd9"
    )
    with pytest.raises(RuntimeError) as caught:
        decode_bytes(no_tables)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_set_upright(orientation: int) -> None:
    image, exif = gradient(), turned_exif(orientation)
    upright = {
        1: image,
        2: image.flip(2),
        3: image.flip(1, 2),
        4: image.flip(1),
        5: image.transpose(1, 2),
        6: image.transpose(1, 2).flip(2),
        7: image.transpose(1, 2).flip(1, 2),
        8: image.transpose(1, 2).flip(1),
    }[orientation]
    plain = png(image)
    assert torch.equal(decode_bytes(plain[:33] + chunk(b"eXIf", exif) + plain[33:]), upright)
    packed = jpeg(image)
    shape = decode_bytes(packed[:2] + segment(0xE1, b"Exif\0\0" + exif) + packed[2:]).shape
    assert shape == upright.shape


@pytest.mark.parametrize("how", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (100, 1)])
def test_tiny_and_long_pictures(how: str, shape: tuple[int, int]) -> None:
    decoded = decode(png(gradient(*shape)), PixelRecipe(16, how, Macenko()))
    assert decoded.pixels.shape == (3, 16, 16)


def test_a_file_too_large_to_read_is_told_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RuntimeError, match="has 1,099,511,627,776 bytes"):
        decode_full_size(tmp_path / "a.png")


def broken_inside(content: bytes, fill: bytes = b"\0") -> bytes:
    """Spoil the compressed pixels from the middle on and leave the marker of the end."""
    middle = len(content) // 2
    return content[:middle] + (fill * len(content))[: len(content) - middle - 2] + content[-2:]


@pytest.mark.parametrize("fill", [b"\0", b"\x55", b"\xff\0"])
def test_what_a_jpeg_decoder_only_warns_of_is_an_error(fill: bytes) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 64, 96), dtype=np.uint8))
    whole = jpeg(noise)
    assert decode_bytes(whole).shape == (3, 64, 96)
    with pytest.raises(RuntimeError, match="the JPEG is damaged inside: "):
        decode_bytes(broken_inside(whole, fill))


def test_damage_is_told_of_its_own_file_alone() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 64, 96), dtype=np.uint8))
    whole = jpeg(noise)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the JPEG is damaged inside: "):
            decode_bytes(broken_inside(whole))
        assert decode_bytes(whole).shape == (3, 64, 96)


def test_pixels_of_a_png_that_another_chunk_splits_are_refused_unseen() -> None:
    content = png(gradient(16, 24))
    start = content.index(b"IDAT") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    body = content[start + 8 : start + 8 + size]
    parts = chunk(b"IDAT", body[:9]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", body[9:])
    with pytest.raises(RuntimeError, match="split by another chunk"):
        decode_bytes(content[:start] + parts + content[start + 12 + size :])
    whole = chunk(b"IDAT", body[:9]) + chunk(b"IDAT", body[9:])
    assert decode_bytes(content[:start] + whole + content[start + 12 + size :]).shape == (3, 16, 24)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Insufficient memory (case 4)"),
        MemoryError("Unable to allocate output buffer."),
    ],
)
@pytest.mark.parametrize("where", ["decode_image", "resize_square"])
def test_a_lack_of_memory_says_nothing_of_the_image(
    monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    def starved(*_: object, **__: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(f"harness.data.decode.{where}", starved)
    with pytest.raises(DataError, match="not enough memory"):
        decode(jpeg(gradient()), PixelRecipe(16, "squash", None))


def test_what_a_jpeg_decoder_finds_unusual_is_no_damage(capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(jpeg(gradient()))
    content[content.index(b"JFIF") + 5] = 9  # a revision of the format that does not exist
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.data.decode._own_words", str)
        assert decode_bytes(bytes(content)).shape == (3, 8, 16)
    assert capfd.readouterr().err == ""
