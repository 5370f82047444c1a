"""What a report counts, by hand, and how a marketer reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from decision_service.core.estimation.intervals import Interval
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord, Exclusion, Option
from decision_service.core.model.values import NO_ACTION, Value
from decision_service.core.what_if.simulate import Simulated
from decision_service.documents import Surroundings, parse_contact_policy
from decision_service.simulation.proposal import CheckedSimulations, check
from decision_service.simulation.render import render
from decision_service.simulation.report import Change, ExcludedFor, Row, Side
from decision_service.simulation.tally import MOST_VALUES, NONE, OTHERS, Tally
from tests.simulation.conftest import LATER_SALE, Lived
from tests.simulation.market import NEWS, POLICY
from tests.support.logged import decision

STRICTER = LATER_SALE.replace("limit: 3, rolling", "limit: 1, rolling")
CHANNELS = {("spring", "email_a"): "email", ("spring", "sms_b"): "sms", ("spring", "push_c"): "push"}
OPEN = (Option("email_a", 0.5), Option("sms_b", 0.25), Option(NO_ACTION, 0.25))


def of(
    customer: str,
    options: tuple[Option, ...],
    chosen: str,
    *excluded: Exclusion,
    features: dict[str, Value | None] | None = None,
) -> DecisionRecord:
    """A decision of the program `spring`."""
    record = decision("d", customer, action=chosen)
    return replace(
        record,
        options=options,
        exclusions=excluded,
        channel=CHANNELS.get(("spring", chosen), ""),
        features=replace(record.features, values=features or {}),
    )


def capped(*actions: str) -> tuple[Exclusion, ...]:
    """Excluded by the cap `weekly`."""
    return tuple(Exclusion(action, Reason.FREQUENCY_CAP, "weekly") for action in actions)


def tally(*steps: tuple[DecisionRecord, DecisionRecord], features: tuple[str, ...] = ()) -> Tally:
    """Of decisions as logged and as proposed."""
    counted = Tally(features)
    for logged, proposed in steps:
        counted.add(Simulated(logged, proposed, other_history=logged is not proposed), CHANNELS)
    return counted


def test_both_sides_are_counted_by_everything() -> None:
    """Three decisions about two customers: one loses its text message to the cap, one gets a push that is new."""
    vip = {"segments": ("vip", "new")}
    same = of("c1", OPEN, "email_a", features=vip)
    to_capped = (
        of("c1", OPEN, "sms_b", features=vip),
        of("c1", (Option(NO_ACTION, 1.0),), NO_ACTION, *capped("email_a", "sms_b"), features=vip),
    )
    with_push = (
        of("c2", (OPEN[0], OPEN[2]), NO_ACTION, *capped("sms_b")),
        of("c2", (*OPEN[:2], Option("push_c", 0.2), OPEN[2]), "push_c"),
    )
    counted = tally((same, same), to_capped, with_push)
    assert (counted.decisions, counted.other_choice, counted.other_history, counted.lost_races) == (3, 2, 2, 0)
    weekly = ExcludedFor("FREQUENCY_CAP", "weekly", 1, 2)
    assert counted.total == Row("total", Side(3, 2, 1, 1), Side(3, 2, 2, 2), (weekly,))
    assert counted.programs == (replace(counted.total, name="spring"),)
    email, push, text = counted.actions
    assert email == Row("spring/email_a", Side(3, 1, 1, 0), Side(3, 1, 1, 1), (replace(weekly, today=0, proposed=1),))
    assert push == Row("spring/push_c", Side(0, 0, 0, 0), Side(1, 1, 1, 0), ())
    assert text == Row("spring/sms_b", Side(3, 1, 1, 1), Side(3, 0, 0, 1), (replace(weekly, proposed=1),))
    assert [row.name for row in counted.channels] == ["email", "push", "sms"]
    assert counted.channels[2] == replace(text, name="sms")
    none, new, vips = counted.segments
    assert (none.name, none.today, none.proposed) == (NONE, Side(1, 0, 0, 1), Side(1, 1, 1, 0))
    assert (new.name, vips.name) == ("new", "vip")
    assert new.today == vips.today == Side(2, 2, 1, 0)
    assert new.proposed == vips.proposed == Side(2, 1, 1, 2)
    assert counted.changes == (
        Change("spring", "email_a", "FEASIBLE", "", "FREQUENCY_CAP", "weekly", 1),
        Change("spring", "push_c", "ABSENT", "", "FEASIBLE", "", 1),
        Change("spring", "sms_b", "FEASIBLE", "", "FREQUENCY_CAP", "weekly", 1),
        Change("spring", "sms_b", "FREQUENCY_CAP", "weekly", "FEASIBLE", "", 1),
    )


def test_values_of_a_feature_are_counted_and_rare_ones_together() -> None:
    """Context over features, as in rules; what is missing has a row of its own."""
    records = [of(f"c{i}", OPEN, "email_a", features={"plan": f"p{i:02}"}) for i in range(MOST_VALUES + 5)]
    records += [of("c0", OPEN, "email_a", features={"plan": "p00"}), of("c1", OPEN, NO_ACTION)]
    [first, *_, last] = tally(*((r, r) for r in records), features=("plan",)).features["plan"]
    assert (first.name, first.today) == ("p00", Side(2, 2, 1, 0))
    assert (last.name, last.today.decisions, last.today.customers) == (OTHERS, 6, 6)
    by_page = tally(*((r, r) for r in records), features=("page", "vip")).features
    assert [row.name for row in by_page["page"]] == ["home"]
    assert [row.name for row in by_page["vip"]] == [NONE]


def test_a_report_adds_up(lived: Lived) -> None:
    """Actions, channels and programs to the total; exclusions to their sums; changes to the differences."""
    report = lived.report(STRICTER, POLICY)
    for rows in (report.actions, report.programs, report.channels):
        for side in ("today", "proposed"):
            total = getattr(report.total, side)
            assert sum(getattr(row, side).contacts for row in rows) == total.contacts
            assert sum(getattr(row, side).excluded for row in rows) == total.excluded
            assert max(getattr(row, side).customers for row in rows) <= total.customers
    for row in (report.total, *report.actions, *report.programs, *report.channels, *report.segments):
        assert sum(e.today for e in row.exclusions) == row.today.excluded
        assert sum(e.proposed for e in row.exclusions) == row.proposed.excluded
    [cap] = [e for e in report.total.exclusions if e.guardrail == "two_sales_a_week"]
    gained = sum(c.decisions for c in report.changes if c.proposed_guardrail == "two_sales_a_week")
    lost = sum(c.decisions for c in report.changes if c.today_guardrail == "two_sales_a_week")
    assert cap.proposed - cap.today == gained - lost > 0
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["total"]["today"]["decisions"] == report.decisions


def test_a_marketer_reads_what_changes_why_and_what_it_earns(lived: Lived) -> None:
    """In tables and sentences that fit a terminal."""

    def read(document: str, policy: str = "") -> str:
        report = lived.report(document, policy, ("segment",))
        console = Console(width=100, record=True, file=StringIO())
        console.print(render(report))
        return console.export_text()

    text = read(STRICTER, POLICY)
    assert "replayed through the proposed sale and the proposed contact policy" in " ".join(text.split())
    assert "│ sale/sale_push" in text
    assert "could be chosen" in text
    assert "two_sales_a_week" in text
    assert "By segment" in text
    assert max(map(len, text.splitlines())) <= 100
    unchanged = read(NEWS)
    assert "What changes" not in unchanged
    assert "nothing changes. 95% intervals, from" in " ".join(unchanged.split())
    refused = read(
        NEWS.replace("  - {id: tip_push", "  - {id: new_sms, channel: sms, message: tip}\n  - {id: tip_push")
    )
    assert "Reward per decision: no estimate. Today it is 0." in refused
    assert "new_sms has" in refused


def test_an_interval_that_is_withheld_says_why_to_people_and_programs(lived: Lived) -> None:
    """Where bounds would stand there is the reason; the JSON has null for them, and the reason."""
    report = lived.report(NEWS)
    told = Interval(0.2, 0.01, 0.9, 7).clamped(0, 1)
    report = replace(report, estimate=replace(report.estimate, proposed=told))
    console = Console(width=100, record=True, file=StringIO())
    console.print(render(report))
    text = " ".join(console.export_text().split())
    assert "proposed 0.2 [too little data: it could be anything from 0.01 to 0.9]" in text
    proposed = json.loads(json.dumps(report.to_json(), allow_nan=False))["estimate"]["proposed"]
    assert proposed == {"mean": 0.2, "low": None, "high": None, "n": 7, "withheld": told.withheld}


WRONG = "name: x\nactions: []\n"


def test_every_mistake_of_both_documents_and_of_the_period_is_told_at_once() -> None:
    """Each under the document that it is in."""
    with pytest.raises(InvalidRequest) as refused:
        check(WRONG, "caps: [{id: a}]\nunheard: 1\n", 10, 10)
    fields = [v.field for v in refused.value.violations]
    assert any(f.startswith("document: reward") for f in fields)
    assert any(f.startswith("contact_policy_document: unheard") for f in fields)
    assert fields[-1] == "until_ms"


def test_a_worker_refuses_what_could_not_be_published_before_anybody_waits() -> None:
    """Features and caps that do not exist count, as when it is applied; a proposed contact policy brings its own."""
    asked = []

    class Recorded:
        def run(
            self, document: str, contact_policy_document: str, from_ms: int, until_ms: int, timeout_s: float
        ) -> str:
            asked.append((document, contact_policy_document, from_ms, until_ms, timeout_s))
            return "{}"

    known = Surroundings(parse_contact_policy(POLICY), lambda _: ("age", "segment"))
    simulations = CheckedSimulations(Recorded(), lambda: known)
    ignoring = NEWS.replace("tags: [content]}\n  - {id: tip", "ignores_caps: [brand_new]}\n  - {id: tip")
    with pytest.raises(InvalidRequest, match="brand_new"):
        simulations.run(ignoring, "", 0, 1, 5)
    with pytest.raises(InvalidRequest, match=r"customer\.height"):
        simulations.run(NEWS + "audience: customer.height > 2\n", "", 0, 1, 5)
    assert asked == []
    brings = "caps: [{id: brand_new, limit: 1, rolling: 1d}]\n"
    assert simulations.run(ignoring, brings, 0, 1, 5) == "{}"
    assert asked == [(ignoring, brings, 0, 1, 5)]
