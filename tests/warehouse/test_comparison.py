"""Comparisons of groups on tables written by hand: the views, the differences, and the SQL that the pages give."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import Warehouse
from decision_service.core.estimation.intervals import Interval
from decision_service.core.model.program import Group, GroupShares, Program
from decision_service.core.model.record import DecisionRecord
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse.columns import Table
from decision_service.warehouse.comparison import QUESTIONS, compare_groups, customer_means, difference_interval
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import CONTACT_POLICY_VERSIONS, PROGRAM_VERSIONS, rows_from
from decision_service.warehouse.views import VIEWS
from tests.support.logged import T0, ListLog, activation, decision, loaded, outcome
from training.assignments import record_assignments, record_reward_weights

DAY_S = 86_400
T, H = Group.TREATMENT, Group.HOLDOUT


@pytest.fixture(params=["memory", "lakehouse"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each form of the warehouse, empty."""
    return MemoryWarehouse() if request.param == "memory" else Lakehouse(tmp_path / "warehouse")


def exposed(
    decision_id: str, customer: str, at_s: float = 0, group: Group = T, held_out: bool = False, action: str = "email_a"
) -> DecisionRecord:
    return replace(
        decision(decision_id, customer, at_s, action), group=group, in_audience=True, global_holdout=held_out
    )


def spring(**reward: Any) -> dict[str, Program]:
    definition = {"outcomes": {"purchase": 2.0, "visit": 1.0}, "window_s": 100} | reward
    return {"spring": Program("spring", 1, "s", (), RewardDefinition(**definition), GroupShares(salt="s"))}


def fill(warehouse: Warehouse, *bodies: Any, programs: dict[str, Program] | None = None) -> None:
    log = ListLog()
    log.add(*bodies)
    drain(log, warehouse, loaded)
    record_reward_weights(warehouse, programs or spring())
    record_assignments(warehouse)


def rows(warehouse: Warehouse, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]


def test_outcomes_count_from_the_first_exposure_once_each(warehouse: Warehouse) -> None:
    """Whatever was decided or sent; by weight; the window of a decision has no part in it."""
    fill(
        warehouse,
        exposed("d1", "c1", at_s=10, action=NO_ACTION),
        exposed("d2", "c1", at_s=20),
        outcome("early", 9.999, "c1"),
        outcome("o1", 10, "c1"),
        outcome("o1", 10, "c1"),  # sent again after the ledger forgot it
        outcome("o1", 10, "c1", name="visit"),  # of the same order: another fact
        outcome("late", 500_000, "c1", value=7),
        outcome("o2", 30, "c1", name="unsubscribe"),
        outcome("o3", 30, "stranger"),
        exposed("d3", "c2"),
    )
    sql = 'SELECT customer_id, "group", reward, n_outcomes FROM customer_results ORDER BY customer_id'
    assert rows(warehouse, sql) == [("c1", "TREATMENT", 2 + 1 + 2, 3), ("c2", "TREATMENT", 0, 0)]
    sql = "SELECT outcome, reward FROM compared_outcomes ORDER BY occurred_at_ms, outcome"
    assert rows(warehouse, sql) == [("purchase", 2), ("visit", 1), ("purchase", 2)]


def test_values_count_where_the_definition_says_so(warehouse: Warehouse) -> None:
    """Weight times value; neither clipped to bounds nor aggregated otherwise than by summing."""
    programs = spring(use_value=True, outcomes={"purchase": 0.5}, high=1.0)
    fill(
        warehouse,
        exposed("d1", "c1"),
        outcome("o1", 1, "c1", value=30),
        outcome("o2", 2, "c1", value=-4),
        programs=programs,
    )
    assert rows(warehouse, "SELECT reward, n_outcomes FROM customer_results") == [(13, 2)]


