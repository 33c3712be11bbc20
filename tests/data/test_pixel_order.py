"""PNG files that are unfiltered here give the pixels that torchvision finds."""

import random
import zlib

import numpy as np
import pytest
import torch
from pictures import chunk, gradient, jpeg, png, png_chunks, png_header, turned_exif
from torchvision.io import ImageReadMode, decode_image

from harness.data import pixel_order
from harness.data.decode import content_digest, decode_bytes
from harness.data.pixel_order import planes_of
from harness.data.png import unpack_png
from harness.kernels import Kernel


def by_torchvision(content):
    return decode_image(
        torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB, apply_exif_orientation=True
    )


def filtered_png(kinds, width, seed=0, *extra):
    """Random bytes under the filters named, one a row: whatever they mean, two decoders must agree on it."""
    noise = random.Random(seed)
    rows = b"".join(bytes([kind]) + noise.randbytes(3 * width) for kind in kinds)
    return png_chunks(png_header(width, len(kinds), 8, 2), *extra, (b"IDAT", zlib.compress(rows)))


@pytest.fixture
def unfiltered_here(monkeypatch):
    """Fail where torchvision decodes."""
    pytest.importorskip("numba")

    def called(*_, **__):
        raise AssertionError

    monkeypatch.setattr("harness.data.decode.decode_image", called)


@pytest.mark.usefixtures("unfiltered_here")
@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("width", [1, 2, 37])
def test_every_filter(kind, width):
    for kinds in ([kind], [kind] * 5, [4, kind, 3, kind, 2, 0, 1, kind]):
        content = filtered_png(kinds[: 100 * width], width, kind)
        assert torch.equal(decode_bytes(content), by_torchvision(content))


@pytest.mark.usefixtures("unfiltered_here")
def test_flat_and_smooth_pictures_and_ties_of_the_third_filter():
    for image in (gradient(40, 30), torch.full((3, 9, 9), 7, dtype=torch.uint8), gradient(40, 30) // 80):
        assert torch.equal(decode_bytes(png(image)), image)
    rows = b"".join(bytes([4]) + bytes(random.Random(row).choices((0, 1, 255), k=60)) for row in range(40))
    content = png_chunks(png_header(20, 40, 8, 2), (b"IDAT", zlib.compress(rows)))
    assert torch.equal(decode_bytes(content), by_torchvision(content))


NEUTRAL = [
    (b"gAMA", b"\0\0\xb1\x8f"),
    (b"sRGB", b"\0"),
    (b"bKGD", bytes(6)),
    (b"bKGD", b"of no use"),
    (b"tEXt", b"a\0b"),
    (b"gAMA", b"\0\1\0\0"),
]


@pytest.mark.usefixtures("unfiltered_here")
@pytest.mark.parametrize("extra", NEUTRAL)
def test_chunks_that_do_not_touch_the_pixels(extra):
    content = filtered_png([4, 3, 2, 1], 9, 1, extra)
    assert torch.equal(decode_bytes(content), by_torchvision(content))


@pytest.mark.parametrize(
    "extra",
    [
        (b"tRNS", bytes(6)),
        (b"eXIf", turned_exif(6)),
        (b"iCCP", b"p\0\0" + zlib.compress(b"no profile")),
        (b"sBIT", b"\5\5\5"),
        (b"PLTE", bytes(6)),
        (b"abCd", b"private"),
    ],
)
def test_chunks_that_may_touch_them_are_left_to_torchvision(extra):
    content = filtered_png([4, 3, 2, 1], 9, 1, extra)
    assert unpack_png(content).is_plain is False
    assert torch.equal(decode_bytes(content), by_torchvision(content))


@pytest.mark.parametrize(("depth", "colour", "interlaced"), [(16, 2, 0), (8, 6, 0), (8, 0, 0), (8, 2, 1)])
def test_other_kinds_are_left_to_torchvision(depth, colour, interlaced):
    values = {0: 1, 2: 3, 6: 4}[colour] * depth // 8
    rows = (b"\0" + bytes(range(values))) * 1
    content = png_chunks(png_header(1, 1, depth, colour, interlaced), (b"IDAT", zlib.compress(rows)))
    assert unpack_png(content).is_plain is False


def test_a_compression_that_does_not_exist_is_told_by_torchvision():
    content = bytearray(filtered_png([0], 2))
    content[26] = 1
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(RuntimeError):
        decode_bytes(bytes(content))


def test_a_header_that_is_not_first_is_left_to_torchvision():
    whole = filtered_png([0], 2)
    text = chunk(b"tEXt", b"a\0b")
    assert unpack_png(whole[:8] + text + whole[8:]).is_plain is False


def test_without_numba_the_pixels_and_digests_are_the_same(monkeypatch):
    files = [filtered_png([4, 3, 2, 1, 0], 11), jpeg(gradient(24, 40))]
    before = [decode_bytes(content) for content in files]
    digests = [content_digest(image) for image in before]
    monkeypatch.setattr(Kernel, "machine_code", property(lambda _: None))
    after = [decode_bytes(content) for content in files]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert digests == [content_digest(image) for image in after] == [content_digest(i.contiguous()) for i in before]


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 5, 7), (3, 1, 40)])
def test_planes(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    beside = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
    for given in (image, beside, image[:, ::-1]):
        planes = planes_of(given)
        assert planes.flags.c_contiguous
        assert np.array_equal(planes, given)


def test_the_compiled_loops_are_there_where_numba_is():
    pytest.importorskip("numba")
    assert pixel_order.unfilter_rgb.machine_code is not None
    assert pixel_order.split_channels.machine_code is not None
