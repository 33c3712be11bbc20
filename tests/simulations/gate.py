"""How often `harness compare` cries wolf, and what it finds.

python tests/simulations/gate.py RERUNS --timed RUN --timed RUN ... --data DIR > results/statistics/gate.md

RERUNS is a run of reruns.yaml: one network trained several times on the same splits. What chance does to its scores is
split into parts (of a cell, of an accession within a cell, of an image), and to its area over the training curve
likewise. The other runs are of the same models on one machine, each with three readings of every speed:

harness run demo --models densenet,densenet-se,deep-transfer -o protocol=holdout -o seeds=[0,1] -o schedule.epochs=1

Two runs that differ by nothing but such chance are then drawn as often as wanted, at the sizes of BreakHis, and judged
by the harness's own code. Where a change makes code slower and nothing else, training is the same to the bit, and only
the readings are left to chance.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from breakhis import PROTOCOLS, official_table, scan_folder
from scipy.special import expit, logit
from scipy.stats import binomtest
from tabulate import tabulate
from timing import Timing, judged_pairs, measure_timing, readings_of, timed_change

from harness.data.manifest import used_images
from harness.evaluation.changes import CELL, UNCHANGED, Change, clustered_mean, cost_change, judge
from harness.evaluation.convergence import area_over_curve, plateau
from harness.protocol.names import TEST
from harness.reporting.comparison import Margins
from harness.reporting.results import Results, read_results
from harness.store.run_store import RunStore

NETWORKS = 3
FULL = ("40x", "100x", "200x", "400x")
COSTS, SLOWER, SCATTER = (1.1, 1.15, 1.25, 1.5, 2.0), (1.15, 1.25, 1.33), (0.02, 0.04, 0.06, 0.08)
MANY_SEEDS, SURE = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30), 0.95


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a network's scores (logits towards the right class) and of its log learning cost.

    Attributes:
        mean: Of the scores.
        accession: Between accessions, the same in every rerun.
        image: Between images of an accession, the same in every rerun.
        cell: From rerun to rerun, shared by a cell's images, towards the right class.
        bias: From rerun to rerun, shared by a cell's images, towards malignant.
        accession_again: From rerun to rerun, of an accession in a cell.
        image_again: From rerun to rerun, of an image.
        images: Of the logarithm of a cell's area over the training curve, from rerun to rerun.
        timing: Of the logarithm of its calibrated speed.
    """

    mean: float
    accession: float
    image: float
    cell: float
    bias: float
    accession_again: float
    image_again: float
    images: float
    timing: Timing


@dataclass(frozen=True)
class Harm:
    """What is done to the first network of a family.

    Attributes:
        logits: Taken from its scores.
        dearer: Images that it needs, in multiples.
        slower: Seconds that an image takes, in multiples.
        same_training: Nothing but the seconds of the networks differs, of any of them.
    """

    logits: float = 0.0
    dearer: float = 1.0
    slower: float = 1.0
    same_training: bool = False


@dataclass(frozen=True, eq=False)
class Design:
    """What is tested, as numbers from 0, (N,).

    Attributes:
        accession: The accession of every test image.
        label: Its class.
        cell: Its cell.
        pair: Its accession within its cell.
        parts: For every magnification and for all: which images, and their accessions and cells numbered anew.
    """

    accession: np.ndarray
    label: np.ndarray
    cell: np.ndarray
    pair: np.ndarray
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def measure_noise(results: Results, timing: Timing) -> Noise:
    """Split what differs between reruns into its parts."""
    table = results.test.reset_index(drop=True)
    sign = 2 * table["label"] - 1
    table["score"] = logit(table["p_1"].clip(1e-3, 1 - 1e-3)) * sign
    images = table.groupby("image")["score"].transform("mean")
    rest = table.assign(rest=table["score"] - images)
    by_class = rest.groupby(["model", *CELL, "label"])["rest"].mean().unstack("label")
    cell, bias = (by_class[1] + by_class[0]) / 2, (by_class[1] - by_class[0]) / 2
    rest["rest"] -= rest.groupby(["model", *CELL, "label"])["rest"].transform("mean")
    accession = rest.groupby(["model", *CELL, "group"])["rest"].transform("mean")
    once = table.assign(mean=images).drop_duplicates("image")
    of_accession = once.groupby("group")["mean"].mean()
    # the mean over R reruns takes 1/R of every part away with it
    grown = math.sqrt(1 / (1 - 1 / table["model"].nunique()))
    return Noise(
        mean=float(once["mean"].mean()),
        accession=float(of_accession.std()),
        image=float((once["mean"] - once["group"].map(of_accession)).std()),
        cell=float(cell.std()) * grown,
        bias=float(bias.std()) * grown,
        accession_again=float(accession.std()) * grown,
        image_again=float((rest["rest"] - accession).std()) * grown,
        images=_cost_noise(results),
        timing=timing,
    )


