"""What nobody proposes to change, the simulation finds as it was: every exclusion, probability and choice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Candidate
from decision_service.core.model.values import NO_ACTION
from decision_service.core.what_if.simulate import Simulation
from decision_service.simulation.log import DecisionLog
from decision_service.simulation.proposal import check
from tests.simulation.conftest import LATER_SALE, Lived
from tests.simulation.market import NEWS, POLICY, SERVICE

DOCUMENTS = pytest.mark.parametrize(
    ("document", "policy"),
    [(LATER_SALE, ""), (NEWS, ""), (SERVICE, ""), (LATER_SALE, POLICY)],
    ids=["sale", "news", "service", "sale and policy"],
)


def test_the_period_has_everything_that_could_go_wrong(lived: Lived) -> None:
    """Guards the guard: every kind of guardrail excluded something, races were lost, programs competed, models served,
    messages were sent, failed, skipped, bounced and lapsed."""
    log = list(DecisionLog(lived.market.warehouse, lived.from_ms, lived.until_ms))
    records = [logged.record for logged in log]
    assert len(records) > 600
    reasons = {e.reason for r in records for c in r.candidates for e in c.exclusions}
    assert reasons >= {
        Reason.FREQUENCY_CAP,
        Reason.QUIET_HOURS,
        Reason.VOLUME_LIMIT,
        Reason.SUPPRESSED_BY_OUTCOME,
        Reason.NO_CONSENT,
        Reason.HOLDOUT,
        Reason.TIMEZONE_UNKNOWN,
        Reason.BASELINE_ONLY,
        Reason.INELIGIBLE,
        Reason.NOT_IN_AUDIENCE,
        Reason.CHANNEL_NOT_REQUESTED,
    }
    details = {e.detail for r in records for c in r.candidates for e in c.exclusions}
    assert details >= {"dismissed", "unsubscribe", "complaint", "sms_money"}
    assert any(r.chosen != r.drawn for r in records)
    assert any(r.reservation and r.reservation.send_at_ms for r in records)
    assert {len(r.candidates) for r in records} == {1, 2, 3}
    assert {c.model.version for r in records for c in r.candidates if c.model and c.program == "sale"} == {"1", "2"}
    statuses = {report.status.value for logged in log for report in logged.reports}
    assert statuses == {"SENT", "FAILED", "SKIPPED", "DELIVERED", "BOUNCED"}
    assert any(logged.record.is_contact and not logged.reports for logged in log)


@DOCUMENTS
def test_an_unchanged_program_reproduces_every_decision(lived: Lived, document: str, policy: str) -> None:
    """Exclusions with their guardrails, probabilities, scores, draws, choices, reservations and tokens, bit for bit."""
    market = lived.market
    proposal = check(document, policy, lived.from_ms, lived.until_ms)
    simulation = Simulation(
        proposal.program,
        proposal.policy,
        lambda _: market.policies,
        market.rules,
        market.catalogue.scorer,
        lived.from_ms,
    )
    for logged in DecisionLog(market.warehouse, lived.from_ms, lived.until_ms):
        simulated = simulation.step(logged.record, logged.reports)
        was, would_be = simulated.logged, simulated.proposed
        assert [_unversioned(c) for c in would_be.candidates] == [_unversioned(c) for c in was.candidates]
        assert (would_be.program, would_be.drawn, would_be.chosen) == (was.program, was.drawn, was.chosen)
        assert would_be.reservation == was.reservation
        assert would_be.degradations == was.degradations
        assert would_be.state is was.state
        assert not simulated.other_history
        assert not simulated.other_choice


def _unversioned(candidate: Candidate) -> Candidate:
    return replace(candidate, program_version=0)


@DOCUMENTS
def test_simulation_of_yesterday_under_an_unchanged_program_reproduces_its_exclusions_exactly(
    lived: Lived, document: str, policy: str
) -> None:
    """As the report says it: both sides are equal everywhere, and equal to what SQL counts in the warehouse."""
    market = lived.market
    report = lived.report(document, policy, ("segment",))
    assert report.changes == ()
    assert (report.other_choice, report.other_history) == (0, 0)
    features = [row for rows in report.features.values() for row in rows]
    rows = [report.total, *report.programs, *report.actions, *report.channels, *report.segments, *features]
    assert len(rows) > 15
    for row in rows:
        assert row.today == row.proposed, row.name
        assert all(e.today == e.proposed for e in row.exclusions), row.name

    # The columns of the warehouse hold the exclusions of the program that decided; losers' are in the record alone.
    alone = market.warehouse.query(
        """
        SELECT e.reason, e.detail, count(*) AS n
        FROM (SELECT unnest(exclusions) AS e FROM decisions
              WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms) AS excluded
        GROUP BY ALL
        """,
        {"from_ms": lived.from_ms, "until_ms": lived.until_ms},
    ).to_pylist()
    of_losers: dict[tuple[str, str], int] = {}
    for logged in DecisionLog(market.warehouse, lived.from_ms, lived.until_ms):
        for other in logged.record.others:
            for exclusion in other.exclusions:
                why = (exclusion.reason.value, exclusion.detail)
                of_losers[why] = of_losers.get(why, 0) + 1
    counted = {(row["reason"], row["detail"]): row["n"] for row in alone}
    whole = {why: counted.get(why, 0) + of_losers.get(why, 0) for why in counted.keys() | of_losers.keys()}
    assert {(e.reason, e.guardrail): e.proposed for e in report.total.exclusions} == whole
    contacts = market.warehouse.query(
        "SELECT count(*) AS contacts, count(DISTINCT customer_id) AS customers FROM decisions "
        f"WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms AND action <> '{NO_ACTION}'",
        {"from_ms": lived.from_ms, "until_ms": lived.until_ms},
    ).to_pylist()
    assert [{"contacts": report.total.proposed.contacts, "customers": report.total.proposed.customers}] == contacts


def test_the_estimate_of_an_unchanged_program_is_what_was_earned(lived: Lived) -> None:
    """Every weight is 1: the log is worth all its rows that had a choice, and nothing differs."""
    estimate = lived.report(NEWS).estimate
    assert estimate.refused == ()
    assert estimate.rows > 100
    with_choice = lived.market.warehouse.query(
        "SELECT count(*) AS n FROM rewards r JOIN decisions d ON d.decision_id = r.decision_id "
        "WHERE r.learnable AND d.program = 'news' AND d.decided_at_ms >= $from_ms AND d.decided_at_ms < $until_ms "
        "AND d.n_feasible > 1",
        {"from_ms": lived.from_ms, "until_ms": lived.until_ms},
    ).to_pylist()
    assert estimate.effective_sample_size == pytest.approx(with_choice[0]["n"])
    assert (estimate.mean_weight, estimate.largest_weight) == (pytest.approx(1), pytest.approx(1))
    assert (estimate.unsupported, estimate.other_history) == (0, 0)
    assert estimate.today is not None
    assert estimate.proposed is not None
    assert estimate.difference is not None
    assert estimate.snips is not None
    assert (estimate.difference.low, estimate.difference.mean, estimate.difference.high) == (0, 0, 0)
    assert estimate.snips.mean == pytest.approx(estimate.today.mean)
    assert estimate.proposed == estimate.today
    known = lived.market.warehouse.query(
        "SELECT avg(r.reward) AS mean, count(*) AS n FROM rewards r JOIN decisions d ON d.decision_id = r.decision_id "
        "WHERE r.learnable AND d.program = 'news' AND d.decided_at_ms >= $from_ms AND d.decided_at_ms < $until_ms "
        "AND d.\"group\" IN ('TREATMENT', 'RANDOM_CONTROL')",
        {"from_ms": lived.from_ms, "until_ms": lived.until_ms},
    ).to_pylist()
    assert known == [{"mean": pytest.approx(estimate.today.mean), "n": estimate.rows}]
