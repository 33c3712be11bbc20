"""However a step is executed, it does the same; what cannot be done falls back, and says why."""

import os
import shutil

import pytest
import torch
from torch import nn

from harness.data.augment import SYMMETRIES
from harness.plugin_api.model import LabeledImages
from harness.plugin_api.schedule import Schedule
from harness.training.auto import COMPILED, EAGER
from harness.training.execution_modes import keep_kernels_in, prepare
from harness.training.feed import PixelFeed
from harness.training.loop import Trainer, TrainingPlan
from harness.training.normalisation import Normalisation
from harness.training.predict import Prediction, predict_probabilities

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def images(n, seed, device="cpu", size=32):
    pixels = torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return LabeledImages(pixels.to(device), (torch.arange(n) % 2).to(device))


def losses(execution_mode, device, frozen=(), steps=20, dropout=0.0):
    """The loss of each of the first steps: an epoch here is one batch."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    network = nn.Sequential(*maps, nn.Dropout(dropout), nn.Linear(16, 2)).to(device)
    schedule = Schedule(epochs=steps, batch_size=16, learning_rate=0.05, augmentation="none", precision="float32")
    plan = TrainingPlan("final", schedule, frozen, Normalisation(), 2, 0, execution_mode=execution_mode)
    trainer, reports = Trainer(network, plan, images(16, 1, device)), []
    trainer.fit(images(16, 2, device), reports.append)
    return [report.train_loss for report in reports], trainer.execution_mode, network.state_dict()


@needs_compiler
@pytest.mark.parametrize("frozen", [(), pytest.param(("0", "1"), marks=pytest.mark.long)])
def test_compiled_steps_agree_with_eager_ones(frozen):
    eager, compiled = losses(EAGER, "cpu", frozen), losses(COMPILED, "cpu", frozen)
    assert compiled[1].startswith("compiled")
    assert compiled[0] == pytest.approx(eager[0], rel=1e-3)
    assert eager[0][-1] < eager[0][0]


@pytest.mark.cuda
@pytest.mark.parametrize("execution_mode", ["captured", "compiled"])
@pytest.mark.parametrize("frozen", [(), ("0", "1")])
def test_captured_steps_agree_with_eager_ones(execution_mode, frozen):
    eager, captured = losses(EAGER, "cuda", frozen), losses(execution_mode, "cuda", frozen)
    assert "captured" in captured[1]
    assert captured[0] == pytest.approx(eager[0], rel=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_the_batches_do_not_depend_on_the_device(device):
    here, there = (losses(EAGER, where, steps=3)[0] for where in ("cpu", device))
    assert there == pytest.approx(here, rel=1e-3)


def test_kernels_are_kept_where_the_compiler_can_find_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # or what is set below would stay
    for folder, kept in ((tmp_path / "a folder", None), (tmp_path / "cache", str(tmp_path / "cache"))):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        keep_kernels_in(folder)
        assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == kept


@needs_compiler
def test_warming_up_leaves_no_trace():
    """With dropout, a warm-up that moved the random numbers or the weights would show in the losses."""
    eager, compiled = losses(EAGER, "cpu", dropout=0.5, steps=1), losses(COMPILED, "cpu", dropout=0.5, steps=1)
    assert compiled[2].keys() == eager[2].keys()
    assert all(int(compiled[2][name]) == 1 for name in compiled[2] if name.endswith("num_batches_tracked"))


class Counter:
    """A step that counts its calls, and cannot be compiled."""

    def __init__(self):
        self.count, self.loaded, self.compiled = torch.zeros(()), 0, False

    @property
    def state(self):
        return [self.count]

    def use_compiled(self, *, compiled):
        self.compiled = compiled

    def load(self):
        self.loaded += 1

    def __call__(self):
        self.count += 1
        if self.compiled:
            raise NotImplementedError("no kernel for this\nmore words")


def test_what_cannot_be_compiled_runs_eagerly_and_says_why():
    step = Counter()
    prepared = prepare(step, COMPILED, torch.device("cpu"))
    assert prepared.message == "eager, not compiled: NotImplementedError: no kernel for this"
    assert (int(step.count), step.loaded) == (0, 0)
    prepared.run()
    assert (int(step.count), step.loaded) == (1, 1)


class FirstPixel(nn.Module):
    """Looks at one corner alone, so that its answer depends on the view."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x[:, :, 0, 0])


def test_eight_views_are_averaged():
    torch.manual_seed(0)
    network, pictures = FirstPixel(), images(70, 0, size=9).images

    def classified(shown, views):
        feed = PixelFeed(network, shown, Normalisation())
        return predict_probabilities(network, feed, len(shown), Prediction(2, "float32", views=views))

    one_by_one = sum(classified(view(pictures).contiguous(), 1) for view in SYMMETRIES.values()) / 8
    assert classified(pictures, 8) == pytest.approx(one_by_one)
    assert classified(pictures, 8) == pytest.approx(classified(pictures.rot90(1, (-2, -1)).contiguous(), 8))
    assert abs(classified(pictures, 8) - classified(pictures, 1)).max() > 0.01
