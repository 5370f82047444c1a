"""The outcome join: hand-computable rewards, and that steps and parts add up to the whole."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, LogBody
from decision_service.core.model.program import Group
from decision_service.core.model.record import Option, PolicyKind, Reservation
from decision_service.core.model.reward import Aggregation, Attribution
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse.loader import drain
from decision_service.warehouse.progress import MARGIN_MS
from tests.support.logged import ListLog, activation, decision, loaded, outcome, untrainable
from tests.training.joining import LONG_AFTER_S, WINDOW_S, at, joined, program, rewards
from training.join import LATE_GRACE_S, JoinReport, join_outcomes


@pytest.mark.parametrize(
    ("aggregation", "use_value", "reward"),
    [
        (Aggregation.SUM, True, 0.5 * 3 + 0.5 * 8 + 2 * 1),
        (Aggregation.SUM, False, 0.5 + 0.5 + 2),
        (Aggregation.MAX, True, 4.0),
        (Aggregation.EARLIEST, True, 1.5),
        (Aggregation.LATEST, True, 2.0),
        (Aggregation.ANY, True, 1.0),
    ],
)
def test_aggregations(aggregation: Aggregation, use_value: bool, reward: float) -> None:
    """Weight × value (or × 1) of two purchases and a visit, by each aggregation."""
    definition = program(outcomes={"purchase": 0.5, "visit": 2.0}, aggregation=aggregation, use_value=use_value)
    rows, _ = joined(
        [
            decision("d1"),
            outcome("o2", 20, value=8),
            outcome("o1", 10, value=3),
            outcome("o3", 30, name="visit"),
            outcome("o4", 25, name="unsubscribe", value=1000),
        ],
        definition,
    )
    assert rows["d1"]["reward"] == rows["d1"]["reward_with_late"] == reward
    assert rows["d1"]["n_outcomes"] == 3
    assert rows["d1"]["first_outcome_at"].timestamp() * 1000 == at(10)


def test_default_without_outcomes() -> None:
    """A decision without outcomes has the default reward."""
    rows, _ = joined([decision("d1")], program(default=0.25))
    assert rows["d1"]["reward"] == rows["d1"]["reward_with_late"] == 0.25
    assert rows["d1"]["n_outcomes"] == 0
    assert rows["d1"]["first_outcome_at"] is None


@pytest.mark.parametrize(("value", "reward"), [(7.0, 1.0), (0.5, 0.5), (-7.0, -1.0)])
def test_rewards_are_clipped(value: float, reward: float) -> None:
    """The aggregate is clipped to the definition's bounds."""
    rows, _ = joined([decision("d1"), outcome("o1", 1, value=value)], program(use_value=True, low=-1.0, high=1.0))
    assert rows["d1"]["reward"] == reward


@pytest.mark.parametrize(
    ("seconds", "n_outcomes", "n_early"),
    [(-10.001, 0, 0), (-10, 1, 1), (-0.001, 1, 1), (0, 1, 0), (100, 1, 0), (100.001, 0, 0)],
)
def test_window_edges(seconds: float, n_outcomes: int, n_early: int) -> None:
    """The window includes both its ends; before the decision, within the tolerance, an outcome is early."""
    rows, report = joined([decision("d1"), outcome("o1", seconds)])
    assert (rows["d1"]["n_outcomes"], rows["d1"]["n_early"], rows["d1"]["n_late"]) == (n_outcomes, n_early, 0)
    assert (report.joined, report.dangling, report.early) == (n_outcomes, 1 - n_outcomes, n_early)


@pytest.mark.parametrize(
    ("received_s", "late"), [(WINDOW_S + LATE_GRACE_S, False), (WINDOW_S + LATE_GRACE_S + 1, True)]
)
def test_late_outcomes_are_flagged_and_not_learned(received_s: float, late: bool) -> None:
    """An outcome in the window that is received past the grace is late: counted, in reward_with_late only."""
    rows, report = joined([decision("d1"), outcome("o1", 5), outcome("o2", 50, received_s=received_s)])
    assert rows["d1"]["n_late"] == report.late == int(late)
    assert rows["d1"]["n_outcomes"] == 2 - int(late)
    assert rows["d1"]["reward"] == 2 - int(late)
    assert rows["d1"]["reward_with_late"] == 2


def test_an_outcome_past_the_window_of_its_named_decision_is_late() -> None:
    """A decision id joins an outcome whatever its time after the decision; past the window it is late."""
    rows, report = joined([decision("d1"), outcome("o1", WINDOW_S + 1, decision_id="d1")])
    assert (rows["d1"]["reward"], rows["d1"]["reward_with_late"], rows["d1"]["n_late"]) == (0, 1, 1)
    assert (report.joined, report.dangling) == (1, 0)


