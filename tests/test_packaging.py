import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for top in ("harness", "plugins", "baselines", "configs")
        for path in ROOT.glob(f"{top}/**/__init__.py")
    ]
    named = [name if name.partition(".")[0] == "harness" else f"harness_{name}" for name in found]
    assert sorted(listed) == sorted(named)


def test_every_hook_is_documented():
    specs = (ROOT / "harness/plugin_api/hookspecs.py").read_text()
    docs = "".join(
        page.read_text() for page in (ROOT / "docs/plugins.md", ROOT / "docs/observers.md", ROOT / "docs/cohort.md")
    )
    hooks = [line.split("(")[0].removeprefix("def ") for line in specs.splitlines() if line.startswith("def harness_")]
    assert hooks
    assert all(hook in docs for hook in hooks)


def test_the_architecture_page_lists_the_rooms_of_the_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([\w/.]+)`", row) if "/" not in name]
    assert listed == [name for layer in layers for name in layer.split(" | ")]