def test_group_results_by_hand(warehouse: Warehouse) -> None:
    """Mean and standard error per customer; a customer without outcomes is one of them; too few tell nothing."""
    fill(
        warehouse,
        *(exposed(f"t{i}", f"t{i}") for i in range(4)),
        exposed("h1", "h1", group=H, action=NO_ACTION),
        outcome("o1", 1, "t0"),
        outcome("o2", 2, "t0"),
        outcome("o3", 1, "t1"),
    )
    sql = 'SELECT "group", customers, customers_with_outcome, outcomes, mean_reward FROM group_results ORDER BY 1'
    assert rows(warehouse, sql) == [("HOLDOUT", 1, 0, 0, 0.0), ("TREATMENT", 4, 2, 3, 1.5)]
    [(error,)] = rows(warehouse, "SELECT standard_error FROM group_results WHERE customers = 4")
    assert error == pytest.approx(np.std([4, 2, 0, 0], ddof=1) / 2)
    [comparison] = compare_groups(warehouse)
    treated, held = comparison.groups
    assert (treated.group, treated.customers, treated.customers_with_outcome, treated.reward.mean) == (T, 4, 2, 1.5)
    assert (held.group, held.customers, held.reward.mean, held.reward.high) == (H, 1, 0.0, math.inf)
    [difference] = comparison.differences
    assert (difference.group, difference.against, difference.reward) == (T, H, None)
    assert compare_groups(warehouse, "autumn") == []


def test_a_global_holdout_is_compared_over_all_customers_of_the_service(warehouse: Warehouse) -> None:
    """From their first exposure to any program; it is no part of a program's own comparison."""
    fill(
        warehouse,
        exposed("d1", "t1", at_s=10),
        exposed("d2", "h1", at_s=10, group=H),
        exposed("d3", "g1", at_s=10, group=H, held_out=True),
        replace(exposed("d4", "g2", at_s=5, group=H, held_out=True), program="autumn"),
        replace(exposed("d5", "t1", at_s=5), program="autumn"),
        outcome("o1", 7, "t1"),
        outcome("o2", 7, "g1"),
        outcome("o3", 7, "g2"),
    )
    sql = "SELECT \"group\", customer_id, reward FROM customer_results WHERE program = 'spring' ORDER BY 1, 2"
    assert rows(warehouse, sql) == [
        ("GLOBAL_HOLDOUT", "g1", 0),
        ("GLOBAL_HOLDOUT", "g2", 2),
        ("HOLDOUT", "h1", 0),
        ("NOT_HELD_OUT", "h1", 0),
        ("NOT_HELD_OUT", "t1", 2),
        ("TREATMENT", "t1", 0),
    ]
    [comparison] = compare_groups(warehouse)
    assert [g.group for g in comparison.groups] == ["TREATMENT", "HOLDOUT", "NOT_HELD_OUT", "GLOBAL_HOLDOUT"]
    assert [(d.group, d.against) for d in comparison.differences] == [(T, H), ("NOT_HELD_OUT", "GLOBAL_HOLDOUT")]


def test_without_a_global_holdout_nothing_is_said_of_one(warehouse: Warehouse) -> None:
    """Everybody is outside of it."""
    fill(warehouse, exposed("d1", "c1"))
    assert rows(warehouse, 'SELECT "group" FROM group_results') == [("TREATMENT",)]


def test_daily_results_by_hand(warehouse: Warehouse) -> None:
    """Customers add up over the days; the outcomes of a day are those after exposure. T0 is 22:13:20 UTC."""
    midnight_s = 6400
    fill(
        warehouse,
        exposed("d1", "t1"),
        exposed("d2", "t2", at_s=midnight_s),
        exposed("d3", "h1", at_s=midnight_s - 1, group=H),
        outcome("o1", 10, "t1"),
        outcome("o2", midnight_s + 10, "t1"),
        outcome("o3", midnight_s + 3 * DAY_S, "t2", name="visit"),
        outcome("o4", 10, "t2"),  # before she was exposed
    )
    sql = """
        SELECT CAST(day AS VARCHAR), "group", customers, outcomes, reward, reward_per_customer
        FROM daily_results ORDER BY day, "group"
    """
    assert rows(warehouse, sql) == [
        ("2023-11-14", "HOLDOUT", 1, 0, 0, 0),
        ("2023-11-14", "TREATMENT", 1, 1, 2, 2),
        ("2023-11-15", "HOLDOUT", 1, 0, 0, 0),
        ("2023-11-15", "TREATMENT", 2, 1, 2, 1),
        ("2023-11-18", "HOLDOUT", 1, 0, 0, 0),
        ("2023-11-18", "TREATMENT", 2, 1, 1, 0.5),
    ]
    totals = "SELECT sum(reward), sum(outcomes) FROM daily_results"
    assert rows(warehouse, totals) == rows(warehouse, "SELECT sum(reward), sum(n_outcomes) FROM customer_results")


