"""Strict YAML parser of config files."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
"""Values in a document, those behind an alias counted each time that it stands there."""
MAX_DEPTH = 50
_LARGEST = 1 << 63

_TAG = "tag:yaml.org,2002:"
_PLAIN = re.compile(_TAG + "(null|bool|int|float|str|seq|map|merge)")
_NODES: dict[str, type[Node]] = {f"{_TAG}map": MappingNode, f"{_TAG}seq": SequenceNode}
_HALF = re.compile("[\ud800-\udfff]")
_RULES = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)
"""What a bare word is, by its first character (YAML 1.2, section 10.3.2): 010 is ten, 12:30 and a date are text."""


def parse_yaml(content: str | bytes, where: str) -> Any:
    """Read one YAML document of mappings, lists, text, numbers, true, false and null.

    Anchors, aliases and merge keys (``<<: *anchor``) serve. Bare words are read as YAML 1.2 says, so ``yes``, ``010``
    and ``2024-01-31`` are text, ten and text.

    Args:
        content: The document; bytes are UTF-8.
        where: What to call it in an error.

    Raises:
        ConfigError: It is no YAML, or it holds what is refused: more than :data:`MAX_BYTES` bytes, a tag that makes an
            object, a key that stands twice or is no text, an anchor that contains itself, more than
            :data:`MAX_VALUES` values, deeper nesting than :data:`MAX_DEPTH`, an integer of more than 64 bits.
    """
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{where} is larger than {MAX_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return yaml.load(text, _Loader)  # noqa: S506 - the loader is a SafeLoader that refuses more
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not UTF-8 text: {error.reason} at byte {error.start:,}") from error
    except _RefusedError as error:
        raise ConfigError(f"{where}: {error}") from error
    except (yaml.YAMLError, ValueError, LookupError) as error:
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())[:300]}") from error


class _RefusedError(Exception):
    """A document that is YAML, but none that is wanted; its message says what and where."""


class _Loader(yaml.SafeLoader):
    """A SafeLoader that counts what a document grows to while it is composed, before anything is made of it."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML asks for it on the class

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth > MAX_DEPTH:
            raise _RefusedError(f"it is nested more than {MAX_DEPTH} deep {_place(event)}")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise _RefusedError(f"the anchor '{str(event.anchor)[:60]}' contains itself {_place(event)}")
        else:
            _refuse(node)
            self._sizes[id(node)] = self._size(node)
        if self._sizes[id(node)] > MAX_VALUES:
            raise _RefusedError(f"it grows to more than {MAX_VALUES:,} values {_place(event)}")
        return node

    def _size(self, node: Node) -> int:
        if isinstance(node, ScalarNode):
            return 1
        parts = (part for pair in node.value for part in pair) if isinstance(node, MappingNode) else node.value
        return 1 + sum(self._sizes[id(part)] for part in parts)


def _refuse(node: Node) -> None:
    tag = repr(node.tag[:100])
    if not _PLAIN.fullmatch(node.tag):
        raise _RefusedError(f"the tag {tag} makes an object {_place(node)}; a config holds plain values only")
    if not isinstance(node, _NODES.get(node.tag, ScalarNode)):
        raise _RefusedError(f"the tag {tag} does not fit what follows {_place(node)}")
    if isinstance(node, ScalarNode) and _HALF.search(node.value):
        raise _RefusedError(f"a text holds half a character {_place(node)}")
    if isinstance(node, MappingNode):
        _refuse_keys(node)


def _refuse_keys(node: MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.tag.removeprefix(_TAG) not in {"str", "merge"}:
            raise _RefusedError(f"a key is no text {_place(key)} - put it in quotes")
        if key.value in seen:
            first = seen[key.value]
            raise _RefusedError(f"the key '{key.value[:60]}' stands twice {_place(key)}; the first is in line {first}")
        seen[key.value] = key.start_mark.line + 1


def _place(marked: Any) -> str:
    return f"(line {marked.start_mark.line + 1})"


def _integer(loader: _Loader, node: ScalarNode) -> int:
    text = node.value
    # Python itself refuses to read thousands of digits
    value = int(text, 16 if text.startswith("0x") else 10) if len(text) < 40 else _LARGEST
    if abs(value) >= _LARGEST:
        raise _RefusedError(f"the integer {text[:20]}... is too large {_place(node)}")
    del loader
    return value


for _kind, _pattern, _first in _RULES:
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.add_constructor(f"{_TAG}int", _integer)
