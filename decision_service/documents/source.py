"""YAML or JSON text to plain data, with the line of every key and list item.

YAML is read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): `22:00`, `on` and
`2026-01-01` are text, not 1320, true and a date.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import yaml

from decision_service.core.model.errors import InvalidRequest, Violation

Data: TypeAlias = "dict[str, Data] | list[Data] | str | int | float | bool | None"
Location: TypeAlias = tuple[str | int, ...]

MAX_LENGTH = 300_000
"""Longest document, in characters."""

MAX_NODES = 50_000
"""Keys, items and values of a document with its aliases followed, so that nested aliases cannot explode."""

MAX_DEPTH = 32


class _Loader(yaml.SafeLoader):
    """Only finds nodes; which scalar is what is decided in `_SCALARS`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own shape

    # The scanner's time grows with the square of the nesting, and the composer recurses: stop both early.
    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:  # noqa: N803  PyYAML's name
        self._limit(self.flow_level)
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        self._limit(len(self.indents))
        return bool(super().add_indent(column))

    def _limit(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise yaml.scanner.ScannerError(None, None, f"nested deeper than {MAX_DEPTH} levels", self.get_mark())


_STR, _MAP, _SEQ = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Data]], ...] = (
    (re.compile(r"(?:null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"(?:true|True|TRUE)"), lambda _: True),
    (re.compile(r"(?:false|False|FALSE)"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
)

_NOT_FINITE = re.compile(r"[-+]?(?:\.(?:inf|Inf|INF|nan|NaN|NAN)|NaN|Infinity)")


@dataclass(frozen=True)
class Source:
    """A document as written. `read_lines` finds the line numbers, which only errors need."""

    data: Mapping[str, Data]
    read_lines: Callable[[], Mapping[Location, int]] = field(repr=False)

    @cached_property
    def lines(self) -> Mapping[Location, int]:
        """Line of every key and list item, from 1; empty where they cannot be told."""
        return self.read_lines()

    def violations(self, mistakes: Iterable[tuple[Location, str]]) -> list[Violation]:
        """Mistakes with their path and line, in the order of lines, each once."""
        placed = ((self._line(location), path(location), message) for location, message in mistakes)
        return [
            Violation(f"{where} (line {line})".strip() if line else where or "document", message)
            for line, where, message in sorted(dict.fromkeys(placed))
        ]

    def _line(self, location: Location) -> int:
        # A missing key has no line; the part that lacks it has one.
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 0)


def path(location: Location) -> str:
    """`("actions", 2, "channel")` as `actions[2].channel`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str) -> Source:
    """Read a document.

    Raises:
        InvalidRequest: it is not YAML or JSON, has duplicate keys, or is no mapping.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidRequest.of("document", f"has {len(text)} characters; at most {MAX_LENGTH} are allowed")
    lines: Mapping[Location, int] | None = None
    try:
        data: Data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # refuses what has no canonical form
    except (ValueError, RecursionError):
        data, lines = _read_yaml(text)
    if not isinstance(data, dict):
        raise InvalidRequest.of("document (line 1)", "must be a mapping of keys to values")
    return Source(data, lambda: _json_lines(text) if lines is None else lines)


def _unique(pairs: list[tuple[str, Data]]) -> dict[str, Data]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("duplicate keys")  # YAML names them with their lines
    return found


def _refuse(constant: str) -> Data:
    raise ValueError(constant)  # NaN and Infinity are no JSON; read as YAML, they are refused with their lines


def _json_lines(text: str) -> Mapping[Location, int]:
    try:
        # YAML does not allow the tabs that JSON may indent with; JSON strings contain none.
        return _read_yaml(text.replace("\t", " "))[1]
    except InvalidRequest:
        return {}


def _read_yaml(text: str) -> tuple[Data, Mapping[Location, int]]:
    try:
        root = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise InvalidRequest([_syntax_error(error)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = (
            f"the character U+{error.character:04X} is not allowed"
            if isinstance(error.character, int)
            else "is not text"
        )
        raise InvalidRequest.of(f"document (line {line})", message) from None
    except RecursionError:
        raise InvalidRequest.of("document", f"is nested deeper than {MAX_DEPTH} levels") from None
    if root is None:
        raise InvalidRequest.of("document", "is empty")
    walk = _Walk()
    data = walk.value(root, ())
    if walk.violations:
        raise InvalidRequest(walk.violations)
    return data, walk.lines


def _syntax_error(error: yaml.MarkedYAMLError) -> Violation:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part)
    where = f"document (line {mark.line + 1}, column {mark.column + 1})" if mark else "document"
    return Violation(where, f"is not valid YAML: {what}; check the indentation and quotes around here")


class _Walk:
    """Turns nodes into data, collecting lines and every mistake on the way."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.violations: list[Violation] = []
        self._nodes = 0

    def value(self, node: yaml.Node, at: Location) -> Data:
        self._nodes += 1
        if len(at) > MAX_DEPTH or self._nodes > MAX_NODES:
            # Ends the walk: an alias that contains itself, or many that multiply, would not end by themselves.
            limit = f"deeper than {MAX_DEPTH} levels" if len(at) > MAX_DEPTH else f"larger than {MAX_NODES} values"
            raise InvalidRequest.of(f"document (line {_line(node)})", f"is nested {limit}; check its aliases")
        if node.tag not in (_STR, _MAP, _SEQ, "!"):
            self._complain(node, at, f"the tag {node.tag} is not supported; remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*at, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        raise TypeError(type(node))  # PyYAML has three kinds of nodes

    def _mapping(self, node: yaml.MappingNode, at: Location) -> Data:
        found: dict[str, Data] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, at, "a key must be text")
                continue
            key = str(key_node.value)
            here = (*at, key)
            if key in found:
                self._complain(key_node, here, f"is given twice, first on line {self.lines[here]}; remove one")
                continue
            self.lines[here] = _line(key_node)
            found[key] = self.value(value_node, here)
        return found

    def _item(self, node: yaml.Node, at: Location) -> Data:
        self.lines[at] = _line(node)
        return self.value(node, at)

    def _scalar(self, node: yaml.ScalarNode, at: Location) -> Data:
        text = str(node.value)
        if node.style is None and node.tag == _STR:
            if _NOT_FINITE.fullmatch(text):
                self._complain(node, at, f"{text} is not a finite number; put quotes around it if it is text")
                return None
            for pattern, convert in _SCALARS:
                if pattern.fullmatch(text):
                    return self._number(node, at, convert, text)
        if text.isascii():
            return text
        try:
            # `\ud83d\ude00`, as JSON writes what lies beyond 16 bits, comes as two surrogates.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._complain(node, at, "is not valid Unicode: half of a surrogate pair")
            return None

    def _number(self, node: yaml.Node, at: Location, convert: Callable[[str], Data], text: str) -> Data:
        try:
            number = convert(text)
        except ValueError:  # more digits than Python converts
            number = math.inf
        if number in (math.inf, -math.inf):
            self._complain(node, at, "is too large a number")
            return None
        return number

    def _complain(self, node: yaml.Node, at: Location, message: str) -> None:
        self.violations.append(Violation(f"{path(at) or 'document'} (line {_line(node)})", message))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
