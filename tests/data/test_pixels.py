import numpy as np
import pandas as pd
import pytest
import torch
from breakhis import scan_folder
from hypothesis import given
from hypothesis import strategies as st
from torchvision.io import encode_png

from harness.cache import Cache
from harness.data import pixels
from harness.data.augment import VIEWS, view_images
from harness.data.decode import PixelRecipe, decode
from harness.data.manifest import sha256_of_files
from harness.data.pixels import open_array, pixel_store
from harness.errors import DataError

PLAIN = PixelRecipe(16, "squash", None)


def write(path, value=0, shape=(3, 20, 30)):
    path.write_bytes(encode_png(torch.full(shape, value, dtype=torch.uint8)).numpy().tobytes())
    return path


def store_of(paths, cache, recipe=PLAIN, digests=None, note=pytest.fail):
    digests = sha256_of_files(paths) if digests is None else digests
    return pixel_store(pd.Series([str(p) for p in paths]), pd.Series(digests), recipe, Cache(cache, note))


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
    again = store_of(paths, tmp_path / "cache", digests=list(first.index["sha256"]))
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


def test_helpers_decode_as_this_process_does(phantom, tmp_path):
    manifest = scan_folder(phantom)
    recipe = PixelRecipe(24, "squash", None)
    paths = [phantom / file for file in manifest["file"]]
    store = store_of(paths, tmp_path, recipe)
    here = [decode(path.read_bytes(), recipe).pixels for path in paths]
    assert np.array_equal(open_array(store.array_file)[store.rows_of(manifest["sha256"])], np.stack(here))


def test_what_is_decoded_is_what_was_hashed(tmp_path):
    one, other = write(tmp_path / "a.png", 1), write(tmp_path / "b.png", 2)
    digests = sha256_of_files([one, other])
    one.write_bytes(other.read_bytes())  # somebody has replaced it meanwhile
    with pytest.raises(DataError, match=r"a\.png has changed since the run began to read it"):
        store_of([one, other], tmp_path / "cache", digests=digests)
    write(one, 1)
    store = store_of([one, other], tmp_path / "cache", digests=digests)
    assert set(store.index["error"]) == {""}


def test_a_file_that_is_away_for_a_moment_is_not_damaged_for_ever(tmp_path):
    path = write(tmp_path / "a.png", 1)
    digests = sha256_of_files([path])
    path.rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"cannot read .*a\.png: No such file"):
        store_of([path], tmp_path / "cache", digests=digests)
    (tmp_path / "away").rename(path)
    assert list(store_of([path], tmp_path / "cache").index["error"]) == [""]


def zero_half(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def cut(file):
    file.write_bytes(file.read_bytes()[:-7])


@pytest.mark.parametrize("harm", [zero_half, cut, lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("name", ["pixels.npy", "index.parquet", "seal.json"])
def test_pixels_that_are_not_as_written_are_made_anew(tmp_path, harm, name):
    paths = [write(tmp_path / f"{value}.png", value + 1) for value in range(5)]
    first = store_of(paths, tmp_path / "cache")
    before = open_array(first.array_file).copy()
    harm(first.folder / name)
    noted = []
    again = store_of(paths, tmp_path / "cache", note=noted.append)
    assert np.array_equal(open_array(again.array_file), before)
    assert len(noted) == 1
    assert "is made anew" in noted[0]
    store_of(paths, tmp_path / "cache")  # and is whole from then on


def test_a_cache_without_room_is_one_clear_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match=r"cannot use the cache .*No space left on device.*HARNESS_CACHE"):
        store_of([write(tmp_path / "a.png")], tmp_path / "cache")


def test_the_same_picture_has_the_same_fingerprint(tmp_path):
    one, two = write(tmp_path / "a.png", 3), write(tmp_path / "b.png", 3)
    two.write_bytes(two.read_bytes() + b"trailing")
    assert decode(one.read_bytes(), PLAIN).fingerprint == decode(two.read_bytes(), PLAIN).fingerprint


def test_pictures_of_one_fingerprint_are_told_apart(tmp_path):
    picture = np.zeros((3, 64, 64), np.uint8)
    other = picture.copy()
    other[:, 0, 0] = 1  # lost when sixteen pixels become one
    files = [tmp_path / f"{name}.png" for name in ("one", "copy", "other")]
    for file, image in zip(files, (picture, picture, other), strict=True):
        file.write_bytes(encode_png(torch.from_numpy(image)).numpy().tobytes())
    files[1].write_bytes(files[1].read_bytes() + b"trailing")
    assert len({decode(file.read_bytes(), PLAIN).fingerprint for file in files}) == 1
    index = store_of(files, tmp_path / "cache").index.set_index("sha256")["content"]
    one, copy, third = index[sha256_of_files(files)]
    assert one == copy != third


def test_a_file_that_changes_before_the_second_look(tmp_path, monkeypatch):
    files = [write(tmp_path / "one.png", 3), write(tmp_path / "copy.png", 3)]
    files[1].write_bytes(files[1].read_bytes() + b"trailing")
    told_apart = pixels._told_apart

    def late(*given):
        files[0].write_bytes(b"somebody else's")
        return told_apart(*given)

    monkeypatch.setattr(pixels, "_told_apart", late)
    with pytest.raises(DataError, match=r"one\.png has changed since the run began"):
        store_of(files, tmp_path / "cache")


@pytest.mark.parametrize("shape", [(3, 20, 30), (3, 30, 20), (3, 16, 16), (3, 1, 1)])
def test_crop_and_squash_give_squares(tmp_path, shape):
    file = write(tmp_path / "a.png", 9, shape)
    for how in ("squash", "crop"):
        assert decode(file.read_bytes(), PixelRecipe(16, how, None)).pixels.shape == (3, 16, 16)


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


@pytest.mark.parametrize("name", [".DS_Store", ".nfs0001", "deep/other"])
def test_files_that_a_system_leaves_are_nobodys_business(tmp_path, name):
    paths = [write(tmp_path / "a.png", 1)]
    store = store_of(paths, tmp_path / "cache")
    (store.folder / name).parent.mkdir(exist_ok=True)
    (store.folder / name).touch()
    store_of(paths, tmp_path / "cache")


def test_an_error_of_the_system_is_no_damage(tmp_path, monkeypatch):
    paths = [write(tmp_path / "a.png", 1)]
    store = store_of(paths, tmp_path / "cache")

    def busy(*_):
        raise OSError(24, "Too many open files", str(store.array_file))

    with monkeypatch.context() as patch:
        patch.setattr("harness.cache._sha256", busy)
        with pytest.raises(DataError, match="Too many open files"):
            store_of(paths, tmp_path / "cache")
    store_of(paths, tmp_path / "cache")
