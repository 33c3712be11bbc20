"""The speed of a cell at work."""

import pytest

from harness.store.active import EpochRecord, last_epochs_speed


def epoch(stage, images, seconds):
    return EpochRecord(
        stage=stage,
        epoch=1,
        train_loss=0.5,
        validation_loss=0.5,
        validation_balanced_accuracy=0.5,
        images_seen=images,
        train_seconds=seconds,
    )


@pytest.mark.parametrize(
    ("history", "speed"),
    [
        ([], None),
        ([epoch("final", 100, 1000.0)], None),  # features of frozen layers are in these seconds
        ([epoch("final", 100, 1000.0), epoch("final", 300, 1002.0)], 100),
        ([epoch("lung", 100, 10.0), epoch("final", 200, 12.0)], None),
        ([epoch("final", 100, 1.0), epoch("final", 200, None)], None),
    ],
)
def test_a_speed_is_that_of_the_last_epoch(history, speed):
    assert last_epochs_speed(history) == speed
