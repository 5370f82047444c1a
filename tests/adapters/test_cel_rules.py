"""Rules in CEL: what they read, how they fail, and what is refused before it is published."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.core.guardrails.eligibility import RuleFailure, RuleVariables
from decision_service.core.model.errors import InvalidRequest
from decision_service.documents.rules.rule_language import MAX_RULE_LENGTH, check_rule, members

VARIABLES = RuleVariables.of(
    features={"age": 40, "tier": "gold", "spend": 12.5, "zip": None, "segments": ("vip", "new"), "device": "web"},
    live={"page_view_count_7d": 3, "page_view_hours_since": None},
    context={"device": "ios", "basket": 20, "coupon": None},
)


def evaluate(*expressions: str) -> list[bool | RuleFailure]:
    return list(CelRules().evaluate(expressions, VARIABLES))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("customer.age >= 18 && customer.tier == 'gold'", True),
        ("customer.spend > 12", True),
        ("'vip' in segments", True),
        ("segments.exists(s, s.startsWith('x'))", False),
        ("live.page_view_count_7d < 3", False),
        ("context.basket == 20", True),
    ],
)
def test_a_rule_reads_customer_segments_live_and_context(expression: str, expected: bool) -> None:
    """The four variables hold the values of the decision."""
    assert evaluate(expression) == [expected]


def test_a_missing_value_is_absent() -> None:
    """`has` is false for a missing feature, live value or context value."""
    assert evaluate("has(customer.zip)", "has(live.page_view_hours_since)", "has(context.coupon)") == [False] * 3


def test_context_overrides_the_feature_of_the_same_name() -> None:
    """`customer.x` is what the caller sent, where x is a feature too; other context stays out of `customer`."""
    assert evaluate("customer.device == 'ios'", "has(customer.basket)") == [True, False]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("customer.zip == 1", "`zip` is missing"),
        ("customer.tier > 3", "No such overload"),
        ("customer.age / 0 == 1", "division by zero"),
        ("segments[9] == 'vip'", "out of bounds"),
        ("customer.tier", "gave a str"),
        ("customer.age +", "parse"),
        ("nobody.knows", "Undefined"),
    ],
)
def test_a_rule_that_fails_is_a_failure_and_leaves_the_others_alone(expression: str, message: str) -> None:
    """What cannot be evaluated, or is no boolean, is a value that says why, never an exception."""
    failure, other = evaluate(expression, "true")
    assert isinstance(failure, RuleFailure)
    assert message in failure.message
    assert other is True


def test_values_without_a_cel_form_fail_every_rule() -> None:
    """Text that is not Unicode fails the rules instead of the request."""
    variables = RuleVariables.of(features={"name": "\ud800"}, live={}, context={})
    (result,) = CelRules().evaluate(["true"], variables)
    assert isinstance(result, RuleFailure)


def test_compiled_rules_are_shared_between_threads() -> None:
    """Eight threads run the same program on different values, each getting its own answer."""
    rules = CelRules()

    def run(offset: int) -> bool:
        return all(
            rules.evaluate(
                ["customer.n % 2 == 0 && context.m == customer.n"],
                RuleVariables.of({"n": n}, {}, {"m": n}),
            )
            == [n % 2 == 0]
            for n in range(offset, offset + 300)
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(16)))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "at column 1: unexpected end of the rule"),
        ("customer.age >", "at column 15: unexpected end of the rule"),
        ("true &&\n  * 3", "line 2 of the rule, column 3: unexpected '*'"),
        ("consumer.age > 3", "unknown name `consumer`"),
        ("len(segments) > 3", "unknown function `len`"),
        ("segments.exists(s)", "unknown function `exists`"),
        ("1 + 1", "gave a int"),
        ("segments.all(a, segments.all(b, segments.all(c, true)))", "3 list operations; at most 2"),
        ("true || " * 400 + "true", f"at most {MAX_RULE_LENGTH}"),
    ],
)
def test_what_can_be_known_wrong_without_values_is_refused(expression: str, message: str) -> None:
    """Syntax with its position, unknown names, constants that are no boolean, and rules that could run for long."""
    with pytest.raises(InvalidRequest) as caught:
        check_rule(expression)
    assert message in str(caught.value)


def test_every_mistake_of_a_rule_is_named() -> None:
    """One error lists the unknown variable and the unknown function."""
    with pytest.raises(InvalidRequest, match=r"`foo`.*`bar`"):
        check_rule("foo.x && bar(customer.x)")


@pytest.mark.parametrize(
    "expression",
    ["has(customer.a) && customer.a > 1.5", "type(customer.a) == int", "segments.filter(s, s != 'x').size() > 1"],
)
def test_good_rules_pass(expression: str) -> None:
    """Macros, their bound names and type names are known."""
    check_rule(expression)


def test_the_longest_rule_cannot_end_the_process() -> None:
    """As many nested operators as fit in a rule compile and run."""
    assert evaluate("!" * (MAX_RULE_LENGTH - 4) + "true") == [True]
    assert evaluate("1" + "+1" * (MAX_RULE_LENGTH // 2 - 5) + " > 0") == [True]


def test_a_rule_that_would_take_long_with_what_was_sent_is_not_run() -> None:
    """Published before there was a bound, it fails with long lists, at once, and runs with short ones."""
    rule = "context.a.exists(x, context.a.exists(y, x + y == 'q' || 'z' in segments))"
    results = {}
    for items in (2, 256):
        sent = tuple(f"s{i}" for i in range(items))
        variables = RuleVariables.of({"segments": sent}, {}, {"a": sent})
        started = time.process_time()
        [results[items], plain] = CelRules().evaluate([rule, "'s1' in context.a"], variables)
        assert plain is True
        assert time.process_time() - started < 0.5
    assert results[2] is False
    assert isinstance(results[256], RuleFailure)
    assert "with a list of 256 items" in results[256].message


def test_members_names_what_a_rule_reads() -> None:
    """Dotted and quoted access count; text and other variables do not."""
    rule = """context.a == context["b c"] && "context.no" != 'x' && live.context.d && customer.e"""
    assert members(rule, "context") == {"a", "b c"}


def test_rules_say_what_they_read() -> None:
    """Members by variable, and `segments` as a whole; what the rule does not name is not read."""
    rules = CelRules()
    assert rules.reads("'vip' in segments || live.views_1d > 2 && has(context.page)") == [
        "context.page",
        "live.views_1d",
        "segments",
    ]
    assert rules.reads("""customer.age > 18 && customer["a b"] == 'live.x'""") == ["customer.a b", "customer.age"]
    assert rules.reads("true") == []
