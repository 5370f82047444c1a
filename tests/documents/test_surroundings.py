"""What a program names must exist: features of its service, caps of its own or of the contact policy."""

from __future__ import annotations

import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import ContactPolicy, FrequencyCap
from decision_service.documents import Surroundings, parse_program

KNOWN = Surroundings(
    ContactPolicy(caps=(FrequencyCap("one_a_day", 1, 86_400),)),
    {"customer_v1": ("orders_90d", "email_consent")}.get,
)
PROGRAM = """\
name: welcome
features: {service: customer_v1, exclude_from_model: [email_consent, device, contacts_7d]}
context: {device: string}
audience: has(customer.orders_90d) || customer["email_consent"]
actions:
  - id: hello
    channel: email
    message: hello
    ignores_caps: [one_a_week, one_a_day]
caps: [{id: one_a_week, limit: 1, rolling: 7d}]
reward: {outcomes: {visit: 1}, window: 1d}
"""


def violations(text: str, beside: Surroundings = KNOWN) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_program(text, beside=beside)
    return [str(violation) for violation in caught.value.violations]


def test_what_exists_is_accepted() -> None:
    """Features, context and live features; caps of the program and of the contact policy."""
    assert parse_program(PROGRAM, beside=KNOWN) == parse_program(PROGRAM)


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        (
            "has(customer.orders_90d)",
            "customer.order_90d > 1",
            "audience (line 4): customer_v1 has no feature `customer.order_90d`; did you mean `orders_90d`?",
        ),
        (
            "message: hello",
            "message: hello\n    eligible: customer.zip == 'x'",
            "actions[0].eligible (line 9): customer_v1 has no feature `customer.zip`; add it there",
        ),
        (
            "one_a_week, one_a_day",
            "one_a_day, one_a_weak",
            "actions[0].ignores_caps[1] (line 9): neither the program nor the contact policy has a cap `one_a_weak`; "
            "did you mean `one_a_week`?",
        ),
        (
            "[email_consent,",
            "[email_consnt,",
            "features.exclude_from_model[0] (line 2): the model sees nothing named `email_consnt`; "
            "did you mean `email_consent`?",
        ),
    ],
)
def test_what_does_not_exist_is_told_with_line_and_hint(written: str, instead: str, told: str) -> None:
    """Each misspelt name gets one violation."""
    (violation,) = violations(PROGRAM.replace(written, instead))
    assert violation.startswith(told)


def test_every_kind_of_mistake_is_told_at_once() -> None:
    """Those that need more than the document stand beside those that do not."""
    found = violations(PROGRAM.replace("one_a_day]", "none]").replace("window: 1d", "window: 1 day"))
    assert [violation.partition(": ")[0] for violation in found] == [
        "actions[0].ignores_caps[1] (line 9)",
        "reward.window (line 11)",
    ]


def test_what_is_not_known_here_is_not_checked() -> None:
    """A service whose features are not built yet, and a contact policy that is not at hand."""
    unbuilt = PROGRAM.replace("customer_v1", "customer_v2").replace("orders_90d", "new_feature")
    assert parse_program(unbuilt, beside=KNOWN).feature_service == "customer_v2"
    offline = Surroundings(None, lambda _: None)
    assert parse_program(PROGRAM.replace("one_a_day", "of_the_policy"), beside=offline)