def test_daily_volumes_count_decisions(warehouse: Warehouse) -> None:
    """By the program that decided, and what was reported of them."""
    fill(warehouse, exposed("d1", "c1"), exposed("d2", "c1", action=NO_ACTION), activation("d1", "BOUNCED"))
    sql = 'SELECT program, "group", action, decisions, sent, bounced, matured FROM daily_volumes ORDER BY action'
    assert rows(warehouse, sql) == [
        ("spring", "TREATMENT", NO_ACTION, 1, 0, 0, 0),
        ("spring", "TREATMENT", "email_a", 1, 1, 1, 0),
    ]


def test_a_period_leaves_out_what_was_before_and_no_customer() -> None:
    """Who was exposed stays in the comparison, whenever that was."""
    warehouse = MemoryWarehouse()
    fill(
        warehouse,
        exposed("d1", "c1"),
        exposed("d2", "c2", at_s=100),
        outcome("o1", 50, "c1"),
        outcome("o2", 60, "c1"),
        outcome("o3", 200, "c2"),
    )
    [whole] = compare_groups(warehouse)
    [later] = compare_groups(warehouse, since_ms=T0 + 60_000)
    assert (whole.groups[0].reward.mean, later.groups[0].reward.mean) == (3.0, 2.0)
    assert whole.groups[0].customers == later.groups[0].customers == 2


def test_differences_are_of_independent_samples() -> None:
    """Errors add by their squares, each end's apart; nothing is said where one of the two has no interval."""
    one, other = Interval(5.0, 4.0, 7.0, 100), Interval(2.0, 1.5, 6.0, 30)
    found = difference_interval(one, other)
    assert found is not None
    assert (found.mean, found.n) == (3.0, 130)
    assert (found.low, found.high) == (3 - math.hypot(1, 4), 3 + math.hypot(2, 0.5))
    assert difference_interval(one, Interval(2.0, -math.inf, math.inf, 1, "too little data")) is None


def test_what_any_group_brought_is_possible_in_each() -> None:
    """A group of whom nobody bought may be of those who buy as much as the others do; one customer tells nothing, and
    nobody knows anything before anybody bought."""
    means = customer_means({"a": np.repeat([0.0, 50.0], [900, 100]), "b": np.zeros(300), "c": np.zeros(1)})
    assert (means["b"].mean, means["b"].low) == (0.0, pytest.approx(0.0))
    assert means["b"].high == pytest.approx(50 * (1 - 0.025 ** (1 / 300)), rel=1e-3)
    assert means["c"].withheld
    assert customer_means({"a": np.zeros(500)})["a"].withheld == "too little data: nobody brought anything"


@pytest.mark.parametrize("kind", ["rare", "revenue", "counts"])
def test_differences_of_groups_without_an_effect_cover_nothing(kind: str) -> None:
    """300 pairs of groups, 2,000 against 300 customers: at least 93 % of the intervals hold 0. The mean ± 1.96 standard
    errors does for .91 of rates of 1 %, and for .85 of revenue."""
    rng = np.random.default_rng(1)

    def customers(n: int) -> np.ndarray:
        if kind == "counts":
            return rng.poisson(rng.gamma(0.5, 2, n)).astype(float)
        amounts = np.minimum(rng.lognormal(3, 1, n), 500) if kind == "revenue" else np.ones(n)
        return np.where(rng.random(n) < 0.01, amounts, 0.0)

    covered = 0
    for _ in range(300):
        means = customer_means({"a": customers(2_000), "b": customers(300)})
        found = difference_interval(means["a"], means["b"])
        covered += found is None or 0.0 in found
    assert covered >= 0.93 * 300


