"""A small warehouse written by hand: decisions, reports and outcomes in the order of one log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, LogBody, LogEntry, Warehouse
from decision_service.audit import Asked, Report, audit
from decision_service.core.guardrails.groups import following
from decision_service.core.model.program import Group, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    Candidate,
    DecideRequest,
    Exclusion,
    Outcome,
    Reservation,
)
from decision_service.core.model.values import NO_ACTION, Values
from decision_service.documents import parse_contact_policy, parse_program, stored_program
from decision_service.documents.published import ranges_to_data
from decision_service.warehouse import tables
from tests.support.logged import KIND_OF, decision

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = round(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1000)
LEASE_MS = 15 * MINUTE_MS


def at(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    """UTC epoch milliseconds of a wall-clock time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def program(name: str = "p", **parts: object) -> str:
    """A program's document: a mail and a text, both of message `offer`, the mail tagged `promo`."""
    document: dict[str, object] = {
        "name": name,
        "features": {"service": "customer_v1"},
        "reward": {"outcomes": {"visit": 1}, "window": "1h"},
        "actions": [
            {"id": "mail", "channel": "email", "message": "offer", "tags": ["promo"]},
            {"id": "text", "channel": "sms", "message": "offer"},
        ],
    }
    return json.dumps({**document, **parts})


@dataclass(slots=True)
class Journal:
    """Writes to one shard. What is published counts versions from 1; decisions are under the latest."""

    warehouse: Warehouse = field(default_factory=MemoryWarehouse)
    zone: str = "Europe/Berlin"
    programs: dict[str, Program] = field(default_factory=dict)
    policy: int = 0
    _log: list[LogEntry] = field(default_factory=list)
    _sequence: int = 0
    _decisions: int = 0

    def publish(self, document: str, at_ms: int = START_MS - 30 * DAY_MS) -> None:
        """A program or contact policy, as the join job copies it."""
        row: dict[str, object] = {"document": document, "published_at": datetime.fromtimestamp(at_ms / 1000, UTC)}
        if '"name"' in document:
            draft = parse_program(document)
            version, groups = 1, draft.groups
            if before := self.programs.get(draft.name):
                version, groups = before.version + 1, following(draft.groups, before.groups)
            self.programs[draft.name] = stored_program(document, version, groups.ranges)
            row["group_ranges"] = json.dumps(ranges_to_data(groups.ranges))
            self._add("program_versions", {**row, "program": draft.name, "version": version})
        else:
            self.policy += 1
            parse_contact_policy(document)
            self._add("contact_policy_versions", {**row, "version": self.policy})

    def decide(
        self,
        at_ms: int = START_MS,
        action: str = "mail",
        *,
        customer: str = "c",
        program: str = "p",
        send_ms: int | None = None,
        lease_ms: int | None = None,
        group: Group = Group.TREATMENT,
        pinned: Group | None = None,
        zone: str | None = None,
        exclusions: Sequence[Exclusion] = (),
        others: Mapping[str, Group] | None = None,
        features: Values | None = None,
        context: Values | None = None,
        unread: frozenset[str] = frozenset(),
    ) -> str:
        """Log a decision; its id. others: losing program → the customer's group there."""
        self._decisions += 1
        decision_id = f"d{self._decisions}"
        published = self.programs[program]
        plain = decision(decision_id, customer, program=program)
        until_ms = (send_ms or at_ms) + LEASE_MS if lease_ms is None else lease_ms
        losers = tuple(
            Candidate(
                name, self.programs[name].version, 0.1, None, theirs, plain.learning_mode, plain.policy, None,
                plain.features, {}, (), (),
            )
            for name, theirs in (others or {}).items()
        )  # fmt: skip
        record = replace(
            plain,
            request=DecideRequest(
                f"r-{decision_id}", customer, (program, *(others or {})), context or {}, pinned_group=pinned
            ),
            features=replace(plain.features, values=features or {}, unread=unread),
            decided_at_ms=at_ms,
            program_version=published.version,
            policy_version=self.policy,
            group=pinned or group,
            chosen=action,
            drawn=action,
            channel=published.action(action).channel,
            reservation=None if action == NO_ACTION else Reservation(until_ms, send_ms),
            timezone=self.zone if zone is None else zone,
            exclusions=tuple(exclusions),
            others=losers,
        )
        self.log(record)
        return decision_id

    def report(
        self, decision_id: str, at_ms: int, status: str = "SENT", customer: str = "c", received_ms: int | None = None
    ) -> None:
        """Log what became of a decision."""
        self.log(
            Activation(
                decision_id,
                customer,
                ActivationStatus(status),
                at_ms,
                at_ms if received_ms is None else received_ms,
            )
        )

    def send(self, at_ms: int = START_MS, action: str = "mail", customer: str = "c", **more: object) -> str:
        """A decision whose message is sent when it was to be."""
        decision_id = self.decide(at_ms, action, customer=customer, **more)  # type: ignore[arg-type]
        planned = more.get("send_ms") or at_ms
        assert isinstance(planned, int)
        self.report(decision_id, planned, customer=customer)
        return decision_id

    def outcome(
        self, name: str, at_ms: int, channel: str = "email", customer: str = "c", received_ms: int | None = None
    ) -> None:
        """Log an outcome."""
        received = at_ms if received_ms is None else received_ms
        self.log(Outcome(f"o{self._sequence}", customer, name, at_ms, received, channel=channel))

    def log(self, body: LogBody) -> None:
        """Append to the log."""
        self._sequence += 1
        self._log.append(LogEntry(0, self._sequence, KIND_OF[type(body)], body))

    def load(self) -> None:
        """Load what was logged since the last time."""
        for kind in EntryKind:
            if entries := [entry for entry in self._log if entry.kind is kind]:
                self.warehouse.load(kind, entries)
        self._log.clear()

    def audit(self, *, acknowledged: Sequence[str] | None = None, **asked: object) -> Report:
        """The audit of all that was logged."""
        self.load()
        return audit(self.warehouse, None, Asked(**asked), acknowledged)  # type: ignore[arg-type]

    def _add(self, table: str, row: Mapping[str, object]) -> None:
        self.warehouse.append(table, tables.rows_from(table, [row]))


def policy(**parts: object) -> str:
    """A contact policy's document."""
    return json.dumps(parts)


def found(report: Report, section: str) -> int:
    """Violations of a section, after checking that all are told and no other section has any."""
    assert report.violations == report.section(section).violations, report.first
    assert len(report.section(section).first) == report.section(section).violations
    return report.section(section).violations


def excluded(outcome: str, action: str = "mail") -> Exclusion:
    """An action that an outcome suppresses."""
    return Exclusion(action, Reason.SUPPRESSED_BY_OUTCOME, outcome)
