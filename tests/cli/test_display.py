"""What a person sees: counts and the time left at any width, each once, and nothing that steers the terminal."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.cli.display import Display
from harness.plugin_api.model import EpochReport
from harness.store.cells import Cell

EVIL = "\x1b[31mred \x1b]8;;http://evil\x07link\x1b]8;;\x07 [bold]markup[/bold] \u202egnp\r\x07"
LONG = "a-network-with-a-name-of-sixty-letters-that-fits-no-terminal"
HOUR = 3600.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that stands still until a test moves it on."""
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("harness.cli.display.time", SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


@pytest.fixture
def long_run(clock):
    """Show a run of a hundred cells on a terminal of some width: an hour each, ten done, three at work."""

    def show(width, label=LONG):
        clock.seconds = 0.0
        console = terminal(width)
        display, cells = Display(console), cells_of(label, 100)
        display.planned(cells, 0, 200)
        for cell in cells[:10]:
            compute(display, cell, clock, HOUR)
        for cell in cells[10:13]:
            display.started(cell)
        display.epoch(cells[10], epoch(186))
        display.epoch(cells[10], epoch(187))
        display.epoch(cells[11], epoch(3, "lung"))
        return frame(display, console)

    return show


def terminal(width, **options):
    return Console(file=io.StringIO(), width=width, force_terminal=True, record=True, highlight=False, **options)


def frame(display, console):
    """The lines that a terminal shows just now."""
    console.export_text()  # what stands above
    console.print(display)
    return [line.rstrip() for line in console.export_text().splitlines()]


def cells_of(label, folds):
    return [Cell(label, "200x", fold, 0) for fold in range(folds)]


def epoch(number, stage="final"):
    seconds = 1000 + 10.0 * number  # a thousand for features, say
    return EpochReport(stage, number, *[0.5] * 5, 0.873, images_seen=123_450 * number, train_seconds=seconds)


def compute(display, cell, clock, seconds, balanced_accuracy=0.9):
    display.started(cell)
    clock.seconds += seconds
    display.finished(cell, balanced_accuracy, seconds)


@pytest.mark.parametrize("width", [80, 60])
def test_counts_and_the_time_left_survive_a_long_name(long_run, width):
    assert len(LONG) == 60
    overall, final, pretraining, begun = lines = long_run(width)
    assert max(map(len, lines)) <= width
    assert overall.endswith("10/100 cells  10:00:00  about 81 h 27 min left")
    assert re.search(r"^a-net.*…  200x fold 10 seed 0  ━.*  187/200  val 87.3 %", final)
    assert re.search(r"^a-net.*…  200x fold 11 seed 0  ━.*   lung 3  val 87.3 %", pretraining)
    assert re.search(r"^a-net.*…  200x fold 12 seed 0  ━.*    0/200     at work$", begun)
    assert ("12,345 images/s" in final) == (width == 80)


def test_what_features_cost_is_no_speed_and_nothing_is_shown_for_it():
    console = terminal(80)
    display, (cell,) = Display(console), cells_of("probe", 1)
    display.planned([cell], 0, 200)
    display.started(cell)
    for number, speed in ((1, False), (2, True)):
        display.epoch(cell, epoch(number))
        line = frame(display, console)[-1]
        assert ("images/s" in line) is speed
    assert "12,345 images/s" in line
    display.started(cell)
    display.epoch(cell, epoch(5))
    assert "images/s" not in frame(display, console)[-1]


def test_names_give_way_first_then_speeds_then_bars(long_run):
    found, label = set(), "a-network-of-no-short-name"
    for width in range(45, 130):
        overall, line, *_ = long_run(width, label)
        found.add((label in line, "images/s" in line, "━" in line))
        assert re.search(r"\b10/100 cells .*about 81 h 27 min left$", overall)
        assert "fold 10 seed 0" in line
        assert "187/200" in line
    assert found == {(True, True, True), (False, True, True), (False, False, True), (False, False, False)}


def test_a_frame_says_nothing_twice(long_run):
    shown = "\n".join(long_run(120))
    for once in ("10/100", "10:00:00", "left", "187/200"):
        assert shown.count(once) == 1


def test_a_narrow_terminal_gets_counts(long_run):
    for line, count in zip(long_run(30), ("10/1", "187/200", "lung 3", "0/200"), strict=True):
        assert count in line
        assert len(line) <= 30


def test_a_terminal_has_preparation_and_cells_in_lines_of_their_own():
    console = terminal(80)
    display = Display(console)
    assert frame(display, console) == []
    display.progress("looking at images", 120, 2000)
    (line,) = frame(display, console)
    assert re.fullmatch("looking at images  ━.*━  120/2000", line)
    display.progress("looking at images", 2000, 2000)
    assert frame(display, console) == []
    display.progress("generating lung images", 0, 1)
    display.planned(cells_of("majority", 2), 0, 1)
    (line,) = frame(display, console)
    assert line.endswith("0/2 cells  0:00:00")


def test_what_ends_on_a_terminal_leaves_a_line_a_model_above(clock):
    console = terminal(200)
    display, cells = Display(console), cells_of("majority", 3)
    display.planned(cells, 0, 1)
    for cell in cells:
        compute(display, cell, clock, 1.0)
    assert console.export_text().splitlines() == [
        "3 cells to compute, 0 kept",
        "majority: 3 cells done in 3.0 s in all, mean balanced accuracy 90.0 %",
    ]


def test_colours_can_be_off():
    console = terminal(80, no_color=True)
    display = Display(console)
    display.planned(cells_of("majority", 3), 0, 1)
    console.print(display)
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", console.file.getvalue())


def test_the_time_left_is_that_of_cells_and_follows_their_epochs(clock):
    console = terminal(80)
    display, cells = Display(console), cells_of("densenet", 3)
    display.planned(cells, 0, 100)
    clock.seconds += 10 * HOUR  # timing models alone
    display.started(cells[0])
    assert frame(display, console)[0].endswith("0/3 cells  10:00:00")
    for number, left in ((1, ""), (20, "  about 14 h 00 min left"), (50, "  about 5 h 00 min left")):
        clock.seconds = 11 * HOUR
        display.epoch(cells[0], epoch(number))
        assert frame(display, console)[0].endswith(f"0/3 cells  11:00:00{left}")
    display.finished(cells[0], 0.9, HOUR)
    assert frame(display, console)[0].endswith("1/3 cells  11:00:00  about 2 h 00 min left")
    for cell in cells[1:]:
        compute(display, cell, clock, HOUR)
    assert frame(display, console)[0].endswith("3/3 cells  13:00:00")


def test_a_log_has_a_line_a_model_and_failures_at_once(capsys, clock):
    good, bad, alone = cells_of("good", 3), cells_of("bad", 2), cells_of("alone", 1)
    with Display() as display:
        display.planned([*good, *bad, *alone], 4, 200)
        compute(display, good[0], clock, HOUR, 0.8)
        display.failed(bad[0], "no such layer")
        compute(display, good[1], clock, HOUR, 0.9)
        compute(display, good[2], clock, HOUR, None)
        display.failed(bad[1], "no such layer")
        compute(display, alone[0], clock, HOUR, None)
    assert capsys.readouterr().err.splitlines() == [
        "6 cells to compute, 4 kept",
        "bad 200x fold 0 seed 0: FAILED: no such layer",
        "good: 3 cells done in 10,800.0 s in all, mean balanced accuracy 85.0 %; 4/6 cells, about 1 h 30 min left",
        "bad 200x fold 1 seed 0: FAILED: no such layer",
        "bad: no cell done, 2 failed; 5/6 cells, about 36 min left",
        "alone: 1 cell done in 3,600.0 s in all; 6/6 cells",
    ]


def test_a_log_hears_of_epochs_now_and_then(capsys, clock):
    cells = cells_of("densenet", 3)
    with Display() as display:
        display.planned(cells, 0, 200)
        compute(display, cells[0], clock, 20.0)
        display.started(cells[1])
        for number in range(1, 7):
            clock.seconds += 10
            display.epoch(cells[1], epoch(number, "lung") if number < 5 else epoch(94 + number))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "densenet 200x fold 1 seed 0: lung, epoch 2, validation 87.3 %, 12,345 images/s; 1/3 cells, about 80 s left",
        "densenet 200x fold 1 seed 0: epoch 100/200, validation 87.3 %, 12,345 images/s; 1/3 cells, about 80 s left",
    ]


