"""What a rule costs at most, estimated from its text: CEL says nothing of it and cannot be interrupted.

A list operation runs its body once for each item of its list; within another the two multiply. `map` and `filter` copy
what they have so far for each item. `matches` compiles its pattern each time that it runs. The estimate is a polynomial
in the length of the longest list, whose coefficients, in microseconds, were measured and rounded up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_RULE_MS = 25.0
"""Most that one evaluation of a rule may be estimated to take. Published are those that stay within it whatever callers
send; one that would take longer with what was served and sent this time is not run."""

MAX_RULES_MS = 500.0
"""The same of all rules of a program together, when it is published."""

LIST_OPERATIONS = frozenset({"all", "exists", "exists_one", "map", "filter"})

_TOKEN = re.compile(
    r"""(?P<skipped>\s+|//[^\n]*)|(?P<text>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))"""
    r"""|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_]\w*)|(?P<sign>==|!=|<=|>=|&&|\|\||.)""",
    re.DOTALL,
)
_LITERALS = frozenset({"true", "false", "null"})
_READ = frozenset({"customer", "segments", "context"})

# Microseconds.
_STEP, _CALL, _LOOKED_AT, _COMPARED, _COPIED = 0.15, 2.0, 0.25, 0.2, 0.2
_PATTERN, _CHARACTER, _ANY, _CLASS, _UNICODE_CLASS = 10.0, 4.0, 35.0, 150.0, 2_500.0
_SUPERLINEAR = 250  # characters of a pattern, repetitions written out, that double the cost of each

