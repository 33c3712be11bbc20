"""Every table goes into an article of one or two columns as it is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cache import Cache
from harness.reporting.publish import publish
from harness.reporting.run_tables import TABLES
from harness.store.run_store import RunStore

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "demo"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here (Debian: texlive-latex-recommended)")
    run = shutil.copytree(REFERENCE, tmp_path_factory.mktemp("latex") / "run")
    publish(RunStore(run), Cache(tmp_path_factory.mktemp("cache"), print))
    return run / "tables"


@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_every_table_fits(tables, tmp_path, columns):
    files = sorted(path for path in tables.glob("*.tex") if path.name != "preamble.tex")
    assert len(files) == len(TABLES)
    body = "\n".join(f"\\input{{{path}}}\\clearpage See \\ref{{tab:{path.stem}}}." for path in files)
    preamble = f"\\documentclass[{columns}]{{article}}\n\\input{{{tables / 'preamble.tex'}}}"
    (tmp_path / "article.tex").write_text(f"{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n")
    for _ in range(2):
        command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "article.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    trouble = re.findall(r"^(?:!|Overfull|LaTeX Warning|LaTeX Font Warning).*", done.stdout, re.MULTILINE)
    assert trouble == []
    assert done.returncode == 0
    assert (tmp_path / "article.pdf").stat().st_size > 10_000
