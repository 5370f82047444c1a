"""Groups: independent between salts of different purposes, and moved by a change of shares only where they must."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.guardrails.groups import BUCKETS, assign, bucket, following, moves
from decision_service.core.model.program import BucketRange, GlobalHoldout, Group, GroupShares

NOBODY = GlobalHoldout()
T, R, H = Group.TREATMENT, Group.RANDOM_CONTROL, Group.HOLDOUT


def groups_of(shares: GroupShares) -> list[Group]:
    return [assign(f"c{i}", shares, NOBODY)[0] for i in range(20_000)]


@st.composite
def divisions(draw: st.DrawFn) -> GroupShares:
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=3, max_size=3)))
    sizes = [end - first for first, end in zip([0, *cuts], [*cuts, BUCKETS], strict=True)]
    return GroupShares("s", *sizes)


def test_a_program_with_the_holdouts_salt_is_divided_as_any_other() -> None:
    """Of 20,000 customers and a holdout of 20 %, half of the others are in TREATMENT, within four deviations."""
    shares, holdout = GroupShares("global", 5_000, 0, 0, 5_000), GlobalHoldout(2_000, "global")
    assigned = [assign(f"c{i}", shares, holdout) for i in range(20_000)]
    groups = Counter(group for group, because in assigned if because != "global holdout")
    others = groups.total()
    assert abs(others - 16_000) < 4 * (20_000 * 0.2 * 0.8) ** 0.5
    assert abs(groups[T] - others / 2) < 4 * (others / 4) ** 0.5


def test_buckets_stay_where_no_salts_collide() -> None:
    """Those of the plain hash, with or without a holdout of another salt, or one that holds nobody out."""
    shares = GroupShares("winter", 5_000, 5_000)
    for holdout in (NOBODY, GlobalHoldout(100, "global"), GlobalHoldout(0, "winter")):
        for i in range(200):
            _, because = assign(f"c{i}", shares, holdout)
            assert because in ("global holdout", f"bucket {bucket('winter', f'c{i}')}")


def test_only_what_is_given_up_moves() -> None:
    """70/20/10 → 60/20/20: a tenth moves from TREATMENT to HOLDOUT, and nobody of RANDOM_CONTROL at all."""
    before = GroupShares("s", 7_000, 2_000, 0, 1_000)
    after = following(GroupShares("s", 6_000, 2_000, 0, 2_000), before)
    assert after.ranges == (
        BucketRange(T, 0, 6_000),
        BucketRange(R, 7_000, 9_000),
        BucketRange(H, 9_000, 10_000),
        BucketRange(H, 6_000, 7_000),
    )
    assert moves(before, after) == {(T, H): 1_000}
    changed = Counter(pair for pair in zip(groups_of(before), groups_of(after), strict=True) if pair[0] != pair[1])
    assert set(changed) == {(T, H)}
    assert changed[T, H] == pytest.approx(2_000, abs=4 * (20_000 * 0.1 * 0.9) ** 0.5)


def test_going_back_restores_who_was_where() -> None:
    """What a group got last it gives up first, so that the old shares are the old division."""
    before = GroupShares("s", 7_000, 2_000, 0, 1_000)
    assert following(before, following(GroupShares("s", 6_000, 2_500, 0, 1_500), before)) == before


def test_another_salt_deals_anew() -> None:
    """In order from bucket 0, whatever was before."""
    moved = following(GroupShares("s", 6_000, 2_000, 0, 2_000), GroupShares("s", 7_000, 2_000, 0, 1_000))
    fresh = GroupShares("t", 6_000, 2_000, 0, 2_000)
    assert following(fresh, moved) == fresh


@given(st.lists(divisions(), min_size=2, max_size=6))
def test_any_history_of_shares_moves_as_little_as_can_be(history: list[GroupShares]) -> None:
    """Every bucket has one group, groups have their sizes, and what moves is what the sizes of groups lose."""
    before = history[0]
    for shares in history[1:]:
        after = following(shares, before)
        assert replace(after, ranges=()) == shares
        if after.ranges:
            held = sorted((r.first, r.end) for r in after.ranges)
            assert [first for first, _ in held] == [0, *(end for _, end in held[:-1])]
            assert held[-1][1] == BUCKETS
            for group, size in shares.sizes:
                assert sum(r.end - r.first for r in after.ranges if r.group is group) == size
        lost = sum(max(0, was - now) for (_, was), (_, now) in zip(before.sizes, after.sizes, strict=True))
        assert sum(moves(before, after).values()) == lost
        before = after
