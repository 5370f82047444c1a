"""What a change of program or contact policy does to later decisions, on the lived market's log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord
from decision_service.core.what_if.simulate import Simulated, Simulation
from decision_service.documents import parse_program
from decision_service.simulation.log import DecisionLog, Logged
from decision_service.simulation.proposal import check
from tests.simulation.conftest import LATER_SALE, Lived
from tests.simulation.market import HOUR_MS, NEWS, POLICY

DAY_MS = 24 * HOUR_MS


def simulated(lived: Lived, document: str, policy: str = "") -> list[Simulated]:
    """Every decision of the period, through a proposal."""
    market, proposal = lived.market, check(document, policy, lived.from_ms, lived.until_ms)
    simulation = Simulation(
        proposal.program,
        proposal.policy,
        lambda _: market.policies,
        market.rules,
        market.catalogue.scorer,
        lived.from_ms,
    )
    return [
        simulation.step(logged.record, logged.reports)
        for logged in DecisionLog(market.warehouse, lived.from_ms, lived.until_ms)
    ]


def contacts(records: Sequence[DecisionRecord], channel: str = "") -> list[DecisionRecord]:
    """Those that contact somebody, on a channel or any."""
    return [r for r in records if r.is_contact and channel in ("", r.channel)]


def test_a_gap_that_is_proposed_holds_between_all_that_is_simulated(lived: Lived) -> None:
    """Although nothing like it holds in the log: each contact of the simulation is seen by those after it."""
    gap = "caps: [{id: far_apart, gap: 20h, counts: reserved}]\ntimezone_feature: timezone\n"
    steps = simulated(lived, NEWS, gap)

    def closest(records: Sequence[DecisionRecord]) -> int:
        times = defaultdict(list)
        for record in contacts(records):
            if record.chosen != "invoice_email":  # it ignores caps
                planned_ms = (record.reservation.send_at_ms if record.reservation else None) or record.decided_at_ms
                times[record.request.customer_id].append(planned_ms)
        return min(b - a for of_one in times.values() for a, b in pairwise(sorted(of_one)))

    assert closest([s.logged for s in steps]) < 6 * HOUR_MS
    assert closest([s.proposed for s in steps]) >= 20 * HOUR_MS
    reasons = {(e.reason, e.detail) for s in steps for c in s.proposed.candidates for e in c.exclusions}
    assert (Reason.FREQUENCY_CAP, "far_apart") in reasons


def test_a_budget_that_is_proposed_is_never_exceeded(lived: Lived) -> None:
    """It is counted over all customers, from 0 at the beginning of the period, and used up to the last contact."""
    document = NEWS.replace("budgets: [", "budgets: [{id: few_digests, limit: 5, per: day, scope: {channel: email}}, ")
    steps = simulated(lived, document)

    log = DecisionLog(lived.market.warehouse, lived.from_ms, lived.until_ms)
    held = {logged.record.decision_id for logged in log if _keeps_tokens(logged)}

    def most_a_day(records: Sequence[DecisionRecord]) -> int:
        digests = [r for r in contacts(records, "email") if r.program == "news" and r.decision_id in held]
        return max(Counter(record.decided_at_ms // DAY_MS for record in digests).values())

    assert most_a_day([s.logged for s in steps]) > 5
    assert most_a_day([s.proposed for s in steps]) == 5


def _keeps_tokens(logged: Logged) -> bool:
    """Whether a contact by the decision, logged or simulated, was sent."""
    if not logged.record.is_contact:
        return True
    return bool(logged.reports) and logged.reports[0].status.value not in ("FAILED", "SKIPPED")


def test_what_one_program_leaves_others_take(lived: Lived) -> None:
    """Slots under the caps of all: a program that stops leaves more to the others, in the right direction only."""
    stopped = LATER_SALE.replace("audience: '!", "ends_at: 2020-01-01T00:00:00Z\naudience: '!")
    report = lived.report(stopped)
    rows = {row.name: row for row in report.programs}
    assert rows["sale"].today.contacts > 0
    assert rows["sale"].proposed.contacts == 0
    assert rows["news"].proposed.contacts > rows["news"].today.contacts
    assert {e.reason for e in rows["sale"].exclusions if e.proposed} == {"EXPIRED", "HOLDOUT"}
    capped = next(e for e in rows["news"].exclusions if e.guardrail == "four_a_week")
    assert capped.proposed < capped.today
    assert report.changes[0].proposed == "EXPIRED"
    # NO_ACTION was always feasible, so that what stopping earns could be told, by more decisions that had a choice.
    assert report.estimate.unsupported == 0
    assert ["worth" in reason for reason in report.estimate.refused] == [True]
    assert report.estimate.other_history is not None
    assert report.estimate.other_history > 0


def test_decisions_before_the_first_difference_are_as_logged(lived: Lived) -> None:
    """A change shows where it acts, and from then on."""
    steps = simulated(lived, LATER_SALE.replace("limit: 3, rolling", "limit: 1, rolling"))
    first = next(i for i, step in enumerate(steps) if step.other_choice)
    assert not any(step.other_history for step in steps[: first + 1])
    changed = {step.logged.request.customer_id for step in steps if step.other_choice}
    others = {step.logged.request.customer_id for step in steps if step.other_history}
    assert others <= changed
    assert others


def test_a_lost_race_stays_lost_as_long_as_the_draw_is_the_same(lived: Lived) -> None:
    """And where another action is drawn, nothing says that it would have been lost."""
    steps = simulated(lived, NEWS)
    lost = [s for s in steps if s.logged.chosen != s.logged.drawn]
    assert lost
    for step in lost:
        assert (step.proposed.chosen, step.proposed.reservation) == ("NO_ACTION", None)
        assert Reason.CAP_RACE_LOST in step.proposed.degradations
        assert not step.proposed.trainable


def test_a_new_program_takes_part_where_all_were_asked_for(lived: Lived) -> None:
    """With the features that were served to the others, and in no other request."""
    document = (
        NEWS.replace("name: news", "name: tips")
        .replace("one_digest_a_day", "one_tip")
        .replace("{id: tips, limit: 12, per: day, scope: {action: tip_push}}", "")
    )
    steps = simulated(lived, document + "priority: 5\n")
    for step in steps:
        names = [c.program for c in step.proposed.candidates]
        assert ("tips" in names) == (step.logged.request.programs == ("*",))
        assert names == sorted(names)
    won = [s for s in steps if s.proposed.program == "tips" and s.proposed.is_contact]
    assert won
    assert all(s.proposed.program_probability > 0.5 for s in won)


def test_a_customer_who_moves_to_treatment_gets_the_model_that_served_then(lived: Lived) -> None:
    """Not today's; and where one was asked for and there was none, there is none."""
    document = LATER_SALE.replace(
        "groups: {treatment: 70%, random_control: 10%, business_as_usual: 10%, holdout: 10%}\n", ""
    )
    moved = []
    for step in simulated(lived, document):
        was = next((c for c in step.logged.candidates if c.program == "sale"), None)
        would_be = next((c for c in step.proposed.candidates if c.program == "sale"), None)
        if was is None or would_be is None or was.group == would_be.group:
            continue
        if would_be.group.value == "TREATMENT" and would_be.model is not None:
            moved.append((step.logged.decided_at_ms, would_be.model.version))
    versions = [version for _, version in sorted(moved)]
    assert versions == sorted(versions)
    assert set(versions) == {"1", "2"}


