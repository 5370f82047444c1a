"""The logged decisions of a period with the reports on them, from the warehouse, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from decision_service.application.ports import Warehouse
from decision_service.contract.codec import decode_record
from decision_service.core.guardrails.effects import CLOCK_TOLERANCE_MS
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import ContactPolicy
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Outcome

SLICE_ROWS = 5_000
"""Decisions held in memory at once."""

_MOMENTS = """
SELECT decided_at_ms FROM decisions
WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms ORDER BY decided_at_ms
"""
_RECORDS = """
SELECT record FROM (
    SELECT record, log_shard, log_sequence,
           max(decided_at_ms) OVER (PARTITION BY log_shard ORDER BY log_sequence) AS committed_at_ms
    FROM decisions WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
) AS period
ORDER BY committed_at_ms, log_shard, log_sequence
"""
_REPORTS = """
SELECT decision_id, customer_id, status, at_ms, received_at_ms, detail, late FROM activations
WHERE received_at_ms >= $received_ms AND decision_id IN (
    SELECT decision_id FROM decisions WHERE decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
)
ORDER BY received_at_ms, log_sequence
"""

_OUTCOMES = """
SELECT o.outcome_id, o.customer_id, o.name, o.occurred_at_ms, o.received_at_ms, o.value,
       coalesce(o.decision_id, '') AS decision_id, coalesce(o.channel, '') AS channel,
       d.program, d.program_version, d.action, coalesce(d.ledger_id, '') AS ledger_id
FROM outcomes AS o LEFT JOIN decisions AS d
    ON d.decision_id = o.decision_id AND d.customer_id = o.customer_id AND d.action <> 'NO_ACTION'
WHERE o.received_at_ms >= $from_ms AND o.received_at_ms < $until_ms AND list_contains($names, o.name)
ORDER BY o.received_at_ms, o.log_sequence
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """A decision, and what the runner reported of it, as received."""

    record: DecisionRecord
    reports: tuple[Activation, ...]


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """An outcome, and the decision to contact that it belongs to; empty where that is unknown."""

    outcome: Outcome
    program: str = ""
    program_version: int = 0
    action: str = ""
    ledger_id: str = ""


def outcomes(warehouse: Warehouse, policy: ContactPolicy, from_ms: int, until_ms: int) -> list[LoggedOutcome]:
    """The outcomes that the policy's rules name, in the order they were received: those of the period and, as pauses
    look back, of before."""
    names = {rule.outcome for rule in policy.suppress_on} | {rule.outcome for rule in policy.pauses}
    looks_back_s = max((rule.within_s + rule.for_s for rule in policy.pauses), default=0)
    found = warehouse.query(
        _OUTCOMES, {"names": sorted(names), "from_ms": from_ms - looks_back_s * 1000, "until_ms": until_ms}
    ).to_pylist()
    return [
        LoggedOutcome(
            Outcome(
                row["outcome_id"],
                row["customer_id"],
                row["name"],
                row["occurred_at_ms"],
                row["received_at_ms"],
                row["value"],
                row["decision_id"],
                row["channel"],
            ),
            row["program"] or "",
            row["program_version"] or 0,
            row["action"] or "",
            row["ledger_id"],
        )
        for row in found
    ]


class DecisionLog:
    """The decisions of [from_ms, until_ms)."""

    def __init__(self, warehouse: Warehouse, from_ms: int, until_ms: int) -> None:
        """Count them.

        Raises:
            InvalidRequest: there are none.
        """
        self._warehouse, self._until_ms = warehouse, until_ms
        moments = warehouse.query(_MOMENTS, {"from_ms": from_ms, "until_ms": until_ms}).column(0).to_pylist()
        if not moments:
            raise InvalidRequest.of("period", "the warehouse has no decision in it; choose another, or run `nba load`")
        self._count = len(moments)
        # Slices are cut between milliseconds, so that none is in two.
        self._cuts = list(dict.fromkeys((*moments[::SLICE_ROWS], until_ms)))

    def __len__(self) -> int:
        """How many decisions."""
        return self._count

    def __iter__(self) -> Iterator[Logged]:
        """Each once, in the order of time; those of one customer in the order in which they were committed."""
        for from_ms, until_ms in zip(self._cuts, self._cuts[1:], strict=False):
            period = {"from_ms": from_ms, "until_ms": until_ms}
            reports = self._reports(period)
            for record in self._warehouse.query(_RECORDS, period).column(0).to_pylist():
                decoded = decode_record(record)
                yield Logged(decoded, tuple(reports.get(decoded.decision_id, ())))

    def _reports(self, period: Mapping[str, int]) -> Mapping[str, list[Activation]]:
        reports: dict[str, list[Activation]] = {}
        since = {**period, "received_ms": period["from_ms"] - CLOCK_TOLERANCE_MS}
        for row in self._warehouse.query(_REPORTS, since).to_pylist():
            report = Activation(**{**row, "status": ActivationStatus(row["status"])})
            reports.setdefault(report.decision_id, []).append(report)
        return reports
