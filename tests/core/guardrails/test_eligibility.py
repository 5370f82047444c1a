"""Rules over features that could not be read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.core.guardrails.eligibility import RuleFailure, RuleResult, RuleVariables, verdicts
from decision_service.core.model.record import ALL_FEATURES
from decision_service.core.model.values import Values


class Counting(CelRules):
    """Counts how often rules are looked into."""

    def __init__(self) -> None:
        self.looked = 0

    def reads(self, expression: str) -> Sequence[str]:
        self.looked += 1
        return super().reads(expression)


def judged(rule: str, unread: set[str], features: Values | None = None, context: Values | None = None) -> RuleResult:
    """One rule."""
    variables = RuleVariables.of(features or {}, {"views": 3}, context or {}, frozenset(unread))
    return verdicts(CelRules(), [rule], variables)[0]


@pytest.mark.parametrize("unread", [{"x", "segments"}, {ALL_FEATURES}])
@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("customer.x > 1", "customer.x"),
        ("!has(customer.x)", "customer.x"),
        ("customer['x'] == 1 || true", "customer.x"),
        ("!('vip' in segments)", "segments"),
        ("size(segments) == 0", "segments"),
        ("customer.segments == []", "customer.segments"),
        ("size(customer) == 0", "customer"),
        ("!customer.exists(k, k == 'x')", "customer"),
        ("!(context.key in customer)", "customer"),
        ("customer[context.key] == 1", "customer"),
        ("!has(.customer.x)", "customer.x"),
        ("r'\\' == context.key || !has(customer.x)", "customer.x"),
    ],
)
def test_a_rule_that_reads_what_could_not_be_read_fails(rule: str, named: str, unread: set[str]) -> None:
    """Also where it would be true for a missing value, or takes the customer as a whole."""
    assert judged(rule, unread, {"x": None}, {"key": "k"}) == RuleFailure(f"`{named}` could not be read")


@pytest.mark.parametrize("unread", [{"x", "segments"}, {ALL_FEATURES}])
@pytest.mark.parametrize(
    "rule", ["live.views == 3", "context.x == 2", "'customer.x' != 'segments'", "true // customer.x"]
)
def test_other_rules_are_evaluated(rule: str, unread: set[str]) -> None:
    """Live features, what the caller sent, and names in texts and comments are read."""
    assert judged(rule, unread, context={"x": 2}) is True


def test_what_is_read_beside_it_is_evaluated() -> None:
    """Another feature; and what is known to be missing."""
    assert judged("customer.y == 1 && !has(customer.z)", {"x"}, {"x": None, "y": 1, "z": None}) is True


@pytest.mark.parametrize("unread", [{"x", "segments"}, {ALL_FEATURES}])
def test_what_the_caller_sends_is_read(unread: set[str]) -> None:
    """The context overrides the feature, whether or not its name came with the answer; None is not sent."""
    sent: Values = {"x": 2, "segments": ("vip",)}
    assert judged("customer.x == 2 && 'vip' in segments", unread, context=sent) is True
    assert judged("has(customer.x)", unread, context={"x": None}) == RuleFailure("`customer.x` could not be read")


def test_the_whole_customer_is_read_where_the_caller_sends_all_that_was_not() -> None:
    """Unless nobody knows what that is."""
    assert judged("customer.exists(k, k == 'x')", {"x"}, context={"x": 2}) is True
    assert isinstance(judged("customer.exists(k, k == 'x')", {ALL_FEATURES}, context={"x": 2, "*": 1}), RuleFailure)


def test_results_keep_their_order_and_rules_are_not_looked_into_without_need() -> None:
    """Those that fail among those that hold; with everything read, nothing is done."""
    rules = Counting()
    expressions = ["live.views == 3", "customer.x == 1", "live.views == 4"]
    blind = verdicts(rules, expressions, RuleVariables.of({}, {"views": 3}, {}, frozenset({"x"})))
    assert blind == [True, RuleFailure("`customer.x` could not be read"), False]
    assert rules.looked == 3
    assert verdicts(rules, ["true"], RuleVariables.of({"x": 1}, {}, {})) == [True]
    assert rules.looked == 3
