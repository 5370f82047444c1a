"""Publishing through the administration: what is checked beyond the document, and checking without publishing."""

from __future__ import annotations

import pytest

from decision_service.core.model.errors import InvalidRequest
from tests.support.served import AUDIT, POLICY, PROGRAM, World


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def refusal(world: World, document: str, *, validate_only: bool = False) -> list[str]:
    before = world.policies.current()
    with pytest.raises(InvalidRequest) as caught:
        world.administration.apply_program(document, "anna", validate_only=validate_only)
    assert world.policies.current() is before
    return [str(violation) for violation in caught.value.violations]


@pytest.mark.parametrize("validate_only", [False, True])
def test_names_that_do_not_exist_are_refused(world: World, validate_only: bool) -> None:
    """Features of a known service and caps of nobody; nothing is published."""
    broken = (
        PROGRAM.replace("message: hello}", "message: hello, ignores_caps: [one_an_hour]}") + "audience: customer.ag > 1"
    )
    assert refusal(world, broken, validate_only=validate_only) == [
        "actions[1].ignores_caps[0] (line 6): neither the program nor the contact policy has a cap `one_an_hour`; "
        "write `all`, or ids of caps that exist",
        "audience (line 11): s has no feature `customer.ag`; did you mean `age`?",
    ]


def test_caps_of_the_published_contact_policy_may_be_ignored(world: World) -> None:
    """As soon as it is published."""
    world.policies.publish_policy(POLICY, AUDIT)
    changed = PROGRAM.replace("message: hello}", "message: hello, ignores_caps: [one_an_hour]}")
    assert world.administration.apply_program(changed, "anna").version == 2


def test_features_that_are_not_built_yet_are_not_checked(world: World) -> None:
    """A program may be published before its FeatureService is there."""
    changed = PROGRAM.replace("service: s", "service: later") + "audience: customer.ag > 1"
    assert world.administration.apply_program(changed, "anna").version == 2


def test_checking_tells_the_version_without_publishing(world: World) -> None:
    """The next one where something changed, the current one where nothing did, 1 for what is new."""
    check = world.administration.apply_program
    before = world.policies.current()
    assert check(PROGRAM + "priority: 3", "anna", validate_only=True).version == 2
    assert check(PROGRAM, "anna", validate_only=True).version == 1
    assert check(PROGRAM.replace("name: p", "name: q"), "anna", validate_only=True).version == 1
    assert world.administration.apply_contact_policy(POLICY, "anna", validate_only=True) == 1
    assert world.policies.current() is before
