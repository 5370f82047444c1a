"""Where a customer stands, from the ledger's state and what is published: groups in every program, pauses in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decision_service.core.guardrails.groups import assign
from decision_service.core.guardrails.pauses import counting, paused
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.program import ContactPolicy, Group, Program


@dataclass(frozen=True, slots=True)
class GroupIn:
    """The customer's group in a program; `because` is `global holdout` or `bucket N`."""

    program: str
    group: Group
    because: str


@dataclass(frozen=True, slots=True)
class PauseIn:
    """The actions of a program that a pause rule of the contact policy keeps from the customer until `until_ms`."""

    rule: str
    until_ms: int
    program: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a customer at `at_ms`, by the server's clock."""

    state: CustomerState
    groups: tuple[GroupIn, ...]
    pauses: tuple[PauseIn, ...]
    at_ms: int


def standing(
    customer_id: str, state: CustomerState, programs: Mapping[str, Program], policy: ContactPolicy, now_ms: int
) -> Standing:
    """Programs by name; of several pauses of an action the one that lasts longest."""
    ordered = [program for _, program in sorted(programs.items())]
    groups = [GroupIn(p.name, *assign(customer_id, p.groups, policy.holdout)) for p in ordered]
    rules = counting(policy.pauses, state.events)
    actions: dict[tuple[str, int, str], list[str]] = {}
    for program in ordered:
        for action in program.actions:
            if (found := paused(rules, program.name, action, state.events, now_ms)) is not None:
                actions.setdefault((found[0].id, found[1], program.name), []).append(action.id)
    pauses = [PauseIn(rule, until_ms, name, tuple(ids)) for (rule, until_ms, name), ids in actions.items()]
    return Standing(state, tuple(groups), tuple(pauses), now_ms)
