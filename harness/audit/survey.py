"""The audit: copies, near-copies, odd pictures, shortcuts, and leaks of each protocol.

Nothing is changed or left out. Every image is looked at once, all are compared with each other, and every protocol is
tried on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.audit.figures import draw_stains, draw_whites
from harness.audit.report import AuditReport, DivisionFinding, ImageSize, RelatedSlides
from harness.audit.shortcuts import PICTURE_SIZE, PropertyScore, StainOutcome, file_properties, measure_shortcuts
from harness.data.decode import content_digest, decode_full_size, resize_square
from harness.data.description import DataSetDescription
from harness.data.manifest import DROPPED, REPEATED, UNPARSED, USED, unread_pictures, used_images
from harness.data.near_duplicates import THUMBNAIL_SIZE, NearDuplicate, find_near_duplicates, group_identical, thumbnail
from harness.data.sources import COPIES, scan_source
from harness.data.tissue import low_tissue, measure_tissue, stain_outliers
from harness.errors import DataError, SplitError
from harness.processes import map_strange
from harness.protocol.group_assignment import class_sets
from harness.protocol.leak_gate import Leak, find_leak, find_picture_leak
from harness.protocol.protocols import deal_tenths, protocols_of, split_images

Progress = Callable[[int, int], None]

_NO_GROUP = "images that the data set does not know"


@dataclass(frozen=True)
class AuditedImages:
    """Images to audit.

    Attributes:
        root: Where they lie.
        manifest: What they are; those that a data set drops are looked at as well.
        data_set: What the data set is.
        notes: What the data set says of the files.
    """

    root: Path
    manifest: pd.DataFrame
    data_set: DataSetDescription
    notes: tuple[str, ...]


def audit_images(
    audited: AuditedImages, seed: int = 0, on_progress: Progress | None = None, figures: Path | None = None
) -> AuditReport:
    """Audit the images of a data set.

    From 256 images on a pool of processes decodes them, so a script that calls this needs the usual ``__main__`` guard.

    Args:
        audited: The images.
        seed: The seed of the divisions that are tried.
        on_progress: Called with (images looked at, images in all).
        figures: A folder for pictures of the whites and of what stain normalisation does; it shows the images.

    Raises:
        DataError: No figures can be drawn of them. Damaged images raise nothing; the report names them.
    """
    root, data_set = audited.root, audited.data_set
    manifest = audited.manifest.assign(state=audited.manifest["state"].replace(DROPPED, USED))
    unparsed, repeated = (manifest["state"] == state for state in (UNPARSED, REPEATED))
    manifest["image"] = manifest["name"].mask(unparsed, manifest["file"])
    manifest["origin"] = (manifest["subtype"] + " " + manifest["subgroup"]).str.strip().mask(unparsed, _NO_GROUP)
    images = manifest[~repeated].reset_index(drop=True)
    used = used_images(images)
    seen, thumbnails, common = _look(root, images, on_progress)
    near = find_near_duplicates(seen, thumbnails)
    content = seen.set_index("image")["content"]
    content = content[content.index.isin(used["name"])]
    named = seen[seen["image"].isin(used["name"])]
    properties, stains, no_shortcuts = _shortcuts(named, data_set, seed)
    if figures is not None and no_shortcuts:
        raise DataError(f"no figures can be drawn of {root}: {no_shortcuts}")
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        draw_whites(named, data_set, figures / "whites.png")
        draw_stains(named, np.stack(list(named["picture"])), data_set, seed, figures / "stains.png")
    return AuditReport(
        folder=str(root),
        data_set=data_set,
        seed=seed,
        n_origins=used["origin"].nunique(),
        n_groups=used["group"].nunique(),
        repeated=tuple(manifest.loc[repeated, "file"]),
        unparsed=tuple(manifest.loc[unparsed, "file"]),
        notes=audited.notes,
        unread=unread_pictures(root),
        near_duplicates=near,
        double_slides=_related_slides(used, "subgroup", "subtype" if data_set.subtype else "label", data_set),
        divided_groups=_related_slides(used, "group", "subgroup", data_set),
        divisions=_protocol_divisions(used, content, near, (data_set, seed)),
        properties=properties,
        stains=stains,
        no_shortcuts=no_shortcuts,
        **common,
    )


def is_lung(root: Path) -> bool:
    """True for a folder of LC25000."""
    return (root / "groups.csv").is_file() or (root / "lung_colon_image_set").is_dir()


def audit_lung(root: Path, seed: int = 0, on_progress: Progress | None = None) -> AuditReport:
    """Audit the lung images of LC25000, with the tile groups of ``groups.csv``.

    Raises:
        DataError: The tile groups are missing or incomplete (see :func:`~harness.data.sources.scan_source`).
    """
    source = scan_source("lc25000", [root]).images
    images = pd.DataFrame(
        {
            "file": [Path(os.path.relpath(file, root)).as_posix() for file in source["file"]],
            "origin": source["group"],
            "stratum": source["label"].astype(str),
            "side": source["side"],
        }
    )
    images["image"] = images["file"]
    seen, thumbnails, common = _look(root, images, on_progress)
    near = find_near_duplicates(seen, thumbnails)
    return AuditReport(
        folder=str(root),
        data_set=None,
        seed=seed,
        n_origins=images["origin"].nunique(),
        n_groups=0,
        repeated=(),
        unparsed=(),
        notes=(),
        unread=unread_pictures(root),
        near_duplicates=near,
        double_slides=(),
        divided_groups=(),
        divisions=_lung_divisions(images, seen.set_index("image")["content"], near, seed),
        properties=(),
        stains=(),
        no_shortcuts="not measured: LC25000 has no patients to keep apart",
        **common,
    )


def _look(
    root: Path, images: pd.DataFrame, on_progress: Progress | None
) -> tuple[pd.DataFrame, NDArray[np.uint8], dict[str, Any]]:
    """Look at ``images`` (file, image, origin): what decoded, its thumbnails, and findings that need no pairs."""
    rows: list[dict[str, Any]] = []
    for facts in map_strange(_facts_of, [root / file for file in images["file"]], str):
        rows.append(facts)
        if on_progress:
            on_progress(len(rows), len(images))
    found = pd.DataFrame(rows, columns=[*_FACTS, "properties", "picture", "thumbnail", "error"])
    table = pd.concat([images.reset_index(drop=True), found], axis=1)
    seen = table[table["error"].isna()].reset_index(drop=True)
    damaged = table[table["error"].notna()]
    common = {
        "n_images": len(images),
        "damaged": tuple(zip(damaged["image"], damaged["error"], strict=True)),
        "identical": group_identical(seen),
        "sizes": _sizes(seen),
        "stain_outliers": stain_outliers(seen),
        "low_tissue": low_tissue(seen),
    }
    thumbnails = np.array(list(seen.pop("thumbnail")), np.uint8).reshape(-1, 3, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    return seen, thumbnails, common


def _shortcuts(
    seen: pd.DataFrame, data_set: DataSetDescription, seed: int
) -> tuple[tuple[PropertyScore, ...], tuple[StainOutcome, ...], str]:
    """Measure what single properties predict; the reason where that cannot be done."""
    if seen.empty:
        return (), (), "not measured: no image that the data set knows"
    pictures = np.stack(list(seen["picture"]))
    try:
        return *measure_shortcuts(seen.drop(columns="picture"), pictures, data_set, seed), ""
    except SplitError as error:
        return (), (), f"not measured: {error}"


_FACTS = ("content", "height", "width", "share", "hematoxylin", "eosin")


def _facts_of(path: Path) -> dict[str, Any]:
    """Reduce an image to what the audit keeps of it; a damaged one to its ``error``."""
    try:
        image = decode_full_size(path)
    except RuntimeError as error:
        return {"error": str(error)}
    _, height, width = image.shape
    pixels = image.numpy()
    tissue = measure_tissue(pixels)
    values = (content_digest(image), height, width, tissue.share, tissue.hematoxylin, tissue.eosin)
    return {
        **dict(zip(_FACTS, values, strict=True)),
        "properties": file_properties(pixels, path.stat().st_size),
        "picture": resize_square(image, PICTURE_SIZE, "squash").numpy(),
        "thumbnail": thumbnail(image),
    }


def _related_slides(
    used: pd.DataFrame, key: str, distinguished_by: str, data_set: DataSetDescription
) -> tuple[RelatedSlides, ...]:
    return tuple(
        RelatedSlides(
            str(name),
            tuple(sorted(set(group["origin"]))),
            tuple(data_set.classes[label] for label in sorted(set(group["label"]))),
            len(group),
        )
        for name, group in used.groupby(key)
        if len(set(group[distinguished_by])) > 1
    )


def _sizes(seen: pd.DataFrame) -> tuple[ImageSize, ...]:
    groups = [(int(h), int(w), tuple(group["image"])) for (h, w), group in seen.groupby(["height", "width"])]
    groups.sort(key=lambda group: (-len(group[2]), group))
    return tuple(ImageSize(h, w, len(names), names if place else ()) for place, (h, w, names) in enumerate(groups))


def _protocol_divisions(
    used: pd.DataFrame,
    content: pd.Series[str],
    near: tuple[NearDuplicate, ...],
    of: tuple[DataSetDescription, int],
) -> tuple[DivisionFinding, ...]:
    """Try every protocol of a data set with a seed."""
    (data_set, seed), named = of, used.set_index("name")
    identities = {"group": named["group"], "subgroup": named["subgroup"], "identical": content}
    if not data_set.has_subgroups:
        del identities["subgroup"]
    return tuple(
        _division((protocol.name, protocol.title), partial(split_images, protocol, used, (seed,)), identities, near)
        for protocol in protocols_of(data_set).values()
    )


def _lung_divisions(
    images: pd.DataFrame, content: pd.Series[str], near: tuple[NearDuplicate, ...], seed: int
) -> tuple[DivisionFinding, ...]:
    table = images[["image", "side"]].assign(fold=0, seed=seed)
    apart = table[table["side"] != COPIES]  # copies are held back to measure what a random split would
    identities = {"tile": images.set_index("image")["origin"], "identical": content}

    def at_random() -> pd.DataFrame:
        return table.assign(side=deal_tenths(images["image"], class_sets(images["image"], images["stratum"]), seed))

    ways = {
        ("random images", "one random 7:1:2 split over images"): at_random,
        ("tiles", "tiles kept apart, as the harness pre-trains"): lambda: apart,
    }
    return tuple(_division(words, divide, identities, near) for words, divide in ways.items())


def _division(
    words: tuple[str, str],
    divide: Callable[[], pd.DataFrame],
    identities: dict[str, pd.Series[str]],
    near: tuple[NearDuplicate, ...],
) -> DivisionFinding:
    """Divide, and look for what stands on two sides; ``words`` are the division's name and title."""
    try:
        splits = divide()
    except SplitError as error:
        return DivisionFinding(*words, shared={}, refused=str(error))
    leaks = {
        kind: find_picture_leak(splits, identity) if kind == "identical" else find_leak(kind, splits, identity)
        for kind, identity in identities.items()
    }
    leaks["near_duplicate"] = _find_pair_leak(splits, near)
    return DivisionFinding(*words, {kind: leak.offenders if leak else () for kind, leak in leaks.items()})


def _find_pair_leak(splits: pd.DataFrame, near: tuple[NearDuplicate, ...]) -> Leak | None:
    """Look for pairs on two sides: each pair takes the place of its images, and stands where they stand."""
    members = [(image, " ~ ".join(pair.images)) for pair in near for image in pair.images]
    placed = pd.DataFrame(members, columns=["member", "image"]).merge(
        splits.rename(columns={"image": "member"}), on="member"
    )
    names = placed["image"].unique()
    return find_leak("pair", placed, pd.Series(names, index=names)) if len(placed) else None
