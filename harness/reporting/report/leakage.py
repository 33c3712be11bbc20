"""The leakage statement of a run: what was kept apart, and what was proved of it."""

from __future__ import annotations

from harness.reporting.results import Results


def leakage_statement(results: Results) -> list[str]:
    """Return sentences that a paper can take as they are; sides are counted anew from the stored splits."""
    run, divisions = results.run, len(results.run.comparison.folds) * len(results.run.config.seeds)
    both, group = divided_groups(results), run.data_set.group
    head = (
        f"Images were divided under the protocol {run.protocol.name} ({run.protocol.title}), "
        f"{divisions} division{'s' * (divisions > 1)} into training, validation and test; augmentation came after the "
        "division."
    )
    proved = (
        f"In none of them {_article(group)} has images on two sides; this was "
        f"{'checked before training, and once more' if run.comparison.group == group else 'counted'} from the "
        "stored divisions for this report."
        if not both
        else f"{both} {results.groups} have images on two sides of a division."
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
        f"{run.comparison.images}. Whether one {group} is one patient is for the data set to state.",
    ]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def divided_groups(results: Results) -> int:
    """Count the groups that have images on two sides of a division."""
    group = results.splits["image"].map(results.images.set_index("name")["group"])
    sides = results.splits.assign(group=group).groupby(["seed", "fold", "group"])["side"].nunique()
    return int(sides[sides > 1].reset_index()["group"].nunique())


def tested_groups(results: Results) -> int:
    """Count the groups that were tested."""
    return int(results.test["group"].nunique())


def _normalisation(results: Results) -> str:
    stain = results.run.config.pixels.stain
    if stain == "none":
        return "Colours were not normalised."
    if stain == "fitted":
        return "Colours were normalised to the median stains of each fold's training images."
    if stain == "slide":
        return f"Colours were normalised by the pictures of a {results.data_set.subgroup} that stand on the same side."
    return f"Colours were normalised ({stain}) from each image by itself."
