"""Markdown rendering of an audit report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from harness.audit.report import AuditReport, DivisionFinding, ImageSize, RelatedSlides
from harness.audit.shortcuts import AS_FILED, METHODS, PropertyScore
from harness.data.background import DARK_LEVEL
from harness.data.description import plural
from harness.data.near_duplicates import HASH_BITS, MAX_DIFFERING_BITS, MIN_CORRELATION, IdenticalImages, NearDuplicate
from harness.data.tissue import LOW_TISSUE_SHARE, OUTLYING_SCORE, TISSUE_DENSITY
from harness.text import markdown, natural_order

N_EXAMPLES = 5
"""How many images of a kind the report for people names."""
N_OFFENDERS = 3
"""How many of a kind it names for a split."""

_STAIN_COUNTS = (("dark_backgrounds", "with_background"), ("swapped", "images"), ("unchanged", "images"))
_LUNG_TREE = "lung_colon_image_set/lung_image_sets/"


def render_audit(report: AuditReport) -> str:
    """Return the report as plain text that is also Markdown: summary, findings with a few examples, splits."""
    filing = _filing(report) if report.data_set is not None else ()
    findings = [*_pictures(report), *filing, *_oddities(report)]
    rows = [[finding.title, f"{finding.count:,}", finding.remark] for finding in findings]
    sections = [line for finding in findings if finding.items for line in _section(finding)]
    summary = _table({"found": "left", "number": "right", "": "left"}, rows)
    return "\n".join([*_heading(report), *summary, *sections, *_splits(report), *_shortcuts(report)]) + "\n"


@dataclass(frozen=True)
class _Finding:
    """A line of the summary, and the section that explains it and lists ``items``."""

    title: str
    count: int
    remark: str
    meaning: str
    items: Sequence[str]


def _heading(report: AuditReport) -> list[str]:
    data_set = report.data_set
    if data_set is None:
        what = f"LC25000, lung classes: {report.n_images:,} images, copies of {report.n_origins:,} tiles"
    else:
        once = f" (counted once a {data_set.subtype})" if data_set.subtype else ""
        slides = f"{report.n_origins:,} {plural(data_set.subgroup)}{once}, " if data_set.has_subgroups else ""
        what = f"{data_set.name}: {report.n_images:,} images, {slides}{report.n_groups:,} {plural(data_set.group)}"
    notes = [line for note in report.notes for line in (_plain(note), "")]
    return [f"# Audit of {_plain(report.folder)}", "", *notes, what, ""]


def _origins(report: AuditReport) -> str:
    """Return what images are of, in a word: slides, or tiles."""
    return "tiles" if report.data_set is None else plural(report.data_set.subgroup)


def _words(report: AuditReport) -> dict[str, str]:
    """Return what stands on two sides of a split, in words."""
    groups = {}
    if report.data_set is not None:
        groups = {"group": plural(report.data_set.group), "subgroup": plural(report.data_set.subgroup)}
    return {
        **groups,
        "tile": "tiles",
        "identical": "identical groups",
        "near_duplicate": "near-duplicate pairs",
    }


def _table(alignment: dict[str, str], rows: list[list[str]]) -> list[str]:
    """Draw ``rows`` below the heads that ``alignment`` aligns."""
    sides = list(alignment.values())
    return [tabulate(rows, headers=list(alignment), tablefmt="pipe", disable_numparse=True, colalign=sides), ""]


def _section(finding: _Finding) -> list[str]:
    rest = len(finding.items) - N_EXAMPLES
    examples = [f"- {_plain(item)}" for item in finding.items[:N_EXAMPLES]] + [f"- and {rest:,} more"] * (rest > 0)
    return [f"## {finding.title.capitalize()}: {finding.count:,}", "", finding.meaning, "", *examples, ""]


def _pictures(report: AuditReport) -> Iterator[_Finding]:
    yield _Finding(
        "damaged images",
        len(report.damaged),
        "compared with nothing" if report.damaged else "",
        "They do not decode; get them again.",
        [f"{image}: {reason}" for image, reason in report.damaged],
    )
    yield _Finding(
        "groups of pixel-identical images",
        len(report.identical),
        f"{_n_across(report.identical):,} of them between {_origins(report)}",
        f"Equal in every pixel at full size.{_places(report, report.identical)}",
        [" = ".join(group.images) for group in report.identical],
    )
    yield _Finding(
        "pairs of near-duplicates",
        len(report.near_duplicates),
        f"{_n_across(report.near_duplicates):,} of them between {_origins(report)}",
        "The same again: re-encoded, mirrored, turned by quarters (by no other angle), or photographed twice. At most "
        f"{MAX_DIFFERING_BITS} of {HASH_BITS} bits of a perceptual hash differ, and thumbnails correlate by at least "
        f"{MIN_CORRELATION}.{_places(report, report.near_duplicates)}",
        [
            f"{' ~ '.join(one.images)} ({one.symmetry}; {one.differing_bits} bits, correlation {one.correlation:.2f})"
            for one in report.near_duplicates
        ],
    )


def _filing(report: AuditReport) -> Iterator[_Finding]:
    data_set = report.data_set
    if data_set is None:
        return
    slide, groups, kind = data_set.subgroup, plural(data_set.group), data_set.subtype or "class"
    contradicting = sum(len(slide.classes) > 1 for slide in report.double_slides)
    yield _Finding(
        f"{plural(slide)} under several {plural(kind) if data_set.subtype else 'classes'}",
        len(report.double_slides),
        f"{contradicting:,} of them of several classes" if data_set.subtype else "",
        f"One {slide} under several: the same tissue with contradicting diagnoses, or tissue of several kinds.",
        [_related(slide) for slide in report.double_slides],
    )
    if data_set.has_subgroups:
        n_images = sum(group.n_images for group in report.divided_groups)
        yield _Finding(
            f"{groups} of several {plural(slide)}",
            len(report.divided_groups),
            f"{n_images:,} images, {100 * n_images / max(1, report.n_images):.1f} %",
            f"They are parts of one {data_set.group}, and belong on one side of a split.",
            [_related(group) for group in report.divided_groups],
        )
    yield _Finding("other images", len(report.unparsed), "not known to it", "In no split.", report.unparsed)
    yield _Finding("pictures not read", len(report.unread), "neither PNG nor JPEG", "Convert them.", report.unread)
    yield _Finding("repeated files", len(report.repeated), "same name and bytes", "Counted once.", report.repeated)


def _oddities(report: AuditReport) -> Iterator[_Finding]:
    common, others = report.sizes[:1], report.sizes[1:]
    yield _Finding(
        "images of another size",
        sum(size.n_images for size in others),
        "".join(f"most are {_size(size)} pixels (height x width)" for size in common),
        "Models see them squashed or cropped in another proportion.",
        [f"{_size(size)}: {size.n_images:,} images, the first is {size.images[0]}" for size in others],
    )
    yield _Finding(
        "images stained unlike the others",
        len(report.stain_outliers),
        "or far too dark or bright",
        f"Mean optical density of hematoxylin or eosin in tissue lies more than {OUTLYING_SCORE} robust standard "
        "deviations from the median (Iglewicz & Hoaglin 1993).",
        [
            f"{one.image}: hematoxylin {one.hematoxylin_score:+.1f}, eosin {one.eosin_score:+.1f}"
            for one in report.stain_outliers
        ],
    )
    yield _Finding(
        "images with hardly any tissue",
        len(report.low_tissue),
        f"less than {100 * LOW_TISSUE_SHARE:.0f} % of the pixels",
        f"Tissue is what is denser than the background by {TISSUE_DENSITY} in green (optical density, natural).",
        [f"{one.image}: {100 * one.share:.1f} %" for one in report.low_tissue],
    )


def _n_across(found: Sequence[IdenticalImages | NearDuplicate]) -> int:
    return sum(len(item.origins) > 1 for item in found)


def _places(report: AuditReport, found: Sequence[IdenticalImages | NearDuplicate]) -> str:
    """Say between which slides or tiles they stand, those with the most first."""
    counts = Counter(" and ".join(item.origins) for item in found if len(item.origins) > 1)
    places = [f"{place}: {number:,}" for place, number in counts.most_common()]
    return f" Between {_origins(report)}: {_first(places)}." if places else ""


def _related(slides: RelatedSlides) -> str:
    return f"{slides.name}: {', '.join(slides.slides)} ({' and '.join(slides.classes)}; {slides.n_images:,} images)"


def _size(size: ImageSize) -> str:
    return f"{size.height} x {size.width}"


def _splits(report: AuditReport) -> list[str]:
    kinds = list(dict.fromkeys(kind for division in report.divisions for kind in division.shared))
    rows = [
        [division.name, *(f"{len(division.shared[kind]):,}" if division.shared else "-" for kind in kinds)]
        for division in report.divisions
    ]
    words = _words(report)
    table = _table({"split": "left"} | {words[kind]: "right" for kind in kinds}, rows)
    head = f"## What splits put on two sides of a fold (seed {report.seed}; images that a run drops are in)"
    return [head, "", *table, *(_explained(division, words) for division in report.divisions)]


def _shortcuts(report: AuditReport) -> list[str]:
    """What single properties predict, and what stain normalisation makes of pictures."""
    groups = "patients" if report.data_set is None else plural(report.data_set.group)
    head = ["", f"## What single properties of a picture predict, {groups} apart", ""]
    if not report.properties:
        return [*head, _plain(report.no_shortcuts)]
    strata = natural_order({score.stratum for score in report.properties})
    by_row: dict[tuple[str, str], dict[str, str]] = {}
    for score in report.properties:
        by_row.setdefault((score.name, score.colours), {})[score.stratum] = _score(score)
    rows = [[name, colours, *(found[at] for at in strata)] for (name, colours), found in by_row.items()]
    heads = {"property": "left", "colours": "left"} | dict.fromkeys(strata, "right")
    meaning = (
        f"AUC of a logistic regression on the property alone, five folds, {groups} apart, with its 95 % interval, and "
        "its balanced accuracy. Colours: of the file as it is at full size, or at 64 x 64 pixels after a stain "
        "normalisation. The white point is the light behind the slide and nothing of tissue; mean colour and sharpness "
        "are of both. A network that is no better than a property may have learned no more than that."
    )
    return [*head, _strongest(report), "", *_table(heads, rows), meaning, *_stains(report)]


def _score(score: PropertyScore) -> str:
    if score.auc is None or score.balanced_accuracy is None:
        return "-"
    interval = "" if score.auc_low is None else f" ({score.auc_low:.2f} to {score.auc_high:.2f})"
    return f"{score.auc:.2f}{interval}, {score.balanced_accuracy:.2f}"


def _strongest(report: AuditReport) -> str:
    """Name the strongest property of the files at each stratum."""
    as_filed = [score for score in report.properties if score.colours == AS_FILED and score.auc is not None]
    best = {score.stratum: score for score in sorted(as_filed, key=lambda score: score.auc or 0)}
    named = [f"{at} {best[at].name}, AUC {best[at].auc:.2f}" for at in natural_order(best)]
    message = "; ".join(named) or "none can be told, since no stratum has all classes in enough folds"
    return f"The strongest property of the files: {message}."


def _stains(report: AuditReport) -> list[str]:
    by_method = {(outcome.method, outcome.label): outcome for outcome in report.stains}
    labels = sorted({outcome.label for outcome in report.stains})
    classes = report.data_set.classes if report.data_set else []
    heads = {"stain": "left"} | {
        f"{what}, {classes[label]}": "right" for what in ("dark background", "swapped", "unchanged") for label in labels
    }
    rows = [
        [
            method,
            *(
                f"{100 * count / max(1, getattr(by_method[method, label], of)):.1f} %"
                for counts, of in (
                    ("dark_backgrounds", "with_background"),
                    ("swapped", "images"),
                    ("unchanged", "images"),
                )
                for label in labels
                for count in [getattr(by_method[method, label], counts)]
            ),
        ]
        for method in METHODS
    ]
    meaning = (
        f"Dark background: its median grey is below {DARK_LEVEL:.0f} afterwards. Swapped: what is painted as "
        "haematoxylin is nearer to the reference's eosin, and the other way round. Unchanged: the stains could not be "
        "told."
    )
    return ["", "## What stain normalisation makes of the pictures", "", *_table(heads, rows), meaning]


def _explained(division: DivisionFinding, words: Mapping[str, str]) -> str:
    refused = [f"    - cannot be made here: {_plain(division.refused)}"] if division.refused else []
    shared = [f"    - {words[kind]}: {_first(items)}" for kind, items in division.shared.items() if items]
    return "\n".join([f"- {division.name}: {division.title}", *refused, *shared])


def _first(items: Sequence[str]) -> str:
    rest = len(items) - N_OFFENDERS
    return "; ".join([*map(_plain, items[:N_OFFENDERS]), *[f"and {rest:,} more"] * (rest > 0)])


def _plain(text: str) -> str:
    """Make text from file names safe to print; LC25000's tree goes."""
    return markdown(text.replace(_LUNG_TREE, ""))
