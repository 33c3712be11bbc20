"""Source sets, and the list of tile groups as somebody may have sent it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import gradient, jpeg

from harness.data.sources import APART, parse_groups, scan_source
from harness.errors import DataError

HEAD = "path,class,tile\n"


@pytest.fixture
def lungs(tmp_path: Path) -> Path:
    """Two classes of two tiles, in a folder beside which other files lie."""
    root = tmp_path / "lungs"
    lines = []
    for kind in ("lung_aca", "lung_n"):
        (root / kind).mkdir(parents=True)
        for number in range(4):
            (root / kind / f"{number}.jpeg").write_bytes(jpeg(gradient()))
            lines.append(f"{kind}/{number}.jpeg,{kind},{kind}-{number}\n")
    (root / "groups.csv").write_text(HEAD + "".join(lines))
    (tmp_path / "secret.jpeg").write_bytes(jpeg(gradient()))
    return root


def add(root: Path, line: str) -> None:
    with (root / "groups.csv").open("a") as file:
        file.write(f"{line}\n")


def test_a_sound_list(lungs: Path) -> None:
    source = scan_source("lc25000", [lungs])
    assert source.classes == ("lung_aca", "lung_n")
    assert source.images.groupby("label")["side"].value_counts().to_dict() == {
        (label, side): images for label in (0, 1) for side, images in (("train", 2), ("validation", 1), (APART, 1))
    }


def test_too_few_tiles_to_train_on(lungs: Path) -> None:
    lines = [line for line in (lungs / "groups.csv").read_text().splitlines() if "lung_n/2" not in line]
    (lungs / "groups.csv").write_text("\n".join(line for line in lines if "lung_n/3" not in line))
    source = scan_source("lc25000", [lungs])
    with pytest.raises(DataError, match="class lung_n has too few images or tiles"):
        source.require_training()


@pytest.mark.parametrize("path", ["../secret.jpeg", "/etc/hostname", "{root}/../secret.jpeg"])
def test_a_path_that_leads_out_is_refused(lungs: Path, path: str) -> None:
    add(lungs, f"{path.format(root=lungs)},lung_n,t")
    with pytest.raises(DataError, match=r"groups\.csv names .*(secret|hostname).*not below"):
        scan_source("lc25000", [lungs])


def test_a_link_that_leads_out_is_refused(lungs: Path) -> None:
    (lungs / "lung_n" / "9.jpeg").symlink_to(lungs.parent / "secret.jpeg")
    add(lungs, "lung_n/9.jpeg,lung_n,t")
    with pytest.raises(DataError, match=r"names lung_n/9\.jpeg, which is not below"):
        scan_source("lc25000", [lungs])


@pytest.mark.parametrize("path", ["lung_n/0.jpeg", "./lung_n/0.jpeg", "lung_n//0.jpeg", "lung_aca/../lung_n/0.jpeg"])
def test_an_image_that_is_listed_twice_is_refused(lungs: Path, path: str) -> None:
    add(lungs, f"{path},lung_n,another tile")
    with pytest.raises(DataError, match=r"lists lung_n/0\.jpeg twice - keep one line"):
        scan_source("lc25000", [lungs])


def test_an_image_that_is_not_there(lungs: Path) -> None:
    add(lungs, "lung_n/7.jpeg,lung_n,t")
    with pytest.raises(DataError, match=r"1 images named in .* are not there, the first is lung_n/7\.jpeg"):
        scan_source("lc25000", [lungs])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has nothing; an image a row and the columns path, class, tile are needed"),
        (HEAD.encode(), "has nothing"),
        (b"path;class;tile\na;lung_n;1\n", "has path;class;tile; an image a row"),
        (HEAD.encode() + b"caf\xe9,lung_n,1\n", "cannot be read as CSV in UTF-8"),
        (HEAD.encode() + b"a,lung_n,\n", "row 1 of .* no path, class or tile"),
        (HEAD.encode() + b"a,lung_n,1\nb\n", "row 2 of .* no path, class or tile"),
        (HEAD.encode() + b'"a,lung_n,1\n', "cannot be read as CSV"),
        (HEAD.encode() + b"a,lung_n,1,2\n", "row 1 of .* has too many fields"),
        (HEAD.encode() + b"a\0,lung_n,1\n", "row 1 of|cannot be read"),
        (HEAD.encode() + b'"a' * 70_000, "cannot be read as CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "cannot be read as CSV"),
        (b"x" * 60_000_000, "has 60,000,000 bytes"),
    ],
)
def test_what_is_no_list_is_told(content: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        parse_groups(content, Path("groups.csv"))


def test_words_that_look_like_missing_values_are_names() -> None:
    groups = parse_groups(HEAD.encode() + b"NA,lung_n,nan\n", Path("groups.csv"))
    assert groups.iloc[0].tolist() == ["NA", "lung_n", "nan"]
