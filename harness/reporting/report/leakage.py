"""The leakage statement of a run: what was kept apart, and what was proved of it."""

from __future__ import annotations

from harness.reporting.results import Results


def leakage_statement(results: Results) -> list[str]:
    """Return sentences that a paper can take as they are; sides are counted anew from the stored splits."""
    run, divisions = results.run, len(results.run.comparison.folds) * len(results.run.config.seeds)
    both = divided_accessions(results)
    head = (
        f"Images were divided under the protocol {run.protocol.name} ({run.protocol.title}), "
        f"{divisions} division{'s' * (divisions > 1)} into training, validation and test; augmentation came after the "
        "division."
    )
    proved = (
        "In none of them an accession number (the case that slides were cut from) has images on two sides; this was "
        f"{'checked before training, and once more' if run.comparison.group == 'accession' else 'counted'} from the "
        "stored divisions for this report."
        if not both
        else f"{both} accession numbers (cases that slides were cut from) have images on two sides of a division."
    )
    pictures = (
        "Before training, groups and images whose decoded pixels are the same (sha256) were looked for on different "
        "sides; "
        + ("none were found." if not run.leaks else f"the run was let through in spite of {'; '.join(run.leaks)}.")
    )
    return [
        head,
        proved,
        pictures,
        _normalisation(results),
        "Labels of test images were held by the process that evaluates and by no process that trains; what is chosen "
        "(the epoch, the threshold, the best shortcut) was chosen on validation images.",
        *(
            [f"That holds for no model that was trained elsewhere: {', '.join(scored)}; nothing is known of those."]
            if (scored := [label for label in results.labels if results.is_scored(label)])
            else []
        ),
        f"Fingerprint of the divisions: {run.comparison.splits}; sha256 of names and contents of the images: "
        f"{run.comparison.images}. That one accession is one patient follows from how laboratories number cases; the "
        "data set does not state it.",
    ]


def divided_accessions(results: Results) -> int:
    """Count the accessions that have images on two sides of a division."""
    accession = results.splits["image"].map(results.images.set_index("name")["accession"])
    sides = results.splits.assign(accession=accession).groupby(["seed", "fold", "accession"])["side"].nunique()
    return int(sides[sides > 1].reset_index()["accession"].nunique())


def tested_accessions(results: Results) -> int:
    """Count the accessions that were tested."""
    return int(results.test["accession"].nunique())


def _normalisation(results: Results) -> str:
    stain = results.run.config.pixels.stain
    if stain == "none":
        return "Colours were not normalised."
    if stain == "fitted":
        return "Colours were normalised to the median stains of each fold's training images."
    if stain == "slide":
        return "Colours were normalised by the pictures of a slide that stand on the same side."
    return f"Colours were normalised ({stain}) from each image by itself."