def _cost_noise(results: Results) -> float:
    """Hold every rerun's training curve against the mean plateau of its cell, as the comparison holds two runs'."""
    curves = [
        (record.stratum, record.fold, record.seed, results.final_history(name))
        for name, record in results.cells.items()
    ]
    table = pd.DataFrame(curves, columns=[*CELL, "history"])
    plateaus = table["history"].map(lambda history: plateau(history["train_balanced_accuracy"].to_numpy()))
    table["level"] = plateaus.groupby([table[key] for key in CELL]).transform("mean")
    areas = [area_over_curve(row.history, row.level) for row in table.itertuples()]
    return float(np.sqrt(np.log(pd.Series(areas)).groupby([table[key] for key in CELL]).var().mean()))


def design_of(images: pd.DataFrame, strata: tuple[str, ...], seeds: int) -> Design:
    """Test every image once a seed, under accession-5fold."""
    parts = []
    for seed in range(seeds):
        splits = PROTOCOLS["accession-5fold"].divide(images, seed)
        fold = splits[splits["side"] == TEST].set_index("image")["fold"]
        chosen = images[images["stratum"].isin(strata)]
        parts.append(chosen.assign(fold=chosen["name"].map(fold), seed=seed))
    table = pd.concat(parts)
    accession, cell = table["group"].factorize()[0], table.groupby(CELL).ngroup().to_numpy()
    at = table["stratum"].to_numpy()
    places = [np.flatnonzero(at == stratum) for stratum in strata] + [np.arange(len(table))]
    return Design(
        accession,
        table["label"].to_numpy(int),
        cell,
        numbered(accession * (cell.max() + 1) + cell),
        [(place, numbered(accession[place]), numbered(cell[place])) for place in places],
    )


def numbered(values: np.ndarray) -> np.ndarray:
    """Number what is there from 0."""
    return np.unique(values, return_inverse=True)[1]


def draw_model(design: Design, noise: Noise, seeds: tuple[int, int], harm: Harm) -> list[Change]:
    """Draw one network twice and compare it; the second time it is harmed. Seeds: the draw, and the network in it."""
    random = np.random.default_rng(seeds)
    cells = design.cell.max() + 1
    costs = np.exp(noise.images * random.normal(size=(2, cells)))
    speeds = [noise.timing.draw(random), noise.timing.draw(random)]
    speeds[1] = [speed / harm.slower for speed in speeds[1]]
    if harm.same_training:
        return [UNCHANGED] * (len(design.parts) + 2) + [timed_change([costs[0], costs[0]], speeds)]
    costs[1] *= harm.dearer
    changes = draw_scores(design, noise, seeds, harm.logits)
    return [*changes, cost_change(list(costs[0]), list(costs[1])), timed_change(costs, speeds)]


@cache
def draw_scores(design: Design, noise: Noise, seeds: tuple[int, int], harm: float) -> list[Change]:
    """Draw the scores of one network twice, the second time worse by ``harm``, and compare accuracy and confidence."""
    random = np.random.default_rng((*seeds, 1))
    images, cells = len(design.label), design.cell.max() + 1
    sign = 2 * design.label - 1
    lasting = noise.mean + noise.accession * random.normal(size=design.accession.max() + 1)[design.accession]
    lasting = lasting + noise.image * random.normal(size=images)
    scores = [
        lasting
        + (noise.cell * random.normal(size=cells))[design.cell]
        + sign * (noise.bias * random.normal(size=cells))[design.cell]
        + (noise.accession_again * random.normal(size=design.pair.max() + 1))[design.pair]
        + noise.image_again * random.normal(size=images)
        for _ in range(2)
    ]
    scores[1] = scores[1] - harm
    right = (scores[1] > 0).astype(float) - (scores[0] > 0)
    changes = [_mean(right, design, part) for part in design.parts]
    return [*changes, _mean(expit(scores[1]) - expit(scores[0]), design, design.parts[-1])]


