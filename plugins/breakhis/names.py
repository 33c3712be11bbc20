"""BreakHis file names and their fields.

``SOB_B_A-14-22549AB-40-001.png`` reads: biopsy method SOB, benign, adenosis, year 14, slide 22549AB, 40x, image 001.
The slide number without its letter suffix is the pathology case, the *accession*: 22549AB and 22549CD are two parts of
one case, so both must stand on one side of a split (Spanhol et al., IEEE TBME 2016, name the fields; the rest is how
pathology labs number cases).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CLASSES = ("benign", "malignant")
"""The two classes in the order of their labels: benign 0, malignant 1."""

MAGNIFICATIONS = (40, 100, 200, 400)
TWICE_PUBLISHED_SLIDE = "14-13412"
"""The slide that BreakHis holds under both DC and LC: the same pictures under two diagnoses."""

TYPE_FOLDERS = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
"""Tumour type code to the folder name of the official tree, benign types first."""

_CLASS_OF_TYPE = {code: CLASSES[0] if code in {"A", "F", "PT", "TA"} else CLASSES[1] for code in TYPE_FOLDERS}
_STEM = re.compile(
    r"SOB_(?P<letter>[BM])_(?P<type>A|F|PT|TA|DC|LC|MC|PC)"
    r"-(?P<year>[0-9]{2})-(?P<number>[0-9]{1,8})(?P<part>[A-Z]{0,4})"
    r"-(?P<magnification>40|100|200|400)-(?P<sequence>[0-9]{3})"
)


@dataclass(frozen=True, slots=True)
class ImageName:
    """The fields of an official file name.

    Attributes:
        stem: The name without its ending, unique in the data set.
        tumour_type: ``A F PT TA`` (benign) or ``DC LC MC PC`` (malignant).
        slide: Year and number with its letters, such as ``14-22549AB``.
        accession: The slide without its letters, such as ``14-22549``.
        magnification: 40, 100, 200 or 400.
        sequence: The image's number within slide and magnification.
    """

    stem: str
    tumour_type: str
    slide: str
    accession: str
    magnification: int
    sequence: int

    @property
    def label(self) -> int:
        """0 for benign, 1 for malignant."""
        return CLASSES.index(self.class_name)

    @property
    def class_name(self) -> str:
        """``benign`` or ``malignant``."""
        return _CLASS_OF_TYPE[self.tumour_type]

    @property
    def official_folder(self) -> str:
        """The image's folder in the official tree, such as ``benign/SOB/adenosis/SOB_B_A_14-22549AB/40X``."""
        letter = self.class_name[0].upper()
        slide_folder = f"SOB_{letter}_{self.tumour_type}_{self.slide}"
        return f"{self.class_name}/SOB/{TYPE_FOLDERS[self.tumour_type]}/{slide_folder}/{self.magnification}X"


def stratum_name(magnification: int) -> str:
    """Return the stratum that a magnification is: a column of the tables, such as ``200x``."""
    return f"{magnification}x"


def parse_stem(stem: str) -> ImageName | None:
    """Read a file name without its ending; None where it is not an official name in every part."""
    match = _STEM.fullmatch(stem)
    if match is None or _CLASS_OF_TYPE[match["type"]][0].upper() != match["letter"]:
        return None
    accession = f"{match['year']}-{match['number']}"
    return ImageName(
        stem=stem,
        tumour_type=match["type"],
        slide=accession + match["part"],
        accession=accession,
        magnification=int(match["magnification"]),
        sequence=int(match["sequence"]),
    )