def test_every_run_of_a_study_is_counted_from_one(capsys, clock):
    cells = [*cells_of("majority", 2), *cells_of("lbp-svm", 1)]
    with Display() as display:
        for _ in range(2):
            display.planned(cells, 0, 1)
            for cell in cells:
                compute(display, cell, clock, 1.0)
    counts = [found.group() for found in re.finditer(r"\d/\d cells", capsys.readouterr().err)]
    assert counts == ["2/3 cells", "3/3 cells"] * 2


@pytest.mark.parametrize("told", ["note", "progress", "failed"])
def test_lines_show_words_only(capsys, told):
    with Display() as display:
        if told == "note":
            display.note(EVIL)
        elif told == "progress":
            display.progress(EVIL, 3, 3)
        else:
            display.failed(Cell(EVIL, "200x", 0, 0), EVIL)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "[bold]markup[/bold]" in line


def test_a_frame_shows_words_only():
    console = terminal(80)
    display, cell = Display(console), Cell(EVIL, EVIL, 0, 0)
    display.planned([cell], 0, 1)
    display.started(cell)
    display.epoch(cell, epoch(1, EVIL))
    assert all(line.isprintable() for line in frame(display, console))
    assert "\x1b]8" not in console.file.getvalue()


def test_a_terminal_gets_no_orders_either(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Display() as display:
        display.started(Cell(EVIL, "200x", 0, 0))
        display.note(EVIL)
    err = capsys.readouterr().err
    assert "http://evil\x07" not in err
    assert "\x1b[31m" not in err
    assert "\u202e" not in err


def test_errors_name_odd_files_in_one_line(harness, tmp_path):
    folder = tmp_path / "\x1b[31mimages\n\u202e"
    folder.mkdir()
    (folder / "SOB_B_A-14-22549AB-40-001.png").mkdir()
    code, out, err = harness("data", "verify", folder)
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1
    assert err.rstrip("\n").isprintable()


def test_reports_name_odd_files_in_a_line_each(harness, tmp_path):
    (tmp_path / "\x1b[31mred\n\u202e.png").write_bytes(b"x")
    code, out, _ = harness("data", "verify", tmp_path)
    assert code == 0
    assert all(line.isprintable() for line in out.split("\n"))
