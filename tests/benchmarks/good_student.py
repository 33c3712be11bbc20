"""DenseNet on BreakHis with patients kept apart, as a good student writes it: one file, PyTorch and timm.

python good_student.py --data DIR --splits SPLITS.json [--size 64] [--epochs 3] [--jobs 2] ...

Images are decoded once and stay in memory; networks and batches are channels last; folds go to as many processes as
asked for. The folds are what ``harness splits CONFIG --json`` prints, so that accuracies can be compared. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
WHITE = 240.0
SIDES = ("train", "validation", "test")


def load_image(file: Path, size: int, *, white_balance: bool) -> torch.Tensor:
    """Decode a file: uint8 (3, size, size), squashed to a square, its light made white if asked for."""
    image = transforms.resize(decode_image(str(file), ImageReadMode.RGB), [size, size], antialias=True)
    if not white_balance:
        return image
    white = np.percentile(image.numpy(), 99, axis=(1, 2))
    balanced = image.numpy() * (WHITE / white)[:, None, None]
    return torch.from_numpy(np.clip(np.rint(balanced), 0, 255).astype(np.uint8))


def augment(image: torch.Tensor) -> torch.Tensor:
    """Show an image as it is, rotated by 90, 180 or 270 degrees, or mirrored along one of two axes, at random."""
    view = int(torch.randint(6, ()))
    return image.rot90(view, (1, 2)) if view < 4 else image.flip(view - 3)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, 3, S, S) into float32, channels last."""
    return ((images.float() / 255 - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


def read_folds(file: Path, images: dict[str, Path]) -> list[dict[str, list[str]]]:
    """Return the names on each side of each fold, of the images at hand."""
    folds: dict[int, dict[str, list[str]]] = defaultdict(lambda: {side: [] for side in SIDES})
    for row in json.loads(file.read_text())["images"]:
        if row["image"] in images:
            folds[row["fold"]][row["side"]].append(row["image"])
    return [folds[fold] for fold in sorted(folds)]


@torch.no_grad()
def evaluate(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, options: argparse.Namespace
) -> tuple[float, float, float]:
    """Return loss, accuracy and balanced accuracy."""
    network.eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        logits = torch.cat([network(normalise(batch)) for batch in images.split(64)]).float()
    right = logits.argmax(1) == labels
    recalls = [right[labels == label].float().mean().item() for label in labels.unique()]
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, right.float().mean().item(), sum(recalls) / len(recalls)


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, sides: dict, options: argparse.Namespace) -> None:
    """Show every training image once, in whole batches."""
    network.train()
    images, labels = sides["train"]
    for rows in torch.randperm(len(images)).split(options.batch):
        if len(rows) < min(options.batch, len(images)):
            continue
        batch = normalise(torch.stack([augment(image) for image in images[rows]]))
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = nn.functional.cross_entropy(network(batch), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def train_fold(sides: dict[str, tuple[torch.Tensor, torch.Tensor]], options: argparse.Namespace) -> dict[str, float]:
    """Train on one side, choose the epoch on the second, test on the third."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    network = timm.create_model("densenet121", num_classes=2, drop_rate=options.dropout, **options.network)
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), options.rate, options.momentum, weight_decay=options.decay)
    best, kept, chosen = (-1.0, 0.0), {}, 0
    for epoch in range(1, options.epochs + 1):
        train_epoch(network, optimizer, sides, options)
        loss, _, balanced = evaluate(network, *sides["validation"], options)
        if (balanced, -loss) > best:
            best, chosen = (balanced, -loss), epoch
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    _, accuracy, balanced = evaluate(network, *sides["test"], options)
    return {"epoch": chosen, "images": len(sides["test"][1]), "accuracy": accuracy, "balanced_accuracy": balanced}


def main() -> None:
    """Train and test every fold."""
    options = parse()
    torch.set_num_threads(1)
    files = {file.stem: file for file in sorted(options.data.rglob("SOB_*")) if file.suffix in {".png", ".jpg"}}
    files = {name: file for name, file in files.items() if name.split("-")[3] == options.magnification}
    load = partial(load_image, size=options.size, white_balance=options.white_balance)
    with ThreadPoolExecutor(options.jobs) as pool:
        images = dict(zip(files, pool.map(load, files.values()), strict=True))
    folds = [
        {
            side: (
                torch.stack([images[name] for name in names]),
                torch.tensor(["_M_" in name for name in names]).long(),
            )
            for side, names in sides.items()
        }
        for sides in read_folds(options.splits, files)
    ]
    train = partial(train_fold, options=options)
    if options.jobs == 1:
        tested = [train(fold) for fold in folds]
    else:
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
            tested = list(pool.map(train, folds))
    print(json.dumps(tested))  # noqa: T201


def parse() -> argparse.Namespace:
    """Read the command line; the defaults are those of student.yaml."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--magnification", default="200")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--white-balance", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--decay", type=float, default=1e-4)
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument(
        "--network", type=json.loads, default={}, help="Further arguments of timm.create_model, as JSON."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
