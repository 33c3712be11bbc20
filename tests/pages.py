"""Pages of the documentation, and the blocks in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
PACKAGE = ROOT / "docs" / "models" / "package.md"
CLUSTERS = ROOT / "docs" / "clusters.md"
COHORT = ROOT / "docs" / "cohort.md"
MODELS = sorted(ROOT.glob("docs/models/*.md"))
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def blocks(page, language):
    """The fenced blocks of a page in one language."""
    fenced = page.read_text().split("\n```")[1::2]  # between an opening fence and its closing one
    return [block.removeprefix(f"{language}\n") for block in fenced if block.startswith(f"{language}\n")]


def commands(page):
    """The lines of a page's shell blocks, without comments."""
    lines = (line.partition("#")[0].strip() for block in blocks(page, "sh") for line in block.splitlines())
    return [line for line in lines if line]


def files(page):
    """The blocks of a page that are files, by name: their first line names it."""
    found = (block for language in ("python", "yaml") for block in blocks(page, language))
    named = ((re.match(r"# (\w+\.(?:py|yaml))\n", block), block) for block in found)
    return {name[1]: block for name, block in named if name}
