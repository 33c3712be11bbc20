import json

import pytest
import torch
from torchvision.io import encode_png

from harness.errors import DataError
from harness.store.checksums import _digest, with_checksums
from harness.store.explanations import (
    FOLDER,
    ExplanationRecord,
    missing_explanations,
    read_explanation,
    write_explanations,
)
from harness.store.saved_models import copied_model

CELL = "net-200x-fold0-seed0"


def picture(value):
    return encode_png(torch.full((1, 4, 4), value, dtype=torch.uint8)).numpy().tobytes()


def write(folder, key, **pictures):
    write_explanations(folder, CELL, ExplanationRecord(key=key, how={"method": "Grad-CAM"}), pictures)


def test_what_is_written_is_read_under_its_key_alone(tmp_path):
    write(tmp_path, "k", a=picture(1))
    write(tmp_path, "k", b=picture(2))
    assert [read_explanation(tmp_path, CELL, "k", image) for image in "abc"] == [picture(1), picture(2), None]
    assert read_explanation(tmp_path, CELL, "other", "a") is None
    assert missing_explanations(tmp_path, CELL, "k", "abc") == ["c"]
    record = json.loads((tmp_path / FOLDER / CELL / "explanation.json").read_text())
    assert record == {"schema_version": 1, "key": "k", "how": {"method": "Grad-CAM"}}


def test_overlays_of_another_key_make_room(tmp_path):
    write(tmp_path, "k", a=picture(1))
    write(tmp_path, "new", b=picture(2))
    assert sorted(path.name for path in (tmp_path / FOLDER / CELL).iterdir()) == ["b.png", "explanation.json"]


@pytest.mark.parametrize("content", [b"", b"GIF89a", picture(1)[:-20], b"0" * (5 << 20)])
def test_what_is_no_overlay_is_refused_and_made_anew(tmp_path, content):
    write(tmp_path, "k", a=picture(1))
    (tmp_path / FOLDER / CELL / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        read_explanation(tmp_path, CELL, "k", "a")
    assert missing_explanations(tmp_path, CELL, "k", "a") == ["a"]


def test_a_damaged_record_is_refused_and_made_anew(tmp_path):
    write(tmp_path, "k", a=picture(1))
    (tmp_path / FOLDER / CELL / "explanation.json").write_text('{"key": 7}')
    with pytest.raises(DataError, match=r"explanation\.json"):
        read_explanation(tmp_path, CELL, "k", "a")
    write(tmp_path, "k", a=picture(3))
    assert read_explanation(tmp_path, CELL, "k", "a") == picture(3)


def test_names_and_links_lead_nowhere_else(tmp_path):
    write(tmp_path, "k", a=picture(1))
    (tmp_path / "b.png").write_bytes(picture(2))
    (tmp_path / FOLDER / CELL / "b.png").symlink_to(tmp_path / "b.png")
    assert read_explanation(tmp_path, CELL, "k", "b") is None
    assert read_explanation(tmp_path, CELL, "k", "../../b") is None
    assert read_explanation(tmp_path / FOLDER / CELL, f"../{FOLDER}", "k", "a") is None


@pytest.mark.parametrize("place", [FOLDER, f"{FOLDER}/{CELL}"])
def test_a_folder_that_is_a_link_is_refused(tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a link or a file"):
        write(tmp_path, "k", a=picture(1))
    assert not any(elsewhere.iterdir())


@pytest.fixture
def cell(tmp_path):
    """A sealed cell with two saved files."""
    folder = tmp_path / "cell"
    (folder / "more").mkdir(parents=True)
    for name in ("predictions.parquet", "model.safetensors", "more/words.txt"):
        (folder / name).write_text(name)
    (folder / "cell.json").write_text(json.dumps(with_checksums({"state": "done"}, folder)))
    return folder


def test_a_copied_model_is_what_was_saved_and_nothing_else(cell):
    with copied_model(cell) as copy:
        found = {path.relative_to(copy).as_posix(): path.read_text() for path in copy.rglob("*") if path.is_file()}
        assert found == {name: name for name in ("model.safetensors", "more/words.txt")}
        (copy / "model.safetensors").write_text("spoilt")
    assert not copy.exists()
    assert (cell / "model.safetensors").read_text() == "model.safetensors"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda cell: (cell / "model.safetensors").unlink(), "model.safetensors is not there"),
        (lambda cell: (cell / "model.safetensors").write_text("MODEL.safetensors"), "not as it was written"),
        (lambda cell: (cell / "cell.json").write_text("{}"), "no checksums"),
        (lambda cell: (cell / "cell.json").unlink(), "no checksums"),
    ],
    ids=["gone", "changed", "not sealed", "no record"],
)
def test_a_model_that_is_not_what_was_saved_is_not_copied(cell, harm, reason):
    harm(cell)
    with pytest.raises(DataError, match=f"its model cannot be read: .*{reason}"), copied_model(cell):
        pass


def test_a_record_that_leads_out_of_the_cell_is_refused(cell):
    (cell.parent / "mine").write_text("mine")
    files = {"../mine": with_checksums({}, cell.parent)["files"]["mine"]}
    forged = {"state": "done", "files": files}
    (cell / "cell.json").write_text(json.dumps({**forged, "sha256": _digest(forged)}))
    with pytest.raises(DataError, match=r"\.\./mine leads out of the cell"), copied_model(cell):
        pass