def test_the_views_are_what_the_command_computes() -> None:
    """`group_results` and `nba results` cannot part: the same means and errors, by SQL and by the estimators."""
    rng, warehouse = np.random.default_rng(4), MemoryWarehouse()
    customers = [(f"c{i}", list(Group)[i % 4], i % 5 == 0) for i in range(200)]
    bought = [outcome(f"o{i}", 1 + i, f"c{rng.integers(200)}") for i in range(150)]
    decided = [exposed(f"d{i}", c, float(i % 9), H if held else g, held) for i, (c, g, held) in enumerate(customers)]
    fill(warehouse, *decided, *bought)
    [comparison] = compare_groups(warehouse)
    in_sql = {row["group"]: row for row in warehouse.query("SELECT * FROM group_results").to_pylist()}
    assert in_sql.keys() == {g.group for g in comparison.groups} == {g for pair in QUESTIONS for g in pair}
    for group in comparison.groups:
        row = in_sql[group.group]
        assert (row["customers"], row["customers_with_outcome"]) == (group.customers, group.customers_with_outcome)
        assert row["mean_reward"] == pytest.approx(group.reward.mean)
        of_group = warehouse.query('SELECT reward FROM customer_results WHERE "group" = $g', {"g": group.group})
        rewards = of_group.column(0).to_numpy()
        assert row["standard_error"] == pytest.approx(rewards.std(ddof=1) / math.sqrt(len(rewards)))


def published(warehouse: Warehouse, table: Table, *documents: dict[str, object], **of_program: str) -> None:
    """Versions 1, 2, … of a program or of the contact policy, one a second."""
    common = {"author": "ann", "note": "", "digest": "", "ledger_id": None}
    rows = [
        {**common, **of_program, "version": i, "document": json.dumps(document), "published_at": at(i)}
        for i, document in enumerate(documents, start=1)
    ]
    warehouse.replace(table.name, rows_from(table.name, rows))


def at(second: int) -> datetime:
    return datetime.fromtimestamp(T0 / 1000 + second, UTC)


def test_a_change_of_shares_begins_the_comparison_anew(warehouse: Warehouse) -> None:
    """A holdout that is added has newer customers, who have brought less: old ones are in no comparison with them. A
    version with the same groups goes on; the first shares are compared again when they come back."""
    old = [replace(exposed(f"t{i}", f"t{i}"), program_version=1) for i in range(40)]
    new = [
        replace(exposed(f"n{i}", f"n{i}", at_s=50, group=H if i % 2 else T), program_version=2 + i % 3)
        for i in range(60)
    ]
    fill(warehouse, *old, *new, *(outcome(f"o{i}", 60, f"t{i}") for i in range(40)))
    groups, more = {"treatment": "100%"}, {"treatment": "50%", "holdout": "50%"}
    versions = [{"groups": groups}, {"groups": more}, {"groups": more, "description": "x"}, {"groups": more}]
    sql = 'SELECT "group", customers FROM group_results ORDER BY 1'
    published(warehouse, PROGRAM_VERSIONS, *versions, program="spring", group_ranges="[]")
    assert rows(warehouse, sql) == [("HOLDOUT", 30), ("TREATMENT", 30)]
    published(warehouse, PROGRAM_VERSIONS, *versions, {"groups": groups}, program="spring", group_ranges="[]")
    assert rows(warehouse, sql) == [("TREATMENT", 40)]


def test_a_change_of_the_global_holdout_begins_its_comparison_anew(warehouse: Warehouse) -> None:
    """Those first exposed under another share, or none, are left out of it, and stay in the program's own."""
    old = [replace(exposed(f"t{i}", f"t{i}"), policy_version=i % 2) for i in range(10)]
    held = [replace(exposed(f"n{i}", f"n{i}", group=H, held_out=True), policy_version=2) for i in range(4)]
    free = [replace(exposed(f"f{i}", f"f{i}"), policy_version=2) for i in range(6)]
    fill(warehouse, *old, *held, *free)
    published(warehouse, CONTACT_POLICY_VERSIONS, {}, {"holdout": {"share": "20%"}})
    assert rows(warehouse, 'SELECT "group", customers FROM group_results ORDER BY 1') == [
        ("GLOBAL_HOLDOUT", 4),
        ("NOT_HELD_OUT", 6),
        ("TREATMENT", 16),
    ]


def test_every_view_of_groups_says_which_comparison_it_is() -> None:
    """What tells rewards by group rests on the customers compared, or says that it is no comparison."""
    told = [
        view for view in VIEWS.values() if "group" in view.columns and {"reward", "mean_reward"} & set(view.columns)
    ]
    assert len(told) >= 5
    compared = r"\b(compared_customers|customer_results)\b"
    unsaid = [view.name for view in told if not re.search(compared, view.sql)]
    assert [name for name in unsaid if "No comparison of groups" not in VIEWS[name].description] == []
