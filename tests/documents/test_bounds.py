"""What is refused at publication because it could take long or outlive what is retained, and served if it is there."""

from __future__ import annotations

import json
import math

import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.documents import parse_program, stored_program
from decision_service.documents.rules.rule_cost import MAX_RULE_MS, estimate

PROGRAM = """
name: p
features: {service: customer_v1}
context: {tags: strings, text: string}
actions: [{id: a, channel: email, message: m}]
reward: {outcomes: {visit: 1}, window: 1d}
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_program(text)
    return [str(violation) for violation in caught.value.violations]


def test_a_lease_is_no_longer_than_what_the_ledger_retains() -> None:
    """Seven days are; the error says why. What was published before is still read."""
    assert parse_program(PROGRAM + "lease: 7d").lease_s == 7 * 86_400
    [told] = refusal(PROGRAM + "lease: 366d")
    assert told.startswith("lease (line 7): 366d is longer than 7d: the ledger forgets")
    assert stored_program(PROGRAM + "lease: 366d", 3).lease_s == 366 * 86_400


@pytest.mark.parametrize(
    "rule",
    [
        "'vip' in segments && customer.age >= 18",
        "context.tags.exists(t, t.startsWith('vip') || t in segments)",
        "['a', 'b'].exists(p, context.tags.exists(t, t.startsWith(p)))",
        "segments.filter(s, s != 'x').size() > 1",
        "segments.map(s, s + '!').exists(s, s == 'vip!')",
        "context.tags.exists(t, t.matches('^vip-'))",
        r"context.text.matches(r'^\w+@[a-z.]{1,64}$')",
        "context.text.matches('" + "|".join(f"word{i}" for i in range(30)) + "')",
    ],
)
def test_what_stays_quick_with_the_longest_lists_may_be_published(rule: str) -> None:
    """Look-ups, one pass over a list, a fixed list beside one, patterns of moderate size."""
    assert parse_program(PROGRAM + "audience: " + json.dumps(rule)).audience == rule


@pytest.mark.parametrize(
    "rule",
    [
        "context.tags.exists(x, context.tags.exists(y, x + y == 'q'))",
        "segments.all(x, customer.tags.all(y, x != y))",
        "context.tags.map(x, context.tags).exists(y, y.size() == 3)",
        "context.tags.filter(x, segments.filter(y, x == y).size() > 0).size() > 0",
        "(segments + segments + context.tags).filter(s, s == 'x').size() > 9",
        r"context.text.matches('\\w{100}')",
        r"context.text.matches(r'(((\w{5}){5}){5}){5}')",
        r"context.text.matches('(\\pL{10}){10}')",
        r"context.tags.exists(t, t.matches(r'\w+x'))",
    ],
)
def test_what_could_take_long_is_refused_with_its_field(rule: str) -> None:
    """Lists within lists, copies of copies, patterns that unfold; still served where it is published."""
    assert estimate(rule).ms(256) > MAX_RULE_MS
    [told] = refusal(PROGRAM + "audience: " + json.dumps(rule))
    assert told.startswith("audience (line 7): with lists of 256 items it may take")
    assert stored_program(PROGRAM + "audience: " + json.dumps(rule), 1).audience == rule


def test_a_pattern_is_written_in_the_rule() -> None:
    """One that callers send could be anything."""
    [told] = refusal(PROGRAM + "audience: context.text.matches(context.text)")
    assert told.startswith("audience (line 7): the pattern of `matches` must be written in the rule")
    assert estimate("context.text.matches(context.text)").ms(0) == math.inf


def test_many_costly_rules_are_refused_together() -> None:
    """Each would do by itself."""
    actions = [
        {"id": f"a{i}", "channel": "email", "message": "m", "eligible": f"segments.filter(s, s != 's{i}').size() > 1"}
        for i in range(50)
    ]
    document = {**json.loads('{"reward": {"outcomes": {"visit": 1}, "window": "1d"}}'), "name": "p"}
    document |= {"features": {"service": "customer_v1"}, "actions": actions[:20]}
    assert parse_program(json.dumps(document)).actions
    [told] = refusal(json.dumps({**document, "actions": actions}))
    assert told.startswith("actions")
    assert "all rules together may take" in told


@pytest.mark.parametrize(
    ("rule", "fixed", "each"),
    [
        # Six tokens from `(` to the body's end; `segments.exists`, `)` and the two ends.
        ("segments.exists(s, s == 'x')", 6, 6),
        # The same six, twice; `[1, 2].exists`, `)` and the two ends.
        ("[1, 2].exists(s, s == 1)", 22, 0),
    ],
)
def test_bodies_count_once_for_each_item(rule: str, fixed: int, each: int) -> None:
    """In steps of 0.15 microseconds; a list that is written out has as many items as it has."""
    assert estimate(rule).microseconds == pytest.approx((0.15 * fixed, 0.15 * each) if each else (0.15 * fixed,))
