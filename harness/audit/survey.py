"""The audit: copies, near-copies, odd pictures, shortcuts, and leaks of each protocol.

Nothing is changed or left out. Every image is looked at once, all are compared with each other, and every protocol is
tried on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
from harness.data.layout import misplaced_files, unread_pictures
from harness.data.manifest import REPEATED, UNPARSED, image_files, scan_folder, used_images
from harness.data.names import CLASSES, parse_stem
from harness.data.near_duplicates import THUMBNAIL_SIZE, NearDuplicate, find_near_duplicates, group_identical, thumbnail
from harness.data.sources import COPIES, scan_source
from harness.data.tissue import low_tissue, measure_tissue, stain_outliers
from harness.errors import DataError, SplitError
from harness.processes import map_strange
from harness.protocol.leak_gate import Leak, find_leak, find_picture_leak
from harness.protocol.protocols import PROTOCOLS, deal_tenths, split_images

Progress = Callable[[int, int], None]

_NO_SLIDE = "images without an official name"


def audit_folder(
    root: Path, seed: int = 0, on_progress: Progress | None = None, figures: Path | None = None
) -> AuditReport:
    """Audit BreakHis or LC25000 images.

    From 256 images on a pool of processes decodes them, so a script that calls this needs the usual ``__main__`` guard.

    Args:
        root: A folder of BreakHis images in any layout, both copies of slide 13412 included if they are there; or of
            LC25000, with its ``groups.csv``.
        seed: The seed of the divisions that are tried.
        on_progress: Called with (images looked at, images in all).
        figures: A folder for pictures of the whites and of what stain normalisation does; it shows images of ``root``.
            Only for BreakHis.

    Raises:
        DataError: ``root`` is no folder, holds neither set, or its files contradict each other (see
            :func:`~harness.data.manifest.scan_folder` and :func:`~harness.data.sources.scan_source`). Damaged images
            raise nothing; the report names them.
    """
    if not root.is_dir():
        raise DataError(f"no such folder: {root} - pass the folder that holds the images")
    paths = list(image_files(root))
    if any(parse_stem(path.stem) for path in paths):
        return _audit_breakhis(root, seed, on_progress, figures)
    if (root / "groups.csv").is_file() or (root / "lung_colon_image_set").is_dir():
        return _audit_lung(root, seed, on_progress)
    raise DataError(
        f"{root} holds {len(paths):,} image files, but neither BreakHis (names like SOB_B_A-14-22549AB-40-001.png) nor "
        "LC25000 (a folder lung_colon_image_set, and groups.csv with the columns path, class, tile) - pass the folder "
        "of one of them, or generate one with 'harness data phantom DIR'"
    )


def _audit_breakhis(root: Path, seed: int, on_progress: Progress | None, figures: Path | None) -> AuditReport:
    manifest = scan_folder(root, "keep")
    unparsed, repeated = (manifest["state"] == state for state in (UNPARSED, REPEATED))
    manifest["image"] = manifest["name"].mask(unparsed, manifest["file"])
    manifest["origin"] = (manifest["type"] + " " + manifest["slide"]).mask(unparsed, _NO_SLIDE)
    images = manifest[~repeated].reset_index(drop=True)
    used = used_images(images)
    seen, thumbnails, common = _look(root, images, on_progress)
    near = find_near_duplicates(seen, thumbnails)
    content = seen.set_index("image")["content"]
    content = content[content.index.isin(used["name"])]
    named = seen[seen["image"].isin(used["name"])]
    properties, stains, no_shortcuts = _shortcuts(named, seed)
    if figures is not None and no_shortcuts:
        raise DataError(f"no figures can be drawn of {root}: {no_shortcuts}")
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        draw_whites(named, figures / "whites.png")
        draw_stains(named, np.stack(list(named["picture"])), seed, figures / "stains.png")
    return AuditReport(
        folder=str(root),
        kind="breakhis",
        seed=seed,
        n_origins=used["origin"].nunique(),
        n_accessions=used["accession"].nunique(),
        repeated=tuple(manifest.loc[repeated, "file"]),
        unparsed=tuple(manifest.loc[unparsed, "file"]),
        misplaced=misplaced_files(manifest["file"]),
        unread=unread_pictures(root),
        near_duplicates=near,
        double_slides=_related_slides(used, "slide", "type"),
        divided_accessions=_related_slides(used, "accession", "slide"),
        divisions=_breakhis_divisions(used, content, near, seed),
        properties=properties,
        stains=stains,
        no_shortcuts=no_shortcuts,
        **common,
    )


def _audit_lung(root: Path, seed: int, on_progress: Progress | None) -> AuditReport:
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
        kind="lc25000",
        seed=seed,
        n_origins=images["origin"].nunique(),
        n_accessions=0,
        repeated=(),
        unparsed=(),
        misplaced=(),
        unread=unread_pictures(root),
        near_duplicates=near,
        double_slides=(),
        divided_accessions=(),
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


def _shortcuts(seen: pd.DataFrame, seed: int) -> tuple[tuple[PropertyScore, ...], tuple[StainOutcome, ...], str]:
    """Measure what single properties predict; the reason where that cannot be done."""
    if seen.empty:
        return (), (), "not measured: no image with an official name"
    pictures = np.stack(list(seen["picture"]))
    try:
        return *measure_shortcuts(seen.drop(columns="picture"), pictures, seed), ""
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


def _related_slides(used: pd.DataFrame, key: str, distinguished_by: str) -> tuple[RelatedSlides, ...]:
    return tuple(
        RelatedSlides(
            str(name),
            tuple(sorted(set(group["origin"]))),
            tuple(CLASSES[label] for label in sorted(set(group["label"]))),
            len(group),
        )
        for name, group in used.groupby(key)
        if len(set(group[distinguished_by])) > 1
    )


def _sizes(seen: pd.DataFrame) -> tuple[ImageSize, ...]:
    groups = [(int(h), int(w), tuple(group["image"])) for (h, w), group in seen.groupby(["height", "width"])]
    groups.sort(key=lambda group: (-len(group[2]), group))
    return tuple(ImageSize(h, w, len(names), names if place else ()) for place, (h, w, names) in enumerate(groups))


def _breakhis_divisions(
    used: pd.DataFrame, content: pd.Series[str], near: tuple[NearDuplicate, ...], seed: int
) -> tuple[DivisionFinding, ...]:
    named = used.set_index("name")
    identities = {"accession": named["accession"], "slide": named["slide"], "identical": content}
    return tuple(
        _division((protocol.name, protocol.title), partial(split_images, protocol, used, (seed,)), identities, near)
        for protocol in PROTOCOLS.values()
    )


def _lung_divisions(
    images: pd.DataFrame, content: pd.Series[str], near: tuple[NearDuplicate, ...], seed: int
) -> tuple[DivisionFinding, ...]:
    table = images[["image", "side"]].assign(fold=0, seed=seed)
    apart = table[table["side"] != COPIES]  # copies are held back to measure what a random split would
    identities = {"tile": images.set_index("image")["origin"], "identical": content}

    def at_random() -> pd.DataFrame:
        return table.assign(side=deal_tenths(images["image"], images["stratum"], seed))

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