def test_suppressions_follow_the_proposed_policy(lived: Lived) -> None:
    """Without its rules nobody is suppressed by what happened in the period; with a stricter one, more are."""

    def suppressed(policy: str) -> dict[str, int]:
        report = lived.report(NEWS, policy)
        assert report.contact_policy_proposed
        return {e.guardrail: e.proposed for e in report.total.exclusions if e.reason == "SUPPRESSED_BY_OUTCOME"}

    as_published = suppressed(POLICY)
    milder = suppressed(POLICY.replace("{outcome: unsubscribe, channels: own}, ", ""))
    stricter = suppressed(
        POLICY.replace("channels: own", "channels: all").replace(
            "pause_on: [", "pause_on: [{id: once, outcome: dismiss, count: 1, within: 1d, for: 5d, pauses: all}, "
        )
    )
    assert milder.get("unsubscribe", 0) < as_published["unsubscribe"] < stricter["unsubscribe"]
    assert "once" not in as_published
    assert stricter["once"] > 0


def test_a_program_nobody_asked_for_changes_nothing_and_says_so(lived: Lived) -> None:
    """Rather than reporting that all is well."""
    document = NEWS.replace("name: news", "name: unheard").replace("service: customer_v1", "service: other_v1")
    report = lived.report(document)
    assert (report.other_choice, report.changes) == (0, ())
    assert report.notes == ("no decision of the period was about 'unheard', so it could change none",)
    assert report.estimate.refused
    assert parse_program(document).name == report.program
