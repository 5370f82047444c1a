"""Every guardrail at once, contested by many clients, and audited from the warehouse afterwards."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import redis

from decision_service.audit.budgets import SPENT
from decision_service.audit.facts import Asked, gather
from decision_service.documents import parse_contact_policy, parse_program
from decision_service.operation import bootstrap
from decision_service.operation.rebuild import rebuild_here
from decision_service.operation.sandbox import Sandbox
from decision_service.operation.settings import Settings
from tests.e2e import guarded

DECIDES = int(os.environ.get("NBA_TEST_DECIDES", "10000"))
"""100,000 take several minutes: NBA_TEST_DECIDES=100000 pytest --timeout 0 tests/e2e/test_guardrails.py."""

CLIENTS, CUSTOMERS = 16, 200

EXCLUDED = "SELECT DISTINCT reason, detail FROM exclusion_facts"
DEGRADED = "SELECT DISTINCT reason FROM (SELECT unnest(degradations) AS reason FROM decisions)"
QUEUED = "SELECT DISTINCT channel FROM decisions WHERE send_at IS NOT NULL"
ARBITRATED = "SELECT avg(CAST(len(others) > 0 AS INT)) AS share FROM decisions WHERE action <> 'NO_ACTION'"


@pytest.mark.slow
def test_guardrails_hold_and_bite(tmp_path: Path) -> None:
    """16 clients, 200 customers, 4 programs on 3 channels, two workers of which one is killed midway, a Redis that is
    lost and rebuilt, reports in any order: no cap, gap, quiet hour, suppression, budget or holdout is violated, when
    deciding or when sending, and no decision is lost; and each of them did stop somebody."""
    with Sandbox(Settings(workers=2), tmp_path, guarded.START_MS) as sandbox:
        guarded.prepare(sandbox, CUSTOMERS, DECIDES)
        lived = bootstrap.open_installation(sandbox.settings).claim()
        run = guarded.run(
            sandbox,
            decides=DECIDES,
            clients=CLIENTS,
            customers=CUSTOMERS,
            happens={1 / 3: lambda _: sandbox.stack.kill("worker-0"), 2 / 3: lambda pause: _lose(sandbox, pause)},
        )
        assert len(run.failures) < DECIDES // 100, run.failures[:10]
        sandbox.drain()
        assert bootstrap.open_installation(sandbox.settings).claim() == lived
        report = sandbox.audit(run.acknowledged)
        assert report.first == []
        assert report.violations == 0
        assert all(section.to_check == () for section in report.sections if section.name != "sending")
        # One in ten did not ask: what they should not have sent is told, and is nobody's breach but theirs.
        sending = report.section("sending")
        assert all("sent without asking" in words or "after a STOP" in words for words in sending.to_check)
        confirmed, sent = map(int, re.findall(r"[\d,]+", sending.notes[0].replace(",", "")))
        assert 0.8 * sent < confirmed < sent == sending.checked
        assert {"GO", "STOP"} <= run.verdicts.keys() <= {"GO", "STOP", "WAIT"}
        assert run.contradicted > 0
        assert report.section("missing").checked == len(set(run.acknowledged)) >= DECIDES * 0.99

        # They were contested: every cap, budget, quiet hour and suppression was somebody's reason.
        warehouse = sandbox.warehouse
        reasons: dict[str, set[str]] = {}
        for row in warehouse.query(EXCLUDED).to_pylist():
            reasons.setdefault(row["reason"], set()).add(row["detail"])
        document, programs = guarded.documents(guarded.simulated_hours(DECIDES))
        policy = parse_contact_policy(document)
        budgets = {b.id for b in policy.budgets} | {b.id for text in programs for b in parse_program(text).budgets}
        assert reasons["FREQUENCY_CAP"] > {cap.id for cap in policy.caps}  # and some program's
        assert reasons["VOLUME_LIMIT"] == budgets - {"summer_in_all"}
        assert reasons["QUIET_HOURS"] == {"early_texts", "dinner"}
        assert reasons["SUPPRESSED_BY_OUTCOME"] == {"unsubscribe", "complaint", "dismissed"}
        assert {"SUPPRESSED", "NO_CONSENT", "HOLDOUT"} <= reasons.keys()
        assert "CAP_RACE_LOST" in warehouse.query(DEGRADED).column("reason").to_pylist()
        assert set(warehouse.query(QUEUED).column("channel").to_pylist()) == {"email", "push"}
        assert warehouse.query(ARBITRATED).column("share").to_pylist()[0] > 0.3
        assert run.reports.keys() == {"SENT", "DELIVERED", "BOUNCED", "FAILED", "SKIPPED"}

        # And budgets were used up: the fullest period of each by most of its limit.
        own_ids = bootstrap.open_installation(sandbox.settings).claim().known_as
        facts = gather(warehouse, bootstrap.open_policies(sandbox.settings), Asked(), own_ids)
        fullest: dict[str, float] = {}
        for row in facts.query(SPENT).to_pylist():
            fullest[row["id"]] = max(fullest.get(row["id"], 0.0), row["spent"] / row["most"])
        assert {name for name, share in fullest.items() if share >= 0.8} == reasons["VOLUME_LIMIT"]


def _lose(sandbox: Sandbox, pause: guarded.Pause) -> None:
    """Redis comes back empty; the clients go on while it is made again from the warehouse, and see no difference."""
    with pause.alone():
        sandbox.drain()
        with redis.Redis.from_url(sandbox.settings.ledger_address) as client:
            client.flushall()
    assert rebuild_here(sandbox.settings).notes == []
