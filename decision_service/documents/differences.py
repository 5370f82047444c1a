"""What differs between two documents, by path: of content, not of layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from decision_service.core.guardrails.groups import BUCKETS, moves
from decision_service.core.model.program import GroupShares
from decision_service.documents.source import Data, read

_KEYS = ("id", "outcome")
"""What names the items of a list, so that one that moved is not taken for another."""


class Change(StrEnum):
    """What happened to a key or item. REORDERED: the same items of a list stand in another order."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class Difference:
    """One key or item: `path` is such as `actions[sale_email].lever`; `before` is None if added, `after` if removed."""

    path: str
    change: Change
    before: Data = None
    after: Data = None

    def __str__(self) -> str:
        match self.change:
            case Change.ADDED:
                return f"+ {self.path}: {_shown(self.after)}"
            case Change.REMOVED:
                return f"- {self.path}: {_shown(self.before)}"
            case Change.REORDERED:
                return f"~ {self.path}: order {_shown(self.before)} → {_shown(self.after)}"
        return f"~ {self.path}: {_shown(self.before)} → {_shown(self.after)}"


def moved_groups(before: GroupShares, after: GroupShares) -> list[str]:
    """Who changes group when a program's shares follow others, in words; empty if nobody does."""
    if before.salt != after.salt:
        return [f"every customer is dealt anew: the salt {before.salt!r} becomes {after.salt!r}"]
    return [
        f"{buckets} of {BUCKETS} buckets ({100 * buckets / BUCKETS:g} % of customers) move from {was} to {now}"
        for (was, now), buckets in moves(before, after).items()
    ]


def differences(before: str, after: str) -> list[Difference]:
    """What to change in one document to make it the other; empty if publishing one after the other changes nothing.

    Raises:
        InvalidRequest: one of them is not YAML or JSON.
    """
    return list(_between("", dict(read(before).data), dict(read(after).data)))


def _between(path: str, before: Data, after: Data) -> Iterator[Difference]:
    if _shown(before) == _shown(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_parts(
            {key: f"{path}.{key}" if path else key for key in sorted({*before, *after})}, before, after
        )
    elif isinstance(before, list) and isinstance(after, list) and any(isinstance(x, dict) for x in before + after):
        old, new = _named(before, after)
        yield from _of_parts({key: f"{path}[{key}]" for key in [*old, *new]}, old, new)
        kept, now = [key for key in old if key in new], [key for key in new if key in old]
        if kept != now:
            yield Difference(path, Change.REORDERED, list(kept), list(now))
    else:
        yield Difference(path, Change.CHANGED, before, after)


def _of_parts(parts: Mapping[str, str], before: Mapping[str, Data], after: Mapping[str, Data]) -> Iterator[Difference]:
    for key, path in parts.items():
        if key not in before:
            yield Difference(path, Change.ADDED, after=after[key])
        elif key not in after:
            yield Difference(path, Change.REMOVED, before=before[key])
        else:
            yield from _between(path, before[key], after[key])


def _named(*lists: list[Data]) -> list[dict[str, Data]]:
    """The items of each list by what names them; by their number, where nothing names each of them differently."""
    for key in _KEYS:
        named: list[dict[str, Data]] = [
            {str(item[key]): item for item in items if isinstance(item, dict) and key in item} for items in lists
        ]
        if all(len(by_name) == len(items) for by_name, items in zip(named, lists, strict=True)):
            return named
    return [{str(number): item for number, item in enumerate(items)} for items in lists]


def _shown(value: Data) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