def _mean(values: np.ndarray, design: Design, part: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Change:
    place, accession, cell = part
    return clustered_mean(values[place], design.label[place], (accession, cell))


def judge_draw(design: Design, noise: Noise, draw: int, harm: Harm) -> set[int]:
    """Compare all networks of a draw, the first of them harmed; return which are called worse."""
    unharmed = Harm(same_training=harm.same_training)
    changes = [draw_model(design, noise, (draw, place), unharmed if place else harm) for place in range(NETWORKS)]
    margins = Margins()
    per_model = [margins.accuracy] * (len(changes[0]) - 2) + [math.log1p(margins.convergence)] * 2
    family = [change for model in changes for change in model]
    judged = judge(family, per_model * NETWORKS)
    return {place // len(changes[0]) for place, found in enumerate(judged) if found.verdict == "worse"}


def points_lost(noise: Noise, harm: float) -> float:
    """How much accuracy an endless number of images loses to ``harm``."""
    parts = (noise.accession, noise.image, noise.cell, noise.bias, noise.accession_again, noise.image_again)
    spread = math.sqrt(sum(part**2 for part in parts))
    scores = np.random.default_rng(0).normal(noise.mean, spread, 10**6)
    return float((scores > 0).mean() - (scores - harm > 0).mean())


def harm_of(noise: Noise, points: float) -> float:
    """Find the harm in logits that costs so much accuracy, by bisection."""
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if points_lost(noise, middle) < points else (low, middle)
    return high


def power(design: Design, noise: Noise, draws: int, harm: Harm) -> float:
    """Share of draws in which the harmed network is called worse."""
    return float(np.mean([0 in judge_draw(design, noise, draw, harm) for draw in range(draws)]))


def false_alarms(design: Design, noise: Noise, draws: int, harm: Harm) -> str:
    """The family-wise false-alarm rate and its upper 95 % bound (Clopper-Pearson)."""
    alarms = sum(bool(judge_draw(design, noise, 10**6 + d, harm)) for d in range(draws))
    return f"{100 * alarms / draws:.1f} %, at most {100 * binomtest(alarms, draws).proportion_ci(0.9).high:.1f} %"


def report(name: str, images: pd.DataFrame, strata: tuple[str, ...], noise: Noise, draws: int) -> None:
    """Print false alarms, the power curves and the seeds that it takes."""
    few = max(100, draws // 10)
    one = design_of(images, strata, 1)
    at = ", ".join(strata)
    print(f"\n## {name} ({at})\n")
    accessions, cells = one.accession.max() + 1, one.cell.max() + 1
    print(f"{len(one.label)} test images, {accessions} accessions, {cells} cells a network.\n")
    print(f"False alarms of the whole family in {draws} draws: {false_alarms(one, noise, draws, Harm())}.\n")
    lost = {f"-{points} points": Harm(harm_of(noise, points / 100)) for points in (2, 3, 5, 7, 10, 15)}
    dearer = {f"{100 * (cost - 1):.0f} % dearer": Harm(dearer=cost) for cost in COSTS}
    slower = {f"{100 * (cost - 1):.0f} % slower code": Harm(slower=cost) for cost in SLOWER}
    harms = {**lost, **dearer, **slower}
    rows = []
    for seeds in (1, 2, 3, 5):
        design = one if seeds == 1 else design_of(images, strata, seeds)
        rows.append([seeds, *(f"{100 * power(design, noise, few, harm):.0f}" for harm in harms.values())])
    heads = ["seeds", *harms]
    print(
        f"Found, in % of {few} draws; dearer: more images, slower code: more seconds an image, and another training:\n"
    )
    print(tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True))
    print()
    for told in ("-5 points", "15 % dearer", "25 % dearer"):
        print(f"- {told}: {seeds_needed(images, strata, noise, few, harms[told])}")
    for sure in (80, 95):
        found = ", ".join(f"{row[0]}: {smallest(heads, row, len(lost), len(dearer), sure)}" for row in rows)
        print(f"- Smallest changes found in {sure} % of draws, by seeds: {found}.")


def report_same_training(design: Design, noise: Noise, draws: int, readings: pd.DataFrame) -> None:
    """Print what is found of slower code where training is the same to the bit: seeds have no part in it."""
    print("\n## Slower code, training the same to the bit\n")
    rows = []
    for scatter in (*SCATTER, noise.timing.reading):
        drawn = replace(noise, timing=replace(noise.timing, reading=scatter))
        harms = [Harm(slower=slower, same_training=True) for slower in SLOWER]
        found = [f"{100 * power(design, drawn, draws, harm):.0f}" for harm in harms]
        rows.append([f"{100 * scatter:.1f} %", false_alarms(design, drawn, draws, Harm(same_training=True)), *found])
    heads = ["scatter of a reading", "false alarms", *(f"{100 * (slower - 1):.0f} % slower" for slower in SLOWER)]
    print(f"Found, in % of {draws} draws, by how far readings of one run scatter; the last as measured:\n")
    print(tabulate(rows, headers=heads, tablefmt="pipe", disable_numparse=True))
    margin = math.log1p(Margins().convergence)
    pairs = [(slower, *judged_pairs(readings, slower, margin)) for slower in (1.0, *SLOWER)]
    told = ", ".join(f"{100 * (slower - 1):.0f} % slower {found} of {count}" for slower, found, count in pairs)
    print(f"\nThe pairs of the timed runs themselves, one model of each made slower: called worse {told}.")


def seeds_needed(images: pd.DataFrame, strata: tuple[str, ...], noise: Noise, draws: int, harm: Harm) -> str:
    """Say how many seeds find a harm in 95 % of draws."""
    for seeds in MANY_SEEDS:
        found = power(design_of(images, strata, seeds), noise, draws, harm)
        if found >= SURE:
            return f"found in {100 * found:.0f} % of draws with {seeds} seeds"
    return f"found in {100 * found:.0f} % of draws with {MANY_SEEDS[-1]} seeds, not in 95 %"


def smallest(heads: list[str], row: list, lost: int, dearer: int, sure: int) -> str:
    """Name the smallest losses of accuracy and of cost that so many draws of a row find."""
    found = [head for head, share in zip(heads[1:], row[1:], strict=True) if float(share) >= sure]
    points = [head for head in found if head in heads[1 : 1 + lost]]
    costs = [head for head in found if head in heads[1 + lost : 1 + lost + dearer]]
    return f"{points[0] if points else 'no loss tried'} and {costs[0] if costs else 'no cost tried'}"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reruns", type=Path, help="A run of reruns.yaml.")
    parser.add_argument("--timed", type=Path, action="append", required=True, help="A run of the models of the demo.")
    parser.add_argument("--data", type=Path, help="A folder of real images, whose sizes are simulated as well.")
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    results = read_results(RunStore(arguments.reruns))
    readings = readings_of([read_results(RunStore(folder)) for folder in arguments.timed])
    noise = measure_noise(results, measure_timing(readings))
    print("# The gate: false alarms and power\n")
    print(f"Noise measured from {len(results.labels)} reruns ({len(results.cells)} cells), in logits, and")
    print(f"from the speeds of {len(readings)} models in {readings['run'].nunique()} timed runs: {noise}.")
    print(f"A family: {NETWORKS} networks, each with accuracy at every magnification and over all, confidence, area")
    print("over the training curve and calibrated cost; Holm over all of them at 5 %. One network of them is harmed.")
    official = official_table().reset_index()
    whole = official[~((official["subtype"] == "DC") & (official["subgroup"] == "14-13412"))]
    report("BreakHis", whole, FULL, noise, arguments.draws)
    report_same_training(design_of(whole, FULL, 1), noise, arguments.draws, readings)
    if arguments.data:
        report("The partial set", used_images(scan_folder(arguments.data)), ("100x", "200x"), noise, arguments.draws)


if __name__ == "__main__":
    main()
