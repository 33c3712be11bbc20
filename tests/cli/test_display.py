"""What a person sees: words, and nothing that steers the terminal."""

import pytest

from harness.cli.display import Display
from harness.store.cells import Cell

EVIL = "\x1b[31mred \x1b]8;;http://evil\x07link\x1b]8;;\x07 [bold]markup[/bold] \u202egnp\r\x07"


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


def test_every_run_of_a_study_is_counted_from_one(capsys):
    cells = [Cell("majority", "200x", fold, 0) for fold in range(2)]
    with Display() as display:
        for _ in range(2):
            display.planned(cells, 0, 1)
            for cell in cells:
                display.finished(cell, None, 1.0)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert [line.partition(" ")[0] for line in lines] == ["[1/2]", "[2/2]"] * 2


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