def test_every_decision_is_credited_with_what_its_window_holds() -> None:
    """Whatever was decided, sent or not, by every program whose reward names the outcome; total effect of each."""
    programs = program() | program("autumn") | program("unrelated", outcomes={"visit": 1.0})
    rows, report = joined(
        [
            decision("d1", at_s=0, action=NO_ACTION),
            decision("d2", at_s=50),
            decision("d3", at_s=60, program="autumn"),
            decision("d4", at_s=55, program="unrelated"),
            decision("d5", "c2", at_s=58),
            decision("d6", at_s=80),
            decision("d7", at_s=-40),
            outcome("o1", 65),
            outcome("o2", 99, decision_id="d2"),
        ],
        programs,
    )
    assert {name: row["n_outcomes"] for name, row in rows.items()} == {
        "d1": 2, "d2": 2, "d3": 2, "d4": 0, "d5": 0, "d6": 1, "d7": 0,
    }  # fmt: skip
    assert (report.outcomes, report.joined, report.dangling) == (2, 2, 0)


def test_the_effect_of_a_contact_that_is_asked_about_again() -> None:
    """Mail brings a visit; two hours later the runner asks again and nothing is sent: the visit is the mail's, and what
    followed the second decision is that one's too. By last decision, the mail would have had nothing."""
    bodies = [decision("mail"), activation("mail"), decision("idle", at_s=50, action=NO_ACTION), outcome("o", 90)]
    rows, _ = joined(bodies)
    assert (rows["mail"]["reward"], rows["idle"]["reward"]) == (1, 1)
    rows, _ = joined(bodies, program(attribution=Attribution.LAST_TOUCH))
    assert (rows["mail"]["reward"], rows["idle"]["reward"]) == (1, 0)


def test_the_effect_of_mail_is_learned_although_the_runner_asks_again() -> None:
    """Mail raises visits from .10 to .30; two hours later the runner asks again, and nothing is feasible any more. Each
    draw is credited with what followed it; by last touch, customers who were left alone never visit."""
    rng, bodies = random.Random(3), list[LogBody]()
    for i in range(1_500):
        customer, action = f"c{i}", rng.choice(["email_a", NO_ACTION])
        first = replace(decision(f"first{i}", customer, action=action), options=EVEN)
        again = replace(decision(f"again{i}", customer, 7_200, NO_ACTION), options=(Option(NO_ACTION, 1.0),))
        bodies += [first, again]
        if action != NO_ACTION:
            bodies.append(activation(first.decision_id, customer_id=customer))
        if rng.random() < (0.1 if action == NO_ACTION else 0.3):
            bodies.append(outcome(f"o{i}", 9_000, customer, name="visit"))

    def means(attribution: Attribution) -> tuple[float, float]:
        rows, _ = joined(bodies, program(outcomes={"visit": 1.0}, window_s=86_400, attribution=attribution), 2 * 86_400)
        first = [row for name, row in rows.items() if name.startswith("first")]
        mailed, idle = ([row["reward"] for row in first if row["action"] == a] for a in ("email_a", NO_ACTION))
        return sum(mailed) / len(mailed), sum(idle) / len(idle)

    assert means(Attribution.EVERY_DECISION) == (pytest.approx(0.3, abs=0.05), pytest.approx(0.1, abs=0.04))
    assert means(Attribution.LAST_TOUCH) == (pytest.approx(0.3, abs=0.05), 0)


EVEN = (Option("email_a", 0.5), Option(NO_ACTION, 0.5))


def test_last_touch_is_the_latest_contact_that_went_out() -> None:
    """By a program's choice an outcome without a decision id joins that one alone, so that rewards add up: no
    NO_ACTION, nothing that failed or that nobody reported; in each program."""
    last = {"attribution": Attribution.LAST_TOUCH}
    programs = program(**last) | program("autumn", **last) | program("unrelated", outcomes={"visit": 1.0}, **last)
    rows, report = joined(
        [
            decision("d1", at_s=0),
            decision("d2", at_s=50),
            decision("d3", at_s=60, program="autumn"),
            decision("d4", at_s=55, program="unrelated"),
            decision("d5", "c2", at_s=58),
            decision("d6", at_s=80),
            decision("d7", at_s=62),
            decision("d8", at_s=63),
            decision("d9", at_s=64, action=NO_ACTION),
            *(activation(d, at_s=60) for d in ("d1", "d2", "d3", "d4", "d6")),
            activation("d5", customer_id="c2", at_s=60),
            activation("d7", "FAILED", at_s=63),
            outcome("o1", 65),
        ],
        programs,
    )
    assert {name for name, row in rows.items() if row["n_outcomes"]} == {"d2", "d3"}
    assert (report.outcomes, report.joined) == (1, 1)


