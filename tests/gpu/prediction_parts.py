"""Prediction and features of frozen layers, by images a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from setting import FROZEN, WHOLE, Setting

from harness.training.auto import resolve_precision
from harness.training.batches import whole_batches
from harness.training.concurrent import train_for
from harness.training.feed import PixelFeed
from harness.training.loop import freeze
from harness.training.predict import Predictor
from harness.training.prefix import find_prefix
from harness.training.step import PredictionStep, autocast

Row = dict[str, Any]


def prediction(setting: Setting) -> Iterator[Row]:
    """Classify the same images in batches of several sizes, eagerly and captured."""
    feed, device = _feed(setting, WHOLE), torch.device(setting.device)
    first = None
    for batch in setting.size.batches:
        for mode in ("eager", "captured"):
            step = PredictionStep(
                feed.network, feed, len(feed.images), 2, batch, device, resolve_precision("auto", device.type)
            )
            predictor = Predictor(step, mode)
            found = {"images a step": batch, "mode": mode, **_measured(predictor.logits, setting)}
            logits = predictor.logits().clone()
            first = logits if first is None else first
            yield {**found, "logits differ from the first row's by": float((logits - first).abs().max())}


def features(setting: Setting) -> Iterator[Row]:
    """Turn the same images into features of the frozen layers, in batches of several sizes."""
    feed, device = _feed(setting, FROZEN), torch.device(setting.device)
    frozen = setting.spec(FROZEN, "eager").make().frozen(feed.network)
    freeze(feed.network, frozen)
    rows = torch.arange(len(feed.images), device=device)
    prefix = find_prefix(feed.network, frozen, feed.pixels(rows[:2], torch.zeros_like(rows[:2])))
    if prefix is None:
        raise RuntimeError(f"{FROZEN} has no frozen prefix")

    def make(batch: int) -> None:
        with torch.no_grad(), autocast(device, resolve_precision("auto", device.type)):
            for chosen in whole_batches(rows, batch):
                prefix.features(feed.pixels(chosen, torch.zeros_like(chosen)))

    for batch in setting.size.batches:
        yield {"images a step": batch, **_measured(lambda batch=batch: make(batch), setting)}


def _feed(setting: Setting, label: str) -> PixelFeed:
    """Return a fresh network and random images, on the device."""
    order = setting.spec(label, "eager")
    model = order.make()
    torch.manual_seed(0)
    network = model.network_for(("0", "1"), order.size).to(setting.device).to(memory_format=torch.channels_last)
    shape = setting.size.images, 3, order.size, order.size
    images = torch.randint(256, shape, dtype=torch.uint8, device=setting.device)
    return PixelFeed(network.eval(), images, model.normalisation)


def _measured(work: Callable[[], object], setting: Setting) -> Row:
    """Time work on all images, and see how much of the device's memory it takes at most."""
    device = torch.device(setting.device)
    cuda = device.type == "cuda"
    train_for(work, setting.size.seconds, device)
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    times, took = train_for(work, setting.size.seconds, device)
    peak = torch.cuda.max_memory_allocated(device) / 1e6 if cuda else "-"
    return {"images/s": times * setting.size.images / took, "peak memory (MB)": peak}
