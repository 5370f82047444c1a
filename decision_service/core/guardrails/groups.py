"""Salted-hash groups: stable for a customer, independent between salts.

A program's first shares are dealt in order from bucket 0. When shares change, a group keeps its buckets up to its new
size, and only what it gives up moves: what it got last, to groups that grow. Nobody else changes group.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from decision_service.core.model.program import BucketRange, GlobalHoldout, Group, GroupShares

BUCKETS = 10_000

GLOBAL_HOLDOUT = "global holdout"
"""Where the group of a customer comes from whom no program may contact."""

OWN_DOMAIN = "\x1fprogram\x1f"
"""Before a program's salt where the global holdout has the same. Documents have no control characters, so that no
other salt reads so."""


def bucket(salt: str, customer_id: str) -> int:
    """The customer's bucket in [0, BUCKETS): the first 8 bytes of SHA-256 over `salt:customer_id`, modulo BUCKETS."""
    digest = hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def assign(
    customer_id: str, shares: GroupShares, holdout: GlobalHoldout, pinned: Group | None = None
) -> tuple[Group, str]:
    """The customer's group in a program, and where it comes from: `global holdout`, `pinned` or `bucket N`.

    The global holdout comes first: no pin overrides it. Who is in it says nothing of the program's groups.
    """
    if holdout.buckets and bucket(holdout.salt, customer_id) < holdout.buckets:
        return Group.HOLDOUT, GLOBAL_HOLDOUT
    if pinned is not None:
        return pinned, "pinned"
    collides = holdout.buckets and holdout.salt == shares.salt
    number = bucket(OWN_DOMAIN + shares.salt if collides else shares.salt, customer_id)
    return _group_of(number, shares), f"bucket {number}"


def _group_of(number: int, shares: GroupShares) -> Group:
    for dealt in shares.ranges:
        if dealt.first <= number < dealt.end:
            return dealt.group
    end = 0
    for group, size in shares.sizes:
        end += size
        if number < end:
            return group
    return Group.HOLDOUT


def following(shares: GroupShares, before: GroupShares) -> GroupShares:
    """`shares` with the buckets that they have when they follow others of the same salt; another salt deals anew."""
    if shares.salt != before.salt:
        return shares
    held = {group: [r for r in before.ranges or _dealt(before) if r.group is group] for group, _ in shares.sizes}
    freed = sorted((given.first, given.end) for group, size in shares.sizes for given in _given_up(held[group], size))
    for group, size in shares.sizes:
        missing = size - _size(held[group])
        while missing > 0:
            first, end = freed.pop(0)
            taken = min(missing, end - first)
            if taken < end - first:
                freed.insert(0, (first + taken, end))
            _take(held[group], BucketRange(group, first, first + taken))
            missing -= taken
    ranges = tuple(dealt for group, _ in shares.sizes for dealt in held[group])
    return replace(shares, ranges=() if ranges == tuple(_dealt(shares)) else ranges)


def moves(before: GroupShares, after: GroupShares) -> Mapping[tuple[Group, Group], int]:
    """How many buckets go (from, to) which group; empty if none does. Between two salts that is not defined."""
    moved: Counter[tuple[Group, Group]] = Counter()
    for was in before.ranges or _dealt(before):
        for now in after.ranges or _dealt(after):
            both = min(was.end, now.end) - max(was.first, now.first)
            if was.group is not now.group and both > 0:
                moved[was.group, now.group] += both
    return moved


def _dealt(shares: GroupShares) -> Iterator[BucketRange]:
    """In order, from bucket 0."""
    end = 0
    for group, size in shares.sizes:
        first, end = end, end + size
        if size:
            yield BucketRange(group, first, end)


def _size(ranges: list[BucketRange]) -> int:
    return sum(r.end - r.first for r in ranges)


def _given_up(held: list[BucketRange], size: int) -> Iterator[BucketRange]:
    """What is beyond `size`, taken from the end of `held`: what came last goes first, so that going back restores."""
    excess = _size(held) - size
    while excess > 0:
        last = held.pop()
        kept = max(last.first, last.end - excess)
        if kept > last.first:
            held.append(replace(last, end=kept))
        yield replace(last, first=kept)
        excess -= last.end - kept


def _take(held: list[BucketRange], more: BucketRange) -> None:
    if held and held[-1].end == more.first:
        held[-1] = replace(held[-1], end=more.end)
    else:
        held.append(more)
