from harness.execution.watchdog import Watchdog


def test_a_limit_counts_from_the_start():
    patience = Watchdog(100, limit=60)
    patience.progress_seen(150)
    assert patience.seconds_to_next_check(150) == 10
    assert not patience.timed_out(159.9)
    assert patience.timed_out(160)


def test_no_limit_ends_nothing():
    assert not Watchdog(0, None).timed_out(1e9)


def test_silence_is_told_once_after_five_minutes():
    patience = Watchdog(0, None)
    assert patience.seconds_to_next_check(100) == 200
    assert patience.stalled_seconds(299) is None
    assert patience.stalled_seconds(300) == 300
    assert patience.stalled_seconds(400) is None
    assert patience.seconds_to_next_check(400) is None
    patience.progress_seen(20)
    patience.progress_seen(500)
    assert patience.seconds_to_next_check(500) == 4800


def test_a_cell_of_long_epochs_may_be_silent_for_ten_of_them():
    patience = Watchdog(0, None)
    patience.progress_seen(60)
    patience.progress_seen(70)
    assert patience.seconds_to_next_check(70) == 600
    assert patience.stalled_seconds(669) is None
    assert patience.stalled_seconds(670) == 600
