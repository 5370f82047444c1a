"""What differs between two documents is told by path, of content and not of layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.documents import normalise
from decision_service.documents.differences import differences
from decision_service.documents.source import Data

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "program.yaml").read_text()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("a: 1", "# comment\na:    1", []),
        ("a: 1", "a: 2", ["~ a: 1 → 2"]),
        ("a: 1", "a: 1.0", ["~ a: 1 → 1.0"]),
        ("a: x", "b: x", ['- a: "x"', '+ b: "x"']),
        ("a: {b: {c: 1}}", "a: {b: {c: 2}}", ["~ a.b.c: 1 → 2"]),
        ("a: [x, y]", "a: [x]", ['~ a: ["x", "y"] → ["x"]']),
        ("a: [{id: x, lever: 1}]", "a: [{id: x, lever: 1.2}]", ["~ a[x].lever: 1 → 1.2"]),
        ("a: [{id: x}]", "a: [{id: y}]", ['- a[x]: {"id": "x"}', '+ a[y]: {"id": "y"}']),
        (
            "a: [{id: x}, {id: y, b: 1}]",
            "a: [{id: y, b: 2}, {id: x}]",
            ["~ a[y].b: 1 → 2", '~ a: order ["x", "y"] → ["y", "x"]'],
        ),
        ("a: [{outcome: x, for: 1d}]", "a: [{outcome: x, for: 2d}]", ['~ a[x].for: "1d" → "2d"']),
        ("a: [{action: x}]", "a: [{action: y}, {action: x}]", ['~ a[0].action: "x" → "y"', '+ a[1]: {"action": "x"}']),
        ("a: [{id: x}]", "a: []", ['- a[x]: {"id": "x"}']),
        ("a: [1]", "a: {b: 1}", ['~ a: [1] → {"b": 1}']),
    ],
)
def test_differences(before: str, after: str, told: list[str]) -> None:
    """Items of lists are known by their id or outcome, where they have one, and else by their number."""
    assert [str(difference) for difference in differences(before, after)] == told


def test_what_is_published_does_not_differ_from_its_file() -> None:
    """The canonical form says the same."""
    assert differences(normalise(EXAMPLE), EXAMPLE) == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "outcome", "b"]), inner),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)


@given(documents, documents)
def test_nothing_differs_exactly_where_publishing_changes_nothing(
    before: dict[str, Data], after: dict[str, Data]
) -> None:
    """Whatever the documents, there is a difference if and only if the canonical forms are not the same."""

    old, new = json.dumps(before), json.dumps(after)
    assert bool(differences(old, new)) == (normalise(old) != normalise(new))