def test_by_last_touch_a_named_outcome_counts_once() -> None:
    """For the decision that it names, however long ago that was, and for no later contact besides."""
    last = program(attribution=Attribution.LAST_TOUCH)
    bodies = [decision("d0"), activation("d0"), decision("d1", at_s=950), activation("d1", at_s=951)]
    rows, _ = joined([*bodies, outcome("o1", 1000, decision_id="d0")], last)
    assert [rows[name]["reward_with_late"] for name in ("d0", "d1")] == [1, 0]


@pytest.mark.parametrize("attribution", list(Attribution))
def test_a_named_outcome_can_be_that_decisions_alone(attribution: Attribution) -> None:
    """By a program's choice it counts for no other; one of an unknown or another customer's decision joins nothing."""
    programs = program(shares_named=False, attribution=attribution)
    rows, report = joined(
        [
            decision("d1", at_s=0),
            decision("d2", at_s=5),
            decision("x1", "c2"),
            outcome("o1", 10, decision_id="d1"),
            outcome("o2", 10, decision_id="nowhere"),
            outcome("o3", 10, decision_id="x1"),
            outcome("o4", -11, decision_id="d1"),
        ],
        programs,
    )
    assert {name: row["n_outcomes"] for name, row in rows.items()} == {"d1": 1, "d2": 0, "x1": 0}
    assert (report.outcomes, report.joined, report.dangling) == (4, 1, 3)


def test_an_outcome_loaded_twice_counts_once() -> None:
    """The ledger admits an outcome id once; should it come twice all the same, it counts once."""
    rows, _ = joined([decision("d1"), outcome("o1", 10), outcome("o1", 10)])
    assert rows["d1"]["n_outcomes"] == 1


def test_outcomes_of_one_id_and_another_name_or_channel_are_apart() -> None:
    """Senders use one message id for an opening and an unsubscribe: both are facts."""
    opened = outcome("m1", 10, name="open")
    rows, report = joined(
        [decision("d1"), opened, outcome("m1", 20, name="unsubscribe"), replace(opened, channel="sms"), opened],
        program(outcomes={"open": 1.0, "unsubscribe": 10.0}),
    )
    assert rows["d1"]["reward"] == 12
    assert (report.outcomes, report.joined) == (3, 3)


@pytest.mark.parametrize(
    ("seconds", "n_outcomes", "n_early"),
    [(-5, 0, 0), (0, 0, 0), (489, 0, 0), (490, 1, 1), (500, 1, 0), (600, 1, 0), (600.001, 0, 0)],
)
def test_a_queued_contact_has_its_window_from_its_planned_sending(
    seconds: float, n_outcomes: int, n_early: int
) -> None:
    """Decided at night and sent in the morning: what happens until then it cannot have caused, and the window does not
    run while it waits. NO_ACTION of the same night has its own from the decision."""
    queued = replace(decision("d1"), reservation=Reservation(at(2000), send_at_ms=at(500)))
    rows, _ = joined([queued, decision("d2", action=NO_ACTION), outcome("o1", seconds)])
    assert (rows["d1"]["n_outcomes"], rows["d1"]["n_early"]) == (n_outcomes, n_early)
    assert rows["d2"]["n_outcomes"] == int(-10 <= seconds <= WINDOW_S)
    assert rows["d1"]["final_at_ms"] == at(500 + WINDOW_S + LATE_GRACE_S)


FINAL_S = WINDOW_S + LATE_GRACE_S


