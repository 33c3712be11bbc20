from harness.execution.patience import Patience


def test_a_limit_counts_from_the_start():
    patience = Patience(100, limit=60)
    patience.heard(150)
    assert patience.next_look(150) == 10
    assert not patience.exhausted(159.9)
    assert patience.exhausted(160)


def test_no_limit_ends_nothing():
    assert not Patience(0, None).exhausted(1e9)


def test_silence_is_told_once_after_five_minutes():
    patience = Patience(0, None)
    assert patience.next_look(100) == 200
    assert patience.silent_seconds(299) is None
    assert patience.silent_seconds(300) == 300
    assert patience.silent_seconds(400) is None
    assert patience.next_look(400) is None
    patience.heard(20)
    patience.heard(500)
    assert patience.next_look(500) == 4800


def test_a_cell_of_long_epochs_may_be_silent_for_ten_of_them():
    patience = Patience(0, None)
    patience.heard(60)
    patience.heard(70)
    assert patience.next_look(70) == 600
    assert patience.silent_seconds(669) is None
    assert patience.silent_seconds(670) == 600
