"""Several documents are checked as they are to be published together."""

from __future__ import annotations

import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.documents.batches import check_together

PROGRAM = """\
name: welcome
features: {service: customer_v1}
actions: [{id: hello, channel: email, message: hello, ignores_caps: [week]}]
reward: {outcomes: {visit: 1}, window: 1d}
"""
POLICY = "caps: [{id: week, limit: 1, rolling: 7d}]\n"


def mistakes(texts: dict[str, str]) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        check_together(texts).require()
    return [str(violation) for violation in caught.value.violations]


def test_the_contact_policy_comes_first() -> None:
    """Programs name its caps, so that it is published before them."""
    batch = check_together({"a.yaml": PROGRAM, "b.yaml": POLICY})
    assert [(document.source, document.what) for document in batch.require()] == [
        ("b.yaml", "contact policy"),
        ("a.yaml", "program welcome"),
    ]


def test_programs_are_checked_against_the_contact_policy_beside_them() -> None:
    """A cap that it does not have is told; without a policy at hand the cap may be in the published one."""
    (told,) = mistakes({"a.yaml": PROGRAM, "b.yaml": POLICY.replace("week", "month")})
    assert told.startswith("a.yaml: actions[0].ignores_caps[0] (line 3): neither the program nor the contact policy")
    assert check_together({"a.yaml": PROGRAM}).require()


def test_the_mistakes_of_all_are_told_in_the_order_given() -> None:
    """One broken document hides nothing in another."""
    texts = {"a.yaml": PROGRAM + "nonsense: 1\n", "b.yaml": "]", "c.yaml": POLICY.replace("1,", "0,"), "d.yaml": POLICY}
    assert [told.split(" (line")[0] for told in mistakes(texts)] == [
        "a.yaml: nonsense",
        "b.yaml: document",
        "c.yaml: caps[0].limit",
    ]


def test_only_one_document_of_each() -> None:
    """Which of two to publish cannot be known."""
    texts = {"a.yaml": PROGRAM.replace("[week]", "all"), "b.yaml": POLICY, "c.yaml": PROGRAM, "d.yaml": POLICY}
    assert mistakes(texts) == [
        "c.yaml: document: a.yaml is the program welcome too; give one of them",
        "d.yaml: document: b.yaml is the contact policy too; give one of them",
    ]