@pytest.mark.parametrize(
    ("now_s", "loaded_s", "matured"),
    [
        (FINAL_S - 0.001, LONG_AFTER_S, False),
        (FINAL_S, LONG_AFTER_S, True),
        (LONG_AFTER_S, FINAL_S - 0.001, False),
        (LONG_AFTER_S, FINAL_S, True),
    ],
)
def test_maturity(now_s: float, loaded_s: float, matured: bool) -> None:
    """A decision is matured once window and grace have passed and the log is loaded up to there; before, it has the
    reward so far."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), activation("d1"), outcome("o1", 10))
    drain(log, warehouse, lambda: at(loaded_s) + MARGIN_MS)
    report = join_outcomes(warehouse, program(), at(now_s))
    rows = {row["decision_id"]: row for row in rewards(warehouse)}
    assert (rows["d1"]["matured"], rows["d1"]["learnable"], rows["d1"]["reward"]) == (matured, matured, 1)
    assert (report.matured, report.learnable) == (int(matured), int(matured))


def test_nothing_matures_before_a_loader_has_said_how_far_it_is() -> None:
    """A home of an earlier release: nobody knows what still waits in its stream."""
    log, warehouse = ListLog(), MemoryWarehouse()
    warehouse.load(EntryKind.DECISIONS, log.add(decision("d1")))
    report = join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert (report.decisions, report.matured, report.loaded_until_ms) == (1, 0, None)
    drain(log, warehouse, loaded)
    assert join_outcomes(warehouse, program(), at(LONG_AFTER_S)).matured == 1


def test_an_outcome_that_waits_in_the_stream_is_never_learned_as_none() -> None:
    """The loader lags, or died: a reward is final only when what was acknowledged is loaded, and stays."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"))
    drain(log, warehouse, lambda: at(1))
    log.add(outcome("o1", 10))
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [(row["reward"], row["learnable"]) for row in rewards(warehouse)] == [(0, False)]
    drain(log, warehouse, lambda: at(LONG_AFTER_S))
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [(row["reward"], row["learnable"]) for row in rewards(warehouse)] == [(1, True)]


@pytest.mark.parametrize("action", ["email_a", NO_ACTION])
@pytest.mark.parametrize(
    "statuses", [[], ["SENT"], ["FAILED"], ["SKIPPED"], ["DELIVERED"], ["BOUNCED"], ["SENT", "BOUNCED"]]
)
def test_what_was_drawn_is_learned_from_whatever_became_of_it(action: str, statuses: list[str]) -> None:
    """Contacts that failed, bounced or were never reported, too: to leave them out is to select on what came after."""
    reports = [activation("d1", status, at_s=i + 1) for i, status in enumerate(statuses)]
    rows, _ = joined([decision("d1", action=action), *reports])
    assert rows["d1"]["learnable"]
    assert rows["d1"]["activated"] == (statuses[-1] if statuses else None)


def test_only_what_was_drawn_at_random_is_learned_from() -> None:
    """A lost race was drawn; a baseline, a holdout and what is not trainable for another reason were not."""
    lost = replace(decision("lost"), chosen=NO_ACTION, channel="", reservation=None, trainable=False)
    rows, _ = joined(
        [
            lost,
            replace(untrainable(decision("baseline")), policy=PolicyKind.BASELINE),
            replace(untrainable(decision("usual")), group=Group.BUSINESS_AS_USUAL, policy=PolicyKind.BASELINE),
            replace(untrainable(decision("held", action=NO_ACTION)), group=Group.HOLDOUT, policy=PolicyKind.HOLDOUT),
            untrainable(decision("other")),
        ]
    )
    assert {name for name, row in rows.items() if row["learnable"]} == {"lost"}


def test_a_bounce_reported_after_the_reward_is_final_is_known() -> None:
    """The latest report wins, however late: the row changes, and daily_volumes still counts the message as sent."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), decision("d2"), activation("d1"), activation("d2"))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [row["activated"] for row in rewards(warehouse)] == ["SENT", "SENT"]
    log.add(activation("d1", "BOUNCED", at_s=LONG_AFTER_S))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [row["activated"] for row in rewards(warehouse)] == ["BOUNCED", "SENT"]
    [day] = warehouse.query("SELECT sent, bounced FROM daily_volumes").to_pylist()
    assert day == {"sent": 2, "bounced": 1}


def test_delays_are_reported() -> None:
    """The report tells how long outcomes took to happen, and from being received to being joined."""
    _, report = joined([decision("d1"), outcome("o1", 10), outcome("o2", 30)], now_s=60)
    assert (report.outcome_delay_s, report.join_delay_s) == (20, 40)


def test_a_new_reward_version_adds_rows() -> None:
    """Under a new version every decision gets a second row; the rows of the old version stay."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), outcome("o1", 10, value=5))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    join_outcomes(warehouse, program(version="it's 2", use_value=True), at(LONG_AFTER_S))
    assert [(row["reward_version"], row["reward"]) for row in rewards(warehouse)] == [("1", 1), ("it's 2", 5)]
    assert warehouse.query("SELECT reward FROM decision_facts").to_pylist() == [{"reward": 5}]


def test_nothing_to_join() -> None:
    """Without programs or without decisions the join does nothing."""
    assert joined([], program())[1] == JoinReport(loaded_until_ms=loaded() - MARGIN_MS)
    warehouse = MemoryWarehouse()
    assert join_outcomes(warehouse, {}, at(0)) == JoinReport()
    assert warehouse.tables() == []
