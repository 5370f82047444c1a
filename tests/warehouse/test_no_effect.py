"""Law 12: where contacts do nothing, no comparison of groups shows that they do, beyond its stated error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import LogBody
from decision_service.core.decide import Entrant, Inputs, decide
from decision_service.core.model.customer import Contact, ContactStatus, CustomerState
from decision_service.core.model.program import Action, ContactPolicy, FrequencyCap, GlobalHoldout, GroupShares, Program
from decision_service.core.model.record import (
    ALL_PROGRAMS,
    DecideRequest,
    DecisionRecord,
    FeatureStatus,
    Outcome,
    ServedFeatures,
    reserved_contact,
)
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.replay import record_of
from decision_service.warehouse.comparison import compare_groups
from decision_service.warehouse.loader import drain
from tests.support.logged import T0, ListLog, loaded
from training.assignments import record_assignments, record_reward_weights

WORLDS = 100
CUSTOMERS = 400
REQUESTS = 2
DAY_MS = 86_400_000
RULES = CelRules()
REWARD = RewardDefinition({"purchase": 1.0}, window_s=7 * 86_400)
POLICY = ContactPolicy(caps=(FrequencyCap("one_a_day", 1, 86_400),))

PURCHASES = {True: 0.5, False: 2.0}
"""Lapsed? → purchases expected in three weeks, whatever was sent."""

PER_DECISION = """
SELECT avg(reward) FILTER ("group" = 'TREATMENT') - avg(reward) FILTER ("group" = 'HOLDOUT') AS difference
FROM (
    SELECT d.decision_id, d."group", count(o.outcome_id) AS reward
    FROM decisions AS d
    LEFT JOIN outcomes AS o
        ON o.customer_id = d.customer_id AND o.occurred_at_ms BETWEEN d.decided_at_ms AND d.decided_at_ms + $window_ms
    WHERE d.program = 'alpha' AND NOT d.global_holdout
    GROUP BY ALL
)
"""
"""What was compared before: the decisions of the program that happened to decide, here each with all in its window."""


def programs(world: int) -> tuple[Program, ...]:
    """Alpha is for everybody, beta for customers who did not lapse and whom nobody contacted in a day: so whom beta
    meets, and when, is a consequence of alpha's contacts."""

    def program(name: str, audience: str | None) -> Program:
        action = Action("mail", "email", name)
        shares = GroupShares(f"{name}-{world}", treatment=6_000, holdout=4_000)
        return Program(name, 1, "s", (action,), REWARD, shares, audience=audience)

    return program("alpha", None), program("beta", "!customer.lapsed && live.contacts_1d == 0")


def lives(rng: np.random.Generator, world: int) -> Iterator[LogBody]:
    """The log of one world: every customer's requests for all programs, and purchases that nothing influences."""
    entrants = programs(world)
    policy = replace(POLICY, holdout=GlobalHoldout(2_500, f"everyone-{world}"))
    for number in range(CUSTOMERS):
        customer, lapsed = f"c{number}", bool(rng.random() < 0.4)
        features = ServedFeatures(FeatureStatus.SERVED, {"lapsed": lapsed})
        state = CustomerState()
        for i, at in enumerate(np.sort(rng.integers(14 * DAY_MS, size=REQUESTS)).tolist()):
            record = decided(entrants, policy, features, state, f"{customer}-{i}", customer, T0 + at, rng.random())
            state = replace(state, contacts=(*state.contacts, *sent(record)))
            yield record
        for i, at in enumerate(rng.integers(21 * DAY_MS, size=rng.poisson(PURCHASES[lapsed])).tolist()):
            yield Outcome(f"{customer}-{i}", customer, "purchase", T0 + at, T0 + at)


def decided(
    entrants: tuple[Program, ...],
    policy: ContactPolicy,
    features: ServedFeatures,
    state: CustomerState,
    decision_id: str,
    customer: str,
    now_ms: int,
    draw: float,
) -> DecisionRecord:
    request = DecideRequest(decision_id, customer, (ALL_PROGRAMS,))
    inputs = Inputs(request, tuple(Entrant(program, features) for program in entrants), policy, state, now_ms)
    return record_of(inputs, decide(inputs, RULES, {}, draw), decision_id=decision_id)


def sent(record: DecisionRecord) -> Iterator[Contact]:
    """The contact that it reserved, sent at once."""
    contact = reserved_contact(record, Action(record.chosen, "email", record.program))
    if contact is not None:
        yield replace(contact, status=ContactStatus.SENT, until_ms=contact.from_ms)


@dataclass
class Found:
    """What all worlds showed.

    compared: (program, group, against) → of each world the difference and whether its interval covers 0.
    per_decision: of each world what the decisions of alpha would have shown.
    """

    compared: dict[tuple[str, str, str], list[tuple[float, bool]]]
    per_decision: list[float]


@pytest.fixture(scope="module")
def found() -> Found:
    """Each world is lived once, for both tests."""
    found = Found({}, [])
    for world in range(WORLDS):
        log, warehouse = ListLog(), MemoryWarehouse()
        log.add(*lives(np.random.default_rng([12, world]), world))
        drain(log, warehouse, loaded)
        record_reward_weights(warehouse, {program.name: program for program in programs(world)})
        record_assignments(warehouse)
        for comparison in compare_groups(warehouse):
            for difference in comparison.differences:
                assert difference.reward is not None
                key = (comparison.program, difference.group, difference.against)
                found.compared.setdefault(key, []).append((difference.reward.mean, 0.0 in difference.reward))
        [row] = warehouse.query(PER_DECISION, {"window_ms": REWARD.window_s * 1000}).to_pylist()
        found.per_decision.append(row["difference"])
    return found


def deviations(differences: Sequence[float]) -> float:
    """How many standard errors their mean is away from 0."""
    values = np.array(differences)
    return float(values.mean() / (values.std(ddof=1) / math.sqrt(len(values))))


def test_no_comparison_shows_an_effect(found: Found) -> None:
    """In 95 of 100 worlds the interval covers 0, and over all worlds the differences have no side."""
    assert {key[1:] for key in found.compared} == {("TREATMENT", "HOLDOUT"), ("NOT_HELD_OUT", "GLOBAL_HOLDOUT")}
    assert len(found.compared) == 4
    for key, worlds in found.compared.items():
        assert len(worlds) == WORLDS
        assert sum(covers for _, covers in worlds) >= 0.95 * WORLDS, key
        assert abs(deviations([difference for difference, _ in worlds])) < 3, key


def test_comparing_by_the_program_that_decided_would(found: Found) -> None:
    """In the same worlds: a program's holdouts decide only where no other program wanted the customer."""
    assert deviations(found.per_decision) > 5
