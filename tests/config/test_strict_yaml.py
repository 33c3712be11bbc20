"""YAML as somebody may have sent it: read as meant, or refused in one line with its place."""

from __future__ import annotations

import time

import pytest

from harness.config.strict_yaml import parse_yaml
from harness.errors import ConfigError


def laughs(levels: int, times: int = 10, *, merge: bool = False) -> str:
    """Each level stands several times in the next: ``times ** levels`` values."""
    lines = ["l0: &l0 {a: 1}" if merge else "l0: &l0 [ha]"]
    for level in range(1, levels):
        several = ", ".join([f"*l{level - 1}"] * times)
        lines.append(f"l{level}: &l{level} {{<<: [{several}]}}" if merge else f"l{level}: &l{level} [{several}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3", r"the key 'a' stands twice \(line 3\); the first is in line 1"),
        ("m:\n  x: {k: 1, k: 2}", r"'k' stands twice \(line 2\)"),
        ("a: !!python/object/apply:os.system [id]", r"python/object/apply:os\.system' makes an object \(line 1\)"),
        ("a: !!python/name:os.system", "makes an object"),
        ("a: !mine 3", "makes an object"),
        ("a: !!binary aGE=", "makes an object"),
        ("a: !!set {b}", "makes an object"),
        ("a: !!timestamp 2024-01-01", "makes an object"),
        ("1: a", r"a key is no text \(line 1\) - put it in quotes"),
        ("true: a", "a key is no text"),
        ("? [a, b]\n: c", "a key is no text"),
        ("? \n: c", "a key is no text"),
        ("a: &x [*x]", r"the anchor 'x' contains itself \(line 1\)"),
        ("a: &x\n  b: {c: *x}", r"the anchor 'x' contains itself \(line 2\)"),
        ("a: &x {<<: *x}", "contains itself"),
        (laughs(9), r"grows to more than 100,000 values \(line 6\)"),
        (laughs(9, merge=True), "grows to more than 100,000 values"),
        ("a: " + "[" * 5000, r"nested more than 50 deep \(line 1\)"),
        ("a:\n" + "".join(f"{' ' * d}b:\n" for d in range(1, 500)), "nested more than 50 deep"),
        ("a: " + "9" * 5000, r"the integer 9{20}\.\.\. is too large \(line 1\)"),
        ("a: 9223372036854775808", "is too large"),
        ("a: 0x" + "f" * 17, "is too large"),
        ("a: !!int ''", "is not YAML"),
        ("a: !!int many", "is not YAML"),
        ("a: !!bool perhaps", "is not YAML"),
        ("a: !!map [b]", r"the tag .*map' does not fit what follows \(line 1\)"),
        ("a: !!int [3]", "does not fit what follows"),
        ("a: [1, 2", "is not YAML"),
        (r'a: "\ud800"', r"half a character \(line 1\)"),
        ("a: *nobody", "is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: \x07", "is not YAML"),
        ("%YAML 3.0\n---\na: 1", "is not YAML"),
        (b"a: caf\xe9", "is not UTF-8 text: .* at byte 6"),
        (b"\xff\xfea\0:\0 \x001\0", "is not UTF-8 text"),
        (b"a: \0", "is not YAML"),
        ("a: " + "x" * 1_000_001, "is larger than 1,000,000 bytes"),
    ],
)
def test_what_is_refused(text: str | bytes, why: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=why) as caught:
        parse_yaml(text, "evil.yaml")
    told = str(caught.value)
    assert told.startswith("evil.yaml")
    assert len(told.splitlines()) == 1
    assert len(told) < 400
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seeds: [0, 010, 0x1f, -3, 1_000]", {"seeds": [0, 10, 31, -3, "1_000"]}),
        ("lr: [1e-4, 1.5E3, .5, 3., -.inf]", {"lr": [1e-4, 1500.0, 0.5, 3.0, float("-inf")]}),
        ("a: [yes, no, on, true, False]", {"a": ["yes", "no", "on", True, False]}),
        ("a: [2024-01-31, 12:30, 1:30:59, =, ~, null]", {"a": ["2024-01-31", "12:30", "1:30:59", "=", None, None]}),
        ("a:\nb: ''\nc: '1'", {"a": None, "b": "", "c": "1"}),
        ("yes: 1", {"yes": 1}),
        (
            "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x",
            {"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}, "c": {"k": 1, "l": 2}},
        ),
        ("a: {<<: [{k: 1}, {k: 2, m: 3}]}", {"a": {"k": 1, "m": 3}}),
        ("a: !!str 12", {"a": "12"}),
        (b"\xef\xbb\xbfa: \xe5\x88\x87", {"a": "切"}),
        ("", None),
        ("a: " + "[" * 40 + "]" * 40, {"a": __import__("functools").reduce(lambda inner, _: [inner], range(39), [])}),
    ],
)
def test_what_is_read(text: str | bytes, value: object) -> None:
    assert parse_yaml(text, "x") == value
