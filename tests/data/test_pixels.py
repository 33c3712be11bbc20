import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.io import encode_png

from harness.data.augment import VIEWS, view_images
from harness.data.decode import PixelRecipe, decode
from harness.data.manifest import scan_folder, sha256_of_files
from harness.data.pixels import open_array, pixel_store

PLAIN = PixelRecipe(16, "squash", None)


def write(path, value=0, shape=(3, 20, 30)):
    path.write_bytes(encode_png(torch.full(shape, value, dtype=torch.uint8)).numpy().tobytes())
    return path


def store_of(paths, cache, recipe=PLAIN):
    return pixel_store(pd.Series([str(p) for p in paths]), pd.Series(sha256_of_files(paths)), recipe, cache)


def test_rows_hold_the_images(tmp_path):
    paths = [write(tmp_path / f"{value}.png", value) for value in range(5)]
    store = store_of(paths, tmp_path / "cache")
    rows = store.rows_of(pd.Series(sha256_of_files(paths)))
    assert open_array(store.array_file)[rows][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert store.index["sha256"].is_monotonic_increasing


def test_a_second_call_decodes_nothing(tmp_path):
    paths = [write(tmp_path / "a.png")]
    first = store_of(paths, tmp_path / "cache")
    paths[0].unlink()
    again = pixel_store(pd.Series([str(paths[0])]), first.index["sha256"], PLAIN, tmp_path / "cache")
    assert again.folder == first.folder


def test_damaged_files_are_named_and_cost_only_themselves(tmp_path):
    good, cut, empty = write(tmp_path / "a.png", 7), write(tmp_path / "b.png", 8), tmp_path / "c.png"
    cut.write_bytes(cut.read_bytes()[:40])
    empty.write_bytes(b"")
    store = store_of([good, cut, empty], tmp_path / "cache")
    errors = dict(zip(store.index["sha256"], store.index["error"], strict=True))
    told = [errors[digest] for digest in sha256_of_files([good, cut, empty])]
    assert told[0] == ""
    assert "cut short" in told[1]
    assert told[2] == "the file is empty"


def test_parallel_and_serial_decoding_agree(phantom, tmp_path):
    manifest = scan_folder(phantom)
    recipe = PixelRecipe(24, "squash", None)
    files, digests = manifest["file"].map(lambda file: str(phantom / file)), manifest["sha256"]
    whole = pixel_store(files, digests, recipe, tmp_path)
    few = pixel_store(files[:20], digests[:20], recipe, tmp_path)
    assert len(manifest) >= 96  # enough for a pool of processes; twenty are not
    rows_whole, rows_few = whole.rows_of(digests[:20]), few.rows_of(digests[:20])
    assert np.array_equal(open_array(whole.array_file)[rows_whole], open_array(few.array_file)[rows_few])


def test_the_same_picture_has_the_same_content(tmp_path):
    one, two = write(tmp_path / "a.png", 3), write(tmp_path / "b.png", 3)
    two.write_bytes(two.read_bytes() + b"trailing")
    assert decode(one, PLAIN).content == decode(two, PLAIN).content


@pytest.mark.parametrize("shape", [(3, 20, 30), (3, 30, 20), (3, 16, 16), (3, 1, 1)])
def test_crop_and_squash_give_squares(tmp_path, shape):
    file = write(tmp_path / "a.png", 9, shape)
    for how in ("squash", "crop"):
        assert decode(file, PixelRecipe(16, how, None)).pixels.shape == (3, 16, 16)


@given(st.integers(0, len(VIEWS) - 1), st.integers(2, 9))
def test_each_view_is_a_permutation_of_pixels(view, size):
    images = torch.arange(3 * size * size, dtype=torch.uint8 if size < 9 else torch.int64).view(1, 3, size, size)
    seen = view_images(images, torch.tensor([view]))
    assert torch.equal(seen.flatten(2).sort().values, images.flatten(2).sort().values)


def test_views_differ_and_rotations_add_up():
    image = torch.arange(48).view(1, 3, 4, 4)
    views = view_images(image.expand(6, -1, -1, -1), torch.arange(6))
    assert len({tuple(view.flatten().tolist()) for view in views}) == 6
    back = view_images(view_images(image, torch.tensor([1])), torch.tensor([3]))
    assert torch.equal(back, image)