_ATOM = re.compile(
    r"\\(?P<escaped>[pP]\{[^}]*\}|[pP]\w|.)|\{(?P<least>\d+)?(?:,(?P<most>\d*))?\}|(?P<other>.)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Cost:
    """`microseconds[d]` times the length of the longest list to the power of d, summed up."""

    microseconds: tuple[float, ...]

    @property
    def grows(self) -> bool:
        """Whether it depends on the length of lists at all."""
        return len(self.microseconds) > 1

    def ms(self, longest: int) -> float:
        """Milliseconds, where no list that the rule reads has more items."""
        return sum(each * float(longest) ** degree for degree, each in enumerate(self.microseconds)) / 1000


def estimate(expression: str) -> Cost:
    """The cost of a rule that compiles. A pattern that is no text of the rule has no bound."""
    tokens = [found for found in _TOKEN.finditer(expression) if found.lastgroup != "skipped"]
    return _Estimate([(str(found.lastgroup), found.group()) for found in tokens]).cost()


class _Estimate:
    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._kinds = ["end", *(kind for kind, _ in tokens), "end"]
        self._texts = ["", *(text for _, text in tokens), ""]
        self._closes, self._opens = _pairs(self._texts)
        self._bound: set[str] = set()
        self._of_degree: dict[int, float] = {0: 0.0}

    def cost(self) -> Cost:
        growing = [i for i, text in enumerate(self._texts) if text == "+" and not self._is_scalar(i)]
        grown = 1.0 + len(growing)  # how often its longest list a rule may append to itself
        around: list[tuple[int, int, float]] = []  # bodies that a token is in: their end, degree, factor
        for i, text in enumerate(self._texts):
            while around and i >= around[-1][0]:
                around.pop()
            degree, times = (around[-1][1], around[-1][2]) if around else (0, 1.0)
            self._add(degree, times * _STEP)
            if self._is_list_operation(i):
                self._bound.add(self._texts[i + 2])
                items, more = self._items(i - 2)
                inner_degree, inner_times = degree + more, times * items * (grown if more else 1.0)
                if text in ("map", "filter"):
                    self._add_copies(i, degree, times, more, items * (grown if more else 1.0))
                around.append((self._closes[i + 1], inner_degree, inner_times))
            elif self._kinds[i] == "name" and self._texts[i + 1] == "(":
                self._add(degree, times * (self._pattern(self._closes[i + 1]) if text == "matches" else _CALL))
            elif text == "in" and self._texts[i + 1] != "[":
                self._add(degree + 1, times * grown * _LOOKED_AT)
            elif text in ("==", "!=", "+") and not self._is_scalar(i):
                self._add(degree + 1, times * grown * _COMPARED)
        most = max(self._of_degree)
        return Cost(tuple(self._of_degree.get(degree, 0.0) for degree in range(most + 1)))

    def _add(self, degree: int, microseconds: float) -> None:
        self._of_degree[degree] = self._of_degree.get(degree, 0.0) + microseconds

    def _is_list_operation(self, i: int) -> bool:
        return (
            self._texts[i] in LIST_OPERATIONS
            and self._texts[i - 1] == "."
            and self._texts[i + 1] == "("
            and self._texts[i + 3] == ","
        )

    def _items(self, last: int) -> tuple[float, int]:
        """How many items the list that ends at a token has, and to which degree of the longest list's length."""
        first = self._opens.get(last)
        if self._texts[last] != "]" or first is None or self._kinds[first - 1] in ("name", "text"):
            return 1.0, 1
        if self._texts[first - 1] in (")", "]"):
            return 1.0, 1
        return float(self._texts[first:last].count(",") + 1), 0

    def _add_copies(self, i: int, degree: int, times: float, more: int, items: float) -> None:
        """A list that grows item by item is copied each time; items of `map` may be lists themselves."""
        body = self._texts[i + 4 : self._closes[i + 1]]
        copies = times * items**2 * _COPIED
        written = self._texts[i] == "map" and "[" in body
        self._add(degree + 2 * more, copies * (len(body) if written else 1))
        if self._texts[i] == "map" and _READ.intersection(body):
            self._add(degree + 2 * more + 1, copies)

    def _pattern(self, close: int) -> float:
        if self._kinds[close - 1] != "text" or self._texts[close - 2] not in ("(", ","):
            return math.inf
        written = self._texts[close - 1]
        text = written[written.index(written[-1]) + 1 : -1]
        return pattern_microseconds(text if written[0] in "rR" else text.replace("\\\\", "\\"))

    def _is_scalar(self, i: int) -> bool:
        """Whether one side of an operator is a literal, or an item of a list: those are texts."""
        return any(
            self._kinds[j] in ("text", "number") or self._texts[j] in _LITERALS or self._texts[j] in self._bound
            for j in (i - 1, i + 1)
        )


def _pairs(texts: Sequence[str]) -> tuple[dict[int, int], dict[int, int]]:
    closes: dict[int, int] = {}
    opened: list[int] = []
    for i, text in enumerate(texts):
        if text in ("(", "[", "{"):
            opened.append(i)
        elif text in (")", "]", "}") and opened:
            closes[opened.pop()] = i
    return closes, {close: first for first, close in closes.items()}


def pattern_microseconds(pattern: str) -> float:
    """What compiling a regular expression and searching a text by it costs at most, its repetitions written out."""
    characters, special = _written_out(pattern)
    return _PATTERN + characters * _CHARACTER * (1 + characters / _SUPERLINEAR) + special


def _written_out(pattern: str) -> tuple[float, float]:
    """Characters, and microseconds for what matches many characters, with what `{n}` repeats counted n times."""
    groups: list[list[tuple[float, float]]] = [[]]
    for atom in _ATOM.finditer(pattern):
        if atom["least"] is not None or atom["most"] is not None:
            times = float(max(int(atom["least"] or 0), int(atom["most"] or 0), 1))
            if groups[-1]:
                characters, special = groups[-1][-1]
                groups[-1][-1] = (characters * times, special * times)
        elif atom["other"] == "(":
            groups.append([])
        elif atom["other"] == ")" and len(groups) > 1:
            whole = groups.pop()
            groups[-1].append(_sum(whole))
        elif atom["other"] not in ("*", "+", "?"):
            groups[-1].append((1.0, _special(atom["escaped"], atom["other"])))
    return _sum(each for group in groups for each in group)


def _special(escaped: str | None, other: str | None) -> float:
    if escaped is not None:
        return _UNICODE_CLASS if escaped[0] in "pPwWbB" else _CLASS if escaped[0] in "dDsS" else 0.0
    return _ANY if other in (".", "[") else 0.0


def _sum(parts: Iterator[tuple[float, float]] | Sequence[tuple[float, float]]) -> tuple[float, float]:
    each = list(parts)
    return sum(characters for characters, _ in each), sum(special for _, special in each)
