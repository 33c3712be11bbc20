"""Texts, spoilt: file names, the official list, groups.csv, configs and overrides."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path
from random import Random

import yaml
from harness_plugins.breakhis.names import parse_stem
from harness_plugins.breakhis.official import parse_official_list
from mutate import spoil_bytes, spoil_text, spoil_tree

from harness.config.config_files import read_config
from harness.data.sources import parse_groups

_STEMS = (
    "SOB_B_A-14-22549AB-40-001",
    "SOB_M_DC-14-2773-400-019",
    "SOB_B_PT-14-21998AB-100-013",
    "SOB_M_LC-14-13412-200-010",
)
_PARTS = (
    *"SOBMAFPTDLC_-0123456789 ./\\",
    "",
    "٠",
    "\n",
    "\0",
    "SOB_",
    "-400-",
    "é",
    "\u202e",
    "\udcff",
    "LC",
    "99999999999",
)
_LIST = (
    gzip.decompress((resources.files("harness_plugins.breakhis") / "official.tsv.gz").read_bytes())
    .decode()
    .splitlines()[:6]
)
_FIELDS = (
    "\t",
    "\n",
    "\r",
    "\x85",
    "-",
    "0",
    "9" * 20,
    "",
    ".png",
    "\0",
    "é",
    '"',
    "SOB_B_A",
    "6",
    "55",
    "test_in_folds",
)
_GROUPS = "path,class,tile\nlung_n/1.jpeg,lung_n,n-1\nlung_aca/2.jpeg,lung_aca,a-2\n"
_CSV = (
    ",",
    "\n",
    "\r",
    '"',
    '""',
    "\0",
    "../",
    "/",
    "lung_n",
    "path",
    "tile",
    "é",
    "\ud800",
    "=1+1",
    ",,,,",
    "x" * 200,
    "lung_n/1.jpeg",
)
_CONFIG = """protocol: holdout
seeds: [0]
schedule: {epochs: 2, learning_rate: 0.02}
models:
  densenet: {options: &tiny {growth_rate: 4, block_config: [1, 1]}}
  other: {plugin: densenet, options: {<<: *tiny, reduction: 4}}
"""
_YAML = (
    *("&a ", "*a", "*tiny", "<<: ", "<<: *tiny\n", "!!python/object/apply:os.system ", "!!binary ", "!!set ", "!!int "),
    *(
        "!!float ",
        "!!str ",
        "!!bool ",
        "!!null ",
        "!!omap ",
        "!x ",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "|\n ",
        ">-\n ",
    ),
    *(
        "'",
        '"',
        "#",
        "%YAML 1.2\n---\n",
        "---\n",
        "...\n",
        "\t",
        "\n",
        "\n  ",
        "\0",
        "\x85",
        "\ufeff",
        "é",
        "\ud800",
        "0x",
        "1e",
        ".nan",
    ),
    *(
        "-.inf",
        "9" * 50,
        "9" * 5000,
        "0o7",
        "1_0",
        "2024-01-31",
        "12:30",
        "yes",
        "null",
        "~",
        "true",
        "=",
        "seeds: ",
        "models: ",
    ),
    *(
        "protocol: ",
        "protocols: [holdout, official5]\n",
        "data: {folder: x}\n",
        "device: cuda:1\n",
        "limit: ",
        "[[[[[[[[",
        "{a: {a: {a: ",
    ),
)
_OVERRIDES = (
    *(
        "seeds=[1, 2]",
        "schedule.epochs=3",
        "models.densenet.options.reduction=4",
        "models={a: {}}",
        "protocol=official5",
    ),
    *(
        "data.folder=x",
        "sources.lung={kind: lc25000}",
        "pixels={size: 48}",
        "models.timm:resnet18.a1.options.mode=probe",
    ),
)
_TREE = yaml.safe_load(_CONFIG)


def make_name(rng: Random) -> str:
    """An official stem, or nearly one."""
    return spoil_text(rng, rng.choice(_STEMS), _PARTS, 3)


def read_name(stem: str) -> object:
    """Parse it; what is found must stand in the name."""
    name = parse_stem(stem)
    if name is not None and (name.stem != stem or name.slide not in stem or f"-{name.magnification}-" not in stem):
        raise AssertionError(f"{stem!r} was read as {name}")
    return name and (name.label, name.official_folder)


def make_official(rng: Random) -> bytes:
    """A list of a few official files, a field or the text of which is spoilt."""
    rows = [line.split("\t") for line in _LIST]
    if rng.random() < 0.6:
        row = rng.choice(rows[1:])
        column = rng.randrange(len(row))
        row[column] = rng.choice((rng.choice(rows)[column], spoil_text(rng, row[column], _FIELDS, 1)))
    text = "\n".join("\t".join(row) for row in rows)
    if rng.random() < 0.4:
        text = spoil_text(rng, text, _FIELDS, 2)
    packed = gzip.compress(text.encode("utf-8", "surrogatepass"), 1)
    return spoil_bytes(rng, packed, 2) if rng.random() < 0.3 else packed


def make_groups(rng: Random) -> bytes:
    """A short groups.csv."""
    content = spoil_text(rng, _GROUPS, _CSV).encode("utf-8", "surrogatepass")
    return spoil_bytes(rng, content) if rng.random() < 0.3 else content


def read_groups(content: bytes) -> object:
    """Read it; every path must be one, and once."""
    groups = parse_groups(content, Path("groups.csv"))
    if groups["path"].duplicated().any() or (groups == "").any(axis=None):
        raise AssertionError("a row twice, or an empty field")
    return groups


def make_config(rng: Random) -> bytes:
    """A small config."""
    text = yaml.dump(spoil_tree(rng, _TREE)) if rng.random() < 0.4 else _CONFIG
    content = (spoil_text(rng, text, _YAML, 3) if rng.random() < 0.8 else text).encode("utf-8", "surrogatepass")
    return spoil_bytes(rng, content, 2) if rng.random() < 0.2 else content


def read_whole_config(content: bytes) -> object:
    """Read it and write it out as run.json would."""
    return read_config(content, (), "sent.yaml", "sent").model_dump_json()


def make_override(rng: Random) -> str:
    """A key=value."""
    return spoil_text(rng, rng.choice(_OVERRIDES), (*_YAML, ".", "=", "models.", "x"), 3)


def read_override(override: str) -> object:
    """Apply it to a small config."""
    return read_config(
        b"models: {densenet: {options: {growth_rate: 4}}}", (override,), "sent.yaml", "sent"
    ).model_dump_json()


read_official = parse_official_list
